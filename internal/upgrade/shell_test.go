package upgrade

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/types"

	"github.com/arc-cleanup/arc-cleanup/internal/plan"
)

func upgrading() *Upgrade {
	return &Upgrade{
		Helm:        &Helm{Binary: "helm", Context: "it's", Timeout: time.Minute, major: 4},
		BusyRunners: plan.WaitForBusy, Grace: time.Second, Budget: time.Minute,
	}
}

// The e2e tests run these commands on a real cluster; this test shows them.
func TestCommands(t *testing.T) {
	t.Parallel()
	charts := Target{Chart{Ref: "oci://r/c", Version: "2"}, Chart{Ref: "/with space/s"}}
	arc, set := hooked(installed("arc-systems", "arc", "deployed")), installed("a", "runners", "deployed")
	set.Driver, set.ServerSide = "configmap", true
	arc.Controllers = []Controller{{Namespace: "arc-systems", Name: "arc", Watches: []string{"a"}}}
	charts.Controller.Metadata.Name, charts.ScaleSets.Metadata.Name = "controller", "scale-set"
	p := newPlan(Situation{Found: []Found{arc, set}, Target: charts})

	const (
		at     = ` --context 'it'\''s'`
		helmAt = ` --kube-context 'it'\''s'`
		get    = `kubectl get secret arc-cleanup-upgrade --namespace `
		out    = `\.gz}'` + at + ` | base64 -d | gunzip | `
		run    = `arc-cleanup run --yes --release `
		engine = ` --backup=false --budget 1m0s --grace 1s --`
	)
	all := []string{
		run + `arc --release-namespace arc-systems` + engine + `scale-sets uninstall --watch-namespace a --controller-namespace arc-systems --busy-runners wait` + at,
		`helm uninstall arc --namespace arc-systems --ignore-not-found --no-hooks --cascade foreground --wait=legacy --timeout 1m0s` + helmAt,
		get + `arc-systems --output 'jsonpath={.data.values\.arc` + out + `helm install arc oci://r/c --version 2 --namespace arc-systems --values - --server-side=false --wait --timeout 1m0s` + helmAt,
		`kubectl wait --for condition=Established --timeout 1m0s crd/ephemeralrunners.actions.github.com crd/ephemeralrunnersets.actions.github.com crd/autoscalinglisteners.actions.github.com crd/autoscalingrunnersets.actions.github.com` + at,
		get + `arc-systems --output 'jsonpath={.data.hooks\.arc` + out + `arc-cleanup enrol arc --namespace arc-systems --hooks -` + at,
		get + `a --output 'jsonpath={.data.values\.runners` + out + `HELM_DRIVER=configmap helm install runners '/with space/s' --namespace a --values - --timeout 1m0s` + helmAt,
		`kubectl delete secret arc-cleanup-upgrade --ignore-not-found --namespace a` + at,
		`kubectl delete secret arc-cleanup-upgrade --ignore-not-found --namespace arc-systems` + at,
	}
	removeSet := []string{
		run + `runners --release-namespace a` + engine + `scope scale-set --controller-namespace arc-systems --busy-runners wait` + at,
		`HELM_DRIVER=configmap helm uninstall runners --namespace a --ignore-not-found --no-hooks --timeout 1m0s` + helmAt,
	}
	u := upgrading()
	for i, s := range p.Steps {
		var want []string
		switch {
		case s.Kind == Save:
		case s.Kind == Clean:
			want = all
		case s.Kind == Uninstall:
			want = all[1:]
		case s.Kind == MarkUninstalled:
			want = all[2:]
		case s.Kind == Install && s.Release.Controller:
			want = all[1:]
		case s.Kind == Install:
			want = slices.Concat(removeSet, all[5:])
		case s.Kind == Ready:
			want = all[3:]
		case s.Kind == Enrol:
			want = all[4:]
		case s.Kind == Forget:
			want = all[6:]
		}
		if diff := cmp.Diff(want, u.Commands(p, i)); diff != "" {
			t.Errorf("stopped at %s of %s (-want +got):\n%s", s.Kind, s.Release.Name, diff)
		}
	}
}

