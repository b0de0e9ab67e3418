package helm

import (
	"testing"

	helm3 "helm.sh/helm/v3/pkg/release"
)

// What Helm does with the newest revision in each state (helm.sh/helm
// pkg/action/uninstall.go, upgrade.go).
func TestStatus(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		status                       helm3.Status
		pending, installed, editable bool
	}{
		{helm3.StatusDeployed, false, true, true},
		{helm3.StatusFailed, false, true, true},
		{helm3.StatusSuperseded, false, true, true},
		{helm3.StatusUninstalling, false, true, false},
		{helm3.StatusUninstalled, false, false, false},
		{helm3.StatusPendingInstall, true, true, false},
		{helm3.StatusPendingUpgrade, true, true, false},
		{helm3.StatusPendingRollback, true, true, false},
		{"of a later Helm", false, true, false},
	} {
		s := Status(test.status)
		if s.Pending() != test.pending || s.Pending() != test.status.IsPending() || s.Installed() != test.installed || s.Editable() != test.editable {
			t.Errorf("%s: pending %t, installed %t, editable %t", s, s.Pending(), s.Installed(), s.Editable())
		}
	}
}
