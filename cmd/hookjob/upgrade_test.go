package main

import (
	"bytes"
	"compress/gzip"
	"encoding/base64"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/arc-cleanup/arc-cleanup/internal/kube"
	"github.com/arc-cleanup/arc-cleanup/internal/object"
	"github.com/arc-cleanup/arc-cleanup/internal/plan"
	"github.com/arc-cleanup/arc-cleanup/internal/upgrade"
)

// withState is a cluster in which an upgrade has stopped, after it had uninstalled
// everything, and a chart to install; it was written so long ago.
func withState(t *testing.T, ago time.Duration) (a *api, chart string) {
	t.Helper()
	chart = filepath.Join(t.TempDir(), "chart")
	if err := os.MkdirAll(chart, 0o700); err != nil {
		t.Fatal(err)
	}
	var values bytes.Buffer
	z := gzip.NewWriter(&values)
	_, _ = z.Write([]byte("{}"))
	_ = z.Close()
	state := fmt.Sprintf(`{"version": "arc-cleanup/upgrade/v2", "uninstalled": true, "written": %q,
"target": {"controller": {"ref": %q, "metadata": {"Name": "gha-runner-scale-set-controller", "Version": "2", "AppVersion": "2"}}, "scaleSets": {"ref": "", "metadata": {}}},
"releases": [{"namespace": "systems", "name": "arc", "controller": true, "driver": "secret"}]}`, time.Now().Add(-ago).UTC().Format(time.RFC3339), chart)
	return (&api{}).with("secret systems/arc-cleanup-upgrade", map[string]any{
		"apiVersion": "v1", "kind": "Secret",
		"metadata": map[string]any{
			"name": "arc-cleanup-upgrade", "namespace": "systems", "uid": "u", "resourceVersion": "1",
			"labels": map[string]string{"app.kubernetes.io/name": "arc-cleanup", "app.kubernetes.io/component": "upgrade"},
		},
		"data": map[string]string{
			"upgrade.json":  base64.StdEncoding.EncodeToString([]byte(state)),
			"values.arc.gz": base64.StdEncoding.EncodeToString(values.Bytes()),
		},
	}), chart
}

// helmFor is a Helm that shows one chart and fails at everything else.
func helmFor(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "helm")
	text := "#!/bin/sh\ncase \"$1\" in\nversion) echo v4.3.1 ;;\ntemplate) ;;\nshow) printf 'name: gha-runner-scale-set-controller\\nversion: \"2\"\\nappVersion: \"2\"\\n' ;;\n*) echo \"would $1\" >&2; exit 1 ;;\nesac\n"
	if err := os.WriteFile(path, []byte(text), 0o700); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestUpgradeOfAState(t *testing.T) {
	const old, fresh = 2 * time.Hour, time.Minute
	tests := map[string]struct {
		args   []string
		ago    time.Duration
		code   int
		says   []string
		silent []string
	}{
		"without where it is":     {[]string{"--dry-run"}, fresh, exitUsage, []string{"give the version to upgrade to", "--namespace"}, nil},
		"what it would install":   {[]string{"--dry-run", "--namespace", "systems"}, fresh, exitWork, []string{"CHART", "CHART_REF", "sha256:", "NOTE: Secret arc-cleanup-upgrade in namespace systems was written 20", "ago)", "install"}, []string{"CONFIRM"}},
		"it is old":               {[]string{"--dry-run", "--namespace", "systems"}, old, exitWork, []string{"CONFIRM: only the saved state"}, nil},
		"no person":               {[]string{"--yes", "--namespace", "systems"}, fresh, exitUsage, []string{"--yes needs --version or --chart"}, nil},
		"a chart":                 {[]string{"--yes", "--namespace", "systems", "--chart", "CHART_REF"}, fresh, exitFailed, []string{"chart to install", "would install", `"chart":"CHART_REF","version":"2","digest":"sha256:`, "was written", "with --namespace systems"}, []string{"Nothing was changed"}},
		"a chart, and it is old":  {[]string{"--yes", "--namespace", "systems", "--chart", "CHART_REF"}, old, exitRefused, []string{"REFUSED: only the saved state", "kubectl delete secret arc-cleanup-upgrade --namespace systems", "or run it without --yes"}, []string{"would install"}},
		"a post-renderer, forgot": {[]string{"--yes", "--namespace", "systems", "--chart", "CHART_REF", "--post-renderer", "x", "--post-renderer-args", "y z"}, fresh, exitRefused, []string{`goes on with "x 'y z'"`}, []string{"would install"}},
		"args of none":            {[]string{"--yes", "--chart", "CHART_REF", "--post-renderer-args", "y"}, fresh, exitUsage, []string{"--post-renderer-args needs --post-renderer"}, nil},
	}
	helm := helmFor(t)
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			a, chart := withState(t, test.ago)
			args := []string{"upgrade", "--kubeconfig", a.kubeconfig(t), "--helm", helm, "--log-format", "json"}
			for _, arg := range test.args {
				args = append(args, strings.ReplaceAll(arg, "CHART_REF", chart))
			}
			got := command(t.Context(), strings.NewReader(""), args...)
			out := got.stdout + got.stderr
			if got.code != test.code {
				t.Errorf("exit code %d, want %d:\n%s", got.code, test.code, out)
			}
			for _, says := range test.says {
				if says = strings.ReplaceAll(says, "CHART_REF", chart); !strings.Contains(out, says) {
					t.Errorf("it does not say %q:\n%s", says, out)
				}
			}
			for _, not := range test.silent {
				if strings.Contains(out, not) {
					t.Errorf("it says %q:\n%s", not, out)
				}
			}
			if len(a.deleted()) > 0 {
				t.Errorf("deleted %v", a.deleted())
			}
		})
	}
}

