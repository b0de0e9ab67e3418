// Package tools runs tools that embed Helm or call it, on the examples that users are told to copy: install, upgrade and
// destroy, on the real cluster. helmfile, helm-diff and OpenTofu are built from their own modules. In the place of
// Terraform's provider hashicorp/helm, which no Go module proxy serves, is the one in the folder provider.
//
// `make test-tools` runs it, under the build tag tools: what it builds takes minutes the first time.
package tools
