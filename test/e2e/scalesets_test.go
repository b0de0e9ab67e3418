package e2e

import (
	"testing"

	"github.com/arc-cleanup/arc-cleanup/test/harness"
)

// TestScaleSetsDelete uninstalls the controller under a live scale set, told to
// delete that: it is de-registered. Its Helm release stays, held by nothing, and
// can be uninstalled, though its kind is gone.
func TestScaleSetsDelete(t *testing.T) {
	l := newLab(t)
	l.installController(append(viaPostRenderer, "--post-renderer-args", "--set", "--post-renderer-args", "policy.scaleSets=delete")...)
	l.installScaleSet(4)

	l.mustHelm(4, "uninstall", "arc", "--namespace", controllerNamespace)
	if !l.GitHub().Deregistered() {
		t.Errorf("still registered at GitHub: scale sets %v, runners %v", l.GitHub().ScaleSets(), l.GitHub().Runners())
	}
	l.nothingLeft(
		harness.Object{Resource: "secrets", Namespace: runnerNamespace, Name: "sh.helm.release.v1.runners.v1"},
		harness.Object{Resource: "secrets", Namespace: runnerNamespace, Name: "runners-gha-rs-github-secret"},
		harness.Object{Resource: "serviceaccounts", Namespace: runnerNamespace, Name: "runners-gha-rs-no-permission"},
		harness.Object{Resource: "roles", Namespace: runnerNamespace, Name: "runners-gha-rs-manager"},
		harness.Object{Resource: "rolebindings", Namespace: runnerNamespace, Name: "runners-gha-rs-manager"},
	)
	l.mustHelm(4, "uninstall", "runners", "--namespace", runnerNamespace)
	l.nothingLeft()
}