// A dry run ends with what to do next, and has no digest, with which upgrade could do nothing.
func TestTheEndOfADryRunOfUpgrade(t *testing.T) {
	a, _ := withState(t, time.Minute)
	got := command(t.Context(), nil, "upgrade", "--dry-run", "--namespace", "systems", "--kubeconfig", a.kubeconfig(t), "--helm", helmFor(t))
	if want := "\n\nNothing was written. To do this, leave out --dry-run.\n"; got.code != exitWork || !strings.HasSuffix(got.stdout, want) {
		t.Errorf("exit code %d, want %q last:\n%s%s", got.code, want, got.stdout, got.stderr)
	}

	var out bytes.Buffer
	cleanup := &plan.Plan{Phases: []plan.Phase{{Name: plan.PhaseFree, Ranks: [][]plan.Step{{{Action: plan.Free, Object: &object.Object{}, Why: "x"}}}}}}
	printUpgrade(&out, &kube.Client{}, &upgrade.Plan{Cleanup: cleanup})
	if !strings.Contains(out.String(), "PHASE") || strings.Contains(out.String(), "igest") {
		t.Errorf("the cleanup:\n%s", &out)
	}
}

// Helm keeps --namespace for itself, but hands on -nNAMESPACE.
func TestUpgradeUnderHelm(t *testing.T) {
	a, chart := withState(t, time.Minute)
	asPlugin(t, "systems")
	upgrade := func(args ...string) result {
		args = append([]string{"upgrade", "--kubeconfig", a.kubeconfig(t), "--helm", helmFor(t)}, args...)
		return command(t.Context(), strings.NewReader(""), args...)
	}
	const hint = "type -nNAMESPACE"
	for _, test := range []struct {
		got  result
		code int
		want string
	}{
		{upgrade("--dry-run"), exitUsage, hint},
		{upgrade("--dry-run", "--chart", chart), exitRefused, hint},
		{upgrade("--yes", "--chart", chart, "-nsystems"), exitFailed, "run the same command again, with -nsystems;"},
	} {
		if out := test.got.stdout + test.got.stderr; test.got.code != test.code || !strings.Contains(out, test.want) {
			t.Errorf("exit code %d, want %d and %q:\n%s", test.got.code, test.code, test.want, out)
		}
	}
	if got := upgrade("--dry-run", "-nsystems"); got.code != exitWork || strings.Contains(got.stdout+got.stderr, hint) {
		t.Errorf("exit code %d:\n%s", got.code, got.stdout+got.stderr)
	}
}
