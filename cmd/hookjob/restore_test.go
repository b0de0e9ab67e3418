package main

import (
	"bytes"
	"compress/gzip"
	"encoding/base64"
	"net/http"
	"strings"
	"testing"
)

// A backup that holds scale sets of other namespaces is believed only when told to.
func TestRestoreSaysWhoseABackupIs(t *testing.T) {
	t.Parallel()
	var packed bytes.Buffer
	z := gzip.NewWriter(&packed)
	_, _ = z.Write([]byte(`{"apiVersion": "v1", "kind": "List", "items": [
{"apiVersion": "actions.github.com/v1alpha1", "kind": "AutoscalingRunnerSet", "metadata": {"name": "set", "namespace": "runners"}}]}`))
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	backup := map[string]any{"data": map[string]string{"autoscalingrunnersets.yaml.gz": base64.StdEncoding.EncodeToString(packed.Bytes())}}
	tests := map[string]struct {
		args []string
		fail map[string]int
		code int
		made int
		want string
	}{
		"not trusted": {nil, nil, exitRefused, 0, "If you trust it, add --all-namespaces. Nothing was written.\n"},
		"trusted":     {[]string{"--all-namespaces"}, nil, exitDone, 1, "autoscalingrunnerset.actions.github.com/set in namespace runners: restored\n"},
		"without CRDs": {
			[]string{"--all-namespaces"},
			map[string]int{"POST ars runners": http.StatusNotFound},
			exitFailed,
			0,
			"; ARC's CRDs and namespace runners have to exist first\n",
		},
		"not to be read": {
			nil, map[string]int{"GET secret tenant/backup": http.StatusForbidden}, exitNotPermitted, 0, "reading secrets/backup in namespace tenant",
		},
	}
	for name, test := range tests {
		a := withCRDs().with("secret tenant/backup", backup)
		a.fail = test.fail
		got := command(t.Context(), nil, append([]string{"restore", "--from", "backup", "--namespace", "tenant", "--kubeconfig", a.kubeconfig(t)}, test.args...)...)
		if got.code != test.code || len(a.made()) != test.made || !strings.Contains(got.stdout+got.stderr, test.want) {
			t.Errorf("%s: exit code %d, made %q\n%s%s", name, got.code, a.made(), got.stdout, got.stderr)
		}
	}
}