// What a broken installation has left is removed first.
func TestCommandsRemove(t *testing.T) {
	t.Parallel()
	arc, set := installed("arc-systems", "arc", "failed"), installed("a", "runners", "failed")
	set.Sets = []types.NamespacedName{{Namespace: "b", Name: "set"}}
	u := upgrading()
	u.Helm.Kubeconfig, u.Helm.Context = "/k", ""
	state := saved(true, arc, set)
	state.Releases[0].Controllers = []Controller{{Namespace: "control", Name: "arc"}}
	p := newPlan(Situation{Saved: state, Found: []Found{arc, set}, Target: target("2")})
	got := u.Commands(p, 0)
	want := []string{
		"helm uninstall arc --namespace arc-systems --ignore-not-found --no-hooks --cascade foreground --wait=legacy --timeout 1m0s --kubeconfig /k",
		"arc-cleanup run --yes --release runners --release-namespace a --backup=false --budget 1m0s --grace 1s --scope scale-set --controller-namespace control --runner-namespace b --busy-runners wait --kubeconfig /k",
		"helm uninstall runners --namespace a --ignore-not-found --no-hooks --timeout 1m0s --kubeconfig /k",
	}
	for i, at := range []int{0, 3, 4} {
		if got[at] != want[i] {
			t.Errorf("%s\nwant %s", got[at], want[i])
		}
	}
	if n := strings.Count(strings.Join(got, "\n"), "--kubeconfig /k"); n < len(got) {
		t.Errorf("%d of %d commands name the cluster", n, len(got))
	}
}

// Values are never part of a command or of a printed plan.
func TestSecretsAreNotShown(t *testing.T) {
	t.Parallel()
	arc := installed("arc-systems", "arc", "deployed")
	arc.Values = []byte(`{"token": "ghp_secret"}`)
	p := newPlan(Situation{Found: []Found{arc}, Target: target("2")})
	all := strings.Join(upgrading().Commands(p, 1), "\n")
	for _, s := range p.Steps {
		all += s.What
	}
	if all == "" || strings.Contains(all, "ghp_secret") {
		t.Error(all)
	}
}

// script is an executable that stands for Helm where a real one would have to be
// broken, or of another version. Tests that use one are not parallel: a process
// forked at the same time would hold the file open for writing.
func script(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "helm")
	if err := os.WriteFile(path, []byte("#!/bin/sh\n"+text), 0o700); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestHelmIsChecked(t *testing.T) {
	for text, want := range map[string]string{
		"echo -n v3.22.0": "", "echo -n v4.3.1": "",
		"echo -n v2.17.0":           `has the version "v2.17.0"; Helm 3 or 4 is needed`,
		"echo -n hello":             `has the version "hello"`,
		"echo no cluster >&2;false": "helm version --template: exit status 1\nno cluster",
	} {
		h := &Helm{Binary: script(t, text)}
		if err := h.identify(t.Context()); (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", text, err, want)
		}
	}
	for _, missing := range []string{"no-such-helm", "/no/such/helm"} {
		if err := (&Helm{Binary: missing}).identify(t.Context()); err == nil || !strings.Contains(err.Error(), "install Helm 3 or 4 on PATH, or give its path with --helm") {
			t.Errorf("%s: %v", missing, err)
		}
	}
}

