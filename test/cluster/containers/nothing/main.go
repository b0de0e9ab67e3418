// Command nothing ends at once. A hook that runs it shows how long Helm and Kubernetes need for
// every hook.
package main

func main() {}
