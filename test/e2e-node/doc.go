// Package e2enode tests the hook's image as it will run: from a registry, on a
// kubelet and containerd, with a network of Pods, under Pod Security admission.
// Its tests have a build tag, since they need root: make e2e-node.
package e2enode