// Helm's own settings must not make it mean another cluster.
func TestHelmSeesTheSame(t *testing.T) {
	r := installed("arc-systems", "arc", "deployed").Release
	for text, want := range map[string]string{
		`echo '[{"revision":3,"status":"deployed"}]'`: "",
		`echo '[{"revision":2}]'`:                     "the newest revision of release arc in namespace arc-systems is 3",
		`echo '[]'`:                                   "the newest revision",
		`echo '?'`:                                    "helm history of release arc",
		`echo release: not found >&2; exit 1`:         "release: not found",
	} {
		h := &Helm{Binary: script(t, text), Context: "here", Kubeconfig: "/k"}
		if err := h.sees(t.Context(), r, 3); (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", text, err, want)
		}
	}
	env := environment([]string{"HOME=/h", "HELM_KUBECONTEXT=prod", "HELM_KUBETOKEN=t", "HELM_NAMESPACE=n", "ARC_CLEANUP_GITHUB_TOKEN=t", "ARC_CLEANUP_SET=a", "HELM_DRIVER=sql", "HELM_CACHE_HOME=/c"}, "configmap")
	if diff := cmp.Diff([]string{"HOME=/h", "ARC_CLEANUP_SET=a", "HELM_DRIVER=sql", "HELM_CACHE_HOME=/c", "HELM_MAX_HISTORY=0", "HELM_DRIVER=configmap"}, env); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// What rendered is judged before anything goes.
func TestJudge(t *testing.T) {
	t.Parallel()
	releases := []Release{
		installed("arc-systems", "arc", "").Release, installed("a", "runners", "").Release,
	}
	const controller, set = "controller", "scale-set"
	for want, results := range map[string][]result{
		"": {{rendered{scope: controller, version: "2"}, nil}, {rendered{scope: set, version: "2"}, nil}},
		"the controller would be ARC 2, which deletes":   {{rendered{scope: controller, version: "2"}, nil}, {rendered{scope: set, version: "1"}, nil}},
		"does not install ARC's controller":              {{rendered{scope: set, version: "2"}, nil}, {rendered{scope: set, version: "2"}, nil}},
		"does not install a scale set":                   {{rendered{scope: controller, version: "2"}, nil}, {rendered{scope: controller, version: "2"}, nil}},
		"release runners in namespace a does not render": {{rendered{scope: controller, version: "2"}, nil}, {rendered{}, os.ErrInvalid}},
	} {
		got := judge(target("2"), releases, results)
		if want == "" && len(got) == 0 {
			continue
		}
		if len(got) != 1 || want == "" || !strings.Contains(got[0].Message, want) {
			t.Errorf("want %q, got %+v", want, got)
		}
	}
}

func TestResolve(t *testing.T) {
	t.Parallel()
	sets := Situation{Found: []Found{installed("arc-systems", "arc", ""), installed("a", "runners", "")}}
	begun := Situation{Saved: saved(true, sets.Found...)}
	here, err := filepath.Abs("charts/x")
	if err != nil {
		t.Fatal(err)
	}
	tests := map[string]struct {
		q    Request
		s    Situation
		want Target
		err  string
	}{
		"ARC's own": {Request{Version: "2"}, sets, Target{Chart{Ref: ControllerChart, Version: "2"}, Chart{Ref: ScaleSetChart, Version: "2"}}, ""},
		"a mirror": {
			q: Request{Version: "2", Chart: "oci://r/c", ScaleSetChart: "oci://r/s"}, s: sets,
			want: Target{Chart{Ref: "oci://r/c", Version: "2"}, Chart{Ref: "oci://r/s", Version: "2"}},
		},
		"a folder and ARC's own": {Request{Version: "2", ScaleSetChart: "charts/x"}, sets, Target{Chart{Ref: ControllerChart, Version: "2"}, Chart{Ref: here}}, ""},
		"no scale sets":          {Request{Chart: "charts/x"}, Situation{Found: sets.Found[:1]}, Target{Controller: Chart{Ref: here}}, ""},
		"nothing":                {Request{}, sets, Target{}, "give the version to upgrade to"},
		"nothing, going on":      {Request{}, begun, begun.Saved.Target, ""},
		"one chart only":         {Request{Chart: "charts/x"}, begun, Target{}, "give --scale-set-chart, or --version for ARC's own chart"},
		"the other only":         {Request{ScaleSetChart: "charts/x"}, sets, Target{}, "give --chart, or --version for ARC's own chart"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, err := test.q.resolve(test.s)
			if test.err != "" {
				var usage UsageError
				if !errors.As(err, &usage) || !strings.Contains(err.Error(), test.err) {
					t.Errorf("%v", err)
				}
				return
			}
			if diff := cmp.Diff(test.want, got, cmp.AllowUnexported(Chart{})); err != nil || diff != "" {
				t.Errorf("%v (-want +got):\n%s", err, diff)
			}
		})
	}
}

// Helm is ended in time, and when the upgrade is interrupted.
func TestHelmEnds(t *testing.T) {
	h := &Helm{Binary: script(t, "exec sleep 60")}
	if _, err := h.run(t.Context(), 100*time.Millisecond, nil, "", "install", "arc", "--x"); err == nil || !strings.Contains(err.Error(), "helm install arc: not finished after 100ms") {
		t.Errorf("%v", err)
	}
	cause := errors.New("interrupted")
	ctx, cancel := context.WithCancelCause(t.Context())
	time.AfterFunc(100*time.Millisecond, func() { cancel(cause) })
	if _, err := h.run(ctx, time.Minute, nil, "", "install"); !errors.Is(err, cause) {
		t.Errorf("%v", err)
	}
}
