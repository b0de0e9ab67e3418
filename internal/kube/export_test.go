package kube

// For the tests of waits, which are in package kube_test: kubetest imports this package.
const (
	ProgressInterval = progressInterval
	Examples         = examples
)

var Pause = pause
