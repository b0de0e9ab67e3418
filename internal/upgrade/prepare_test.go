package upgrade

import (
	"errors"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/arc-cleanup/arc-cleanup/internal/plan"
)

// chartFolder is a chart that a fake Helm can show.
func chartFolder(t *testing.T, name, version string) string {
	t.Helper()
	dir := t.TempDir()
	text := "name: " + name + "\nversion: \"" + version + "\"\nappVersion: \"" + version + "\"\n"
	if err := os.WriteFile(filepath.Join(dir, "Chart.yaml"), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return dir
}

// One call makes a plan of a request, and writes nothing.
func TestPrepare(t *testing.T) {
	controller, sets := chartFolder(t, "controller", "2"), chartFolder(t, "scale-set", "2")
	old, oldSets := chartFolder(t, "controller", "1"), chartFolder(t, "scale-set", "1")
	both := Request{Chart: controller, ScaleSetChart: sets}
	labelled := func(o kubeObject, version string) kubeObject {
		labels, _ := metadata(o)["labels"].(map[string]any)
		if labels == nil {
			labels = map[string]any{}
			metadata(o)["labels"] = labels
		}
		labels["app.kubernetes.io/version"] = version
		return o
	}
	all := []string{
		"save arc", "clean arc", "uninstall arc", "mark-uninstalled arc", "install arc", "ready arc", "install runners", "forget arc",
	}
	forbidden := func(read string) func(*api, *fakeHelm, *Upgrade) {
		return func(a *api, _ *fakeHelm, _ *Upgrade) {
			a.Fault = func(request string) int {
				if request == read {
					return http.StatusForbidden
				}
				return 0
			}
		}
	}
	tests := map[string]struct {
		request Request
		change  func(*api, *fakeHelm, *Upgrade)
		steps   []string
		refused []string // parts of each
		err     string
		usage   bool
		said    []string // the first words of what Helm is told; nil for all of it
	}{
		"all of it":             {request: both, steps: all, said: []string{"version", "show", "history", "template"}},
		"where it is":           {request: Request{Chart: controller, ScaleSetChart: sets, Namespace: "arc-systems"}, steps: all},
		"where it is not":       {request: Request{Chart: controller, ScaleSetChart: sets, Namespace: "a"}, steps: []string{}, refused: []string{"--namespace a: the controller's release is arc in namespace arc-systems"}, said: []string{"version", "show"}},
		"nothing to do":         {request: Request{Chart: old, ScaleSetChart: oldSets}, steps: []string{}, said: []string{"version", "show"}},
		"which chart?":          {err: "give the version to upgrade to with --version", usage: true, said: []string{"version"}},
		"which of scale sets?":  {request: Request{Chart: controller}, err: "give --scale-set-chart", usage: true, said: []string{"version"}},
		"only where it is":      {request: Request{Namespace: "arc-systems"}, err: "give the version to upgrade to with --version", usage: true},
		"no Helm":               {request: both, change: func(_ *api, _ *fakeHelm, u *Upgrade) { u.Helm.Binary = "/none" }, err: "install Helm 3 or 4 on PATH", said: []string{}},
		"the survey fails":      {request: both, change: forbidden("LIST deploy"), err: "listing deployments.apps in all namespaces", said: []string{"version"}},
		"no such chart":         {request: Request{Chart: controller + "x", ScaleSetChart: sets}, err: "reading the chart", said: []string{"version"}},
		"Helm sees another one": {request: both, change: func(_ *api, h *fakeHelm, _ *Upgrade) { h.write("fail.history.arc", "") }, err: "told to fail", said: []string{"version", "show", "history"}},
		"the cleanup refuses":   {request: both, change: forbidden("LIST er"), steps: []string{}, refused: []string{"ephemeralrunners"}},
		"it does not render": {
			request: both, change: func(_ *api, h *fakeHelm, _ *Upgrade) { h.write("fail.template.runners", "") },
			steps: []string{}, refused: []string{"release runners in namespace a does not render from the chart " + sets},
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			u, a, helm := upgradingWith(t, join(arcAt(t), runnersAt(t), crdObjects("Established"))...)
			helm.renders("arc", labelled(controllerAt("arc-systems", "arc-systems", "arc"), "2"))
			helm.renders("runners", labelled(setAt("a", "set", "a", "runners"), "2"))
			u.Helm.major = 0
			if test.change != nil {
				test.change(a, helm, u)
			}
			p, err := u.Prepare(t.Context(), test.request, t.TempDir())
			var usage UsageError
			if test.err != "" {
				if err == nil || !strings.Contains(err.Error(), test.err) || errors.As(err, &usage) != test.usage {
					t.Errorf("%v, want %q", err, test.err)
				}
			} else {
				if err != nil {
					t.Fatal(err)
				}
				if diff := cmp.Diff(test.steps, append([]string{}, steps(p)...)); diff != "" {
					t.Errorf("(-want +got):\n%s", diff)
				}
				if len(p.Refusals) != len(test.refused) {
					t.Fatalf("refused: %+v", p.Refusals)
				}
				for i, r := range p.Refusals {
					if !strings.Contains(r.Message, test.refused[i]) {
						t.Errorf("refused: %s", r.Message)
					}
				}
				if (p.Cleanup != nil) != (len(test.steps) > 0 || len(test.refused) > 0 && test.request.Namespace == "") {
					t.Errorf("what the cleanup does: %+v", p.Cleanup)
				}
				if u.Helm.major != 4 {
					t.Errorf("Helm %d", u.Helm.major)
				}
			}
			words := []string{}
			for line := range strings.Lines(helm.read("log")) {
				if word, _, _ := strings.Cut(line, " "); !slices.Contains(words, word) {
					words = append(words, word)
				}
			}
			if diff := cmp.Diff(test.said, words); test.said != nil && diff != "" {
				t.Errorf("Helm was told (-want +got):\n%s", diff)
			}
			if len(a.Writes) > 0 {
				t.Errorf("it wrote %v", a.Writes)
			}
		})
	}
}

// An upgrade that goes on takes the charts that it has saved, and the user's post-renderer.
func TestPrepareGoesOn(t *testing.T) {
	state := saved(true, installed("arc-systems", "arc", ""))
	state.Target = Target{Controller: Chart{Ref: chartFolder(t, "controller", "2")}}
	state.Target.Controller.Metadata = chartOf("controller", "2").Metadata
	state.PostRenderer = []string{"x"}
	state.Written = time.Now()
	u, a, helm := upgradingWith(t, secretsOf(t, state)...)
	u.Helm.PostRenderer, u.Helm.PostRendererArgs = "x", []string{"y"}
	p, err := u.Prepare(t.Context(), Request{Namespace: "arc-systems"}, t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"install arc", "ready arc", "forget arc"}, steps(p)); diff != "" || p.Cleanup != nil || len(a.Writes) > 0 {
		t.Errorf("%s, %+v, wrote %v", diff, p.Cleanup, a.Writes)
	}
	if len(p.Confirm) != 1 || !strings.Contains(p.Confirm[0].Message, `began with the post-renderer "x", and goes on with "x y"`) || p.Confirm[0].Verdict != plan.Refused {
		t.Errorf("%+v", p.Confirm)
	}
	if slices.Contains(helm.said(), "template arc") {
		t.Errorf("a saved release was rendered again: %s", helm.read("log"))
	}
}
