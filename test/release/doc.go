// Package release makes a release as the workflow does, with a registry, a release page and keys
// of its own, and verifies it as docs/verify.md tells users to. What differs from a real one:
// a key signs in the place of the workflow's identity, and nothing is drafted at GitHub.
//
// `make release-check` runs it, under the build tag release: what it builds takes minutes the first time.
package release
