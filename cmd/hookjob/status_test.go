package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/arc-cleanup/arc-cleanup/internal/arc"
	"github.com/arc-cleanup/arc-cleanup/internal/chart"
	"github.com/arc-cleanup/arc-cleanup/internal/enrol"
	"github.com/arc-cleanup/arc-cleanup/internal/helm"
	"github.com/arc-cleanup/arc-cleanup/internal/plan"
	"github.com/arc-cleanup/arc-cleanup/internal/status"
)

func TestPrintStatus(t *testing.T) {
	chart := helm.Chart{Name: "gha-runner-scale-set-controller", Version: "0.6.1", AppVersion: "0.6.1"}
	document := &status.Document{
		Version: status.Version,
		Releases: []status.Release{
			{
				Name: "arc", Namespace: "systems", Revision: 2, State: "deployed", Chart: chart, Installs: "controller",
				Hook:      status.HookReport{State: status.Present, Chart: "arc-cleanup-0.1.0"},
				Uninstall: status.Uninstall{Why: []string{"scale set a is still installed", "scale set b is still installed"}, Do: []string{"helm uninstall a", "helm uninstall a"}, Phases: []status.Phase{}, Leaves: []status.Object{}},
			},
			{
				Name: "gpu", Namespace: "runners", Revision: 1, State: "deployed", Chart: chart, Installs: "scale-set",
				Hook:      status.HookReport{State: status.Enrolling, Why: "its enroller cannot run: Pod p: ErrImagePull: not found"},
				Uninstall: status.Uninstall{Why: []string{"without the hook things stay"}, Do: []string{"arc-cleanup enrol gpu"}, Phases: []status.Phase{}, Leaves: []status.Object{}},
			},
			{
				Name: "cpu", Namespace: "runners", Revision: 1, State: "uninstalling", Chart: chart, Installs: "scale-set",
				Hook:      status.HookReport{State: status.Present, Chart: "arc-cleanup-0.1.0"},
				Rollbacks: []status.Revision{{Revision: 2, Version: "0.13.1"}},
				Uninstall: status.Uninstall{Ready: true, Why: []string{}, Do: []string{}, Phases: []status.Phase{{Name: plan.PhaseDrain, Steps: 3}, {Name: plan.PhaseCRDs, Steps: 4}}, Kept: 1, Leaves: []status.Object{
					{Resource: "serviceaccounts", Namespace: "runners", Name: "cpu", Why: "it lacks the label app.kubernetes.io/managed-by: Helm"},
					{Resource: "clusterroles.rbac.authorization.k8s.io", Name: "a\nb", Why: "you may not"},
				}},
			},
			{
				Name: "flux", Namespace: "systems", Storage: "flux-system", Revision: 1, State: "deployed", Chart: chart, Installs: "controller",
				Hook:      status.HookReport{State: status.Present, Chart: "arc-cleanup-0.1.0"},
				Uninstall: status.Uninstall{Why: []string{"its hook would refuse"}, Do: []string{"set storageNamespace: flux-system"}, Phases: []status.Phase{}, Leaves: []status.Object{}},
			},
			{
				Name: "old", Namespace: "runners", Revision: 1, State: "uninstalled", Chart: chart, Installs: "scale-set",
				Hook:      status.HookReport{State: status.Absent, Why: "this revision was rendered without it"},
				Uninstall: status.Uninstall{Why: []string{"it is uninstalled, and only its history is kept"}, Do: []string{}, Phases: []status.Phase{}, Leaves: []status.Object{}},
			},
			{
				Name: "forged", Namespace: "tenant", Revision: 1, State: "\x1b[2Jdeployed", Chart: helm.Chart{Name: "a\nb"}, Installs: "scale-set",
				Hook:      status.HookReport{State: status.Absent, Why: "\x1b]0;x\a"},
				Uninstall: status.Uninstall{Why: []string{"a\nready: nothing to do"}, Do: []string{"\x1b[2J"}, Phases: []status.Phase{}, Leaves: []status.Object{}},
			},
		},
		Controllers: []status.Controller{
			{Namespace: "systems", Name: "arc-gha-rs-controller", Group: arc.Group, Watches: []string{}},
			{Namespace: "systems", Name: "gpu", Group: arc.Group, Watches: []string{"a", "b"}, Down: "has no ready replica"},
			{Namespace: "legacy", Name: "old", Group: arc.LegacyGroup, Watches: []string{}, Down: "is crash-looping", Deleting: true},
		},
		ScaleSets: []status.ScaleSet{
			{Namespace: "runners", Name: "a", Release: "gpu", ReleaseNamespace: "runners", Runners: 3, Busy: 1},
			{Namespace: "runners", Name: "b", Deleting: true},
		},
		Stuck:   []status.Object{{Resource: "namespaces", Name: "old", Why: "is Terminating"}},
		Remains: []plan.Remain{{What: "the Lease x in namespace ns", Do: []string{"kubectl delete lease x --namespace ns"}}},
		Unknown: []string{"listing secrets: forbidden", "a\rb"},
	}
	var out bytes.Buffer
	printStatus(&out, document, status.Query{})
	golden(t, "status.txt", out.String())
	data, err := json.MarshalIndent(document, "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	golden(t, "status.json", string(data)+"\n")

	out.Reset()
	printStatus(&out, &status.Document{}, status.Query{})
	if diff := cmp.Diff("No Helm release of ARC.\n", out.String()); diff != "" {
		t.Error(diff)
	}

	// What was not asked for was not read: a set is then not called one without a release.
	out.Reset()
	sets := []status.ScaleSet{{Namespace: "runners", Name: "a"}}
	printStatus(&out, &status.Document{ScaleSets: sets}, status.Query{Namespace: "ns", Release: "arc"})
	if diff := cmp.Diff(`No Helm release of ARC has the name "arc" in namespace ns. For all namespaces: arc-cleanup status --all-namespaces

No controller of ARC was found: nothing removes ARC's finalizers.

SCALE SET   NAMESPACE   RELEASE    RUNNERS   BUSY   STATE
a           runners     not read   0         0      installed
`, out.String()); diff != "" {
		t.Error(diff)
	}
}

// Status understands every argument that the chart writes into the hook's Job.
func TestOptionsOfTheHook(t *testing.T) {
	tests := map[string]struct {
		values map[string]any
		want   plan.Options
	}{
		"a controller": {
			map[string]any{"policy": map[string]any{"scaleSets": "delete", "grace": "7s"}, "watchNamespaces": []any{"w"}},
			plan.Options{Scope: plan.ScopeController, Job: "r-arc-cleanup", ReleaseNamespace: "ns", RequireUninstalling: true, WatchNamespaces: []string{"w"}, ScaleSets: plan.DeleteScaleSets, CRDs: plan.DeleteCRDs, GitHub: plan.KeepRegistered, Grace: 7 * time.Second},
		},
		"a scale set": {
			map[string]any{"scope": "scale-set", "controllerNamespaces": []any{"c"}, "policy": map[string]any{"busyRunners": "force"}},
			plan.Options{Scope: plan.ScopeScaleSet, Job: "r-arc-cleanup-scale-set", ReleaseNamespace: "ns", RequireUninstalling: true, ControllerNamespaces: []string{"c"}, ScaleSets: plan.RefuseScaleSets, CRDs: plan.DeleteCRDs, BusyRunners: plan.ForceBusy, GitHub: plan.KeepRegistered, Grace: time.Minute},
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			hooks, err := chart.Render(chart.Release{Name: "r", Namespace: "ns"}, chart.Merge(test.values, map[string]any{"image": map[string]any{"repository": "registry.example/arc-hookjob"}}))
			if err != nil {
				t.Fatal(err)
			}
			var args []string
			for line := range strings.Lines(hooks[len(hooks)-1].Manifest) {
				if arg, ok := strings.CutPrefix(strings.TrimSpace(line), "- "); ok && (arg == "run" || strings.HasPrefix(arg, "--")) {
					args = append(args, arg)
				}
			}
			got, err := optionsOf(append(args, "--of-a-later-version=1"))
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
	for _, args := range [][]string{nil, {"plan"}, {"run", "--grace=soon"}, {"run", "--scope=x"}} {
		if _, err := optionsOf(args); err == nil {
			t.Errorf("%v: no error", args)
		}
	}
}

func TestPrintOutcome(t *testing.T) {
	target := chart.Release{Name: "arc", Namespace: "ns"}
	job := []helm.Hook{{Name: "arc-arc-cleanup", Kind: "Job"}}
	old := []helm.Hook{{Name: "old", Kind: "Job"}}
	tests := map[string]struct {
		out    enrol.Outcome
		dryRun bool
		want   string
	}{
		"enrolled":   {enrol.Outcome{Changed: true, After: job}, false, ": enrolled\n  + Job arc-arc-cleanup\nSee it: helm get hooks arc --namespace ns\n"},
		"again":      {enrol.Outcome{Changed: true, Before: old, After: job}, false, ": enrolled again, the hook was another one\n  - Job old\n  + Job arc-arc-cleanup\nSee it: helm get hooks arc --namespace ns\n"},
		"dry run":    {enrol.Outcome{Changed: true, After: job}, true, ": enrolled (dry run: nothing was written)\n  + Job arc-arc-cleanup\n"},
		"already":    {enrol.Outcome{Before: job, After: job}, false, ": already enrolled, unchanged\n"},
		"unenrolled": {enrol.Outcome{Changed: true, Before: job}, false, ": unenrolled\n  - Job arc-arc-cleanup\n"},
		"not there":  {enrol.Outcome{}, true, ": not enrolled, unchanged\n"},
	}
	for name, test := range tests {
		var out bytes.Buffer
		test.out.Revision = 3
		printOutcome(&out, target, &test.out, test.dryRun)
		if diff := cmp.Diff("release arc in namespace ns, revision 3"+test.want, out.String()); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
	}
}

// TestForecast: status tells how an upgrade would go from the installed versions, legacy ARC apart.
func TestForecast(t *testing.T) {
	t.Parallel()
	release := func(installs, version, state string) status.Release {
		return status.Release{Installs: installs, State: state, Chart: helm.Chart{AppVersion: version}}
	}
	d := &status.Document{Releases: []status.Release{
		release("controller", "0.13.1", "deployed"), release("scale-set", "0.13.0", "deployed"),
		release("legacy", "0.27.6", "deployed"), release("scale-set", "0.9.0", "uninstalled"),
	}}
	for to, want := range map[string]string{
		"": "",
		"0.14.2": "\narc-cleanup upgrade --version 0.14.2\n    Way: freeze-and-swap, because from 0.13 to 0.14 this was seen to work: 0.13.1 to 0.14.2.\n" +
			"    To see what stands in the way: arc-cleanup upgrade --version 0.14.2 --dry-run\n\n",
		"0.13.2":     "    Way: helm-upgrade, because ",
		"0.15.0":     "    Way: reinstall, because ",
		"0.15.0-rc1": "is not the version of a release of ARC",
	} {
		var out bytes.Buffer
		printForecast(&out, (&statusFlags{upgradeTo: to}).forecast(d, status.Query{}))
		if !strings.Contains(out.String(), want) || (to == "") != (out.Len() == 0) {
			t.Errorf("to %q:\n%s", to, &out)
		}
	}
	if f := (&statusFlags{upgradeTo: "0.14.2"}).forecast(&status.Document{}, status.Query{}); f != nil {
		t.Errorf("without releases: %+v", f)
	}
}

// TestForecastOfTheInstalledVersion: status finds nothing to do where upgrade does.
func TestForecastOfTheInstalledVersion(t *testing.T) {
	t.Parallel()
	release := func(version, state string, crds ...arc.LackingCRD) status.Release {
		return status.Release{Installs: "controller", State: state, Chart: helm.Chart{Version: version, AppVersion: version}, CRDs: crds}
	}
	lacks := arc.LackingCRD{Name: "x", Lacks: []string{"no spec.a"}}
	for name, test := range map[string]struct {
		to       string
		releases []status.Release
		query    status.Query
		unknown  []string
		want     string
	}{
		"all":                  {"0.6.1", []status.Release{release("0.6.1", "deployed"), release("0.6.1", "deployed")}, status.Query{}, nil, "\nNothing to do: every release has version 0.6.1.\n"},
		"those asked for":      {"0.6.1", []status.Release{release("0.6.1", "deployed")}, status.Query{Namespace: "a"}, nil, "\nNothing to do: every release above has version 0.6.1.\n"},
		"those that were read": {"0.6.1", []status.Release{release("0.6.1", "deployed")}, status.Query{}, []string{"x"}, "\nNothing to do: every release above has version 0.6.1.\n"},
		"one has not":          {"0.6.1", []status.Release{release("0.6.1", "deployed"), release("0.6.0", "deployed")}, status.Query{}, nil, "Way: reinstall"},
		"one has failed":       {"0.13.1", []status.Release{release("0.13.1", "deployed"), release("0.13.1", "failed")}, status.Query{}, nil, "Way: helm-upgrade"},
		"a CRD is older":       {"0.13.1", []status.Release{release("0.13.1", "deployed", lacks)}, status.Query{}, nil, "Way: helm-upgrade"},
		"a CRD that stays":     {"0.6.1", []status.Release{release("0.6.1", "deployed", lacks)}, status.Query{}, nil, "Nothing to do"},
	} {
		var out bytes.Buffer
		printForecast(&out, (&statusFlags{upgradeTo: test.to}).forecast(&status.Document{Releases: test.releases, Unknown: test.unknown}, test.query))
		if nothing := strings.HasPrefix(test.want, "\nNothing"); !strings.Contains(out.String(), test.want) || nothing && out.String() != test.want {
			t.Errorf("%s:\n%s", name, &out)
		}
	}
}

func TestUpgradeToIsAVersion(t *testing.T) {
	t.Parallel()
	a := &api{}
	kubeconfig := a.kubeconfig(t)
	for _, to := range []string{"banana", "0.14", "v0.14.2", ">0.14.2", "0.14.2 ", "0.14.2\x1b["} {
		got := command(t.Context(), nil, "status", "--kubeconfig", kubeconfig, "--upgrade-to", to)
		if want := fmt.Sprintf("--upgrade-to %q is not a version: want e.g. 0.14.2\n", to); got.code != exitUsage || !strings.Contains(got.stderr, want) {
			t.Errorf("%q: exit code %d\n%s", to, got.code, got.stderr)
		}
	}
	for _, to := range []string{"0.14.2", "0.15.0-rc.1+build"} {
		if got := command(t.Context(), nil, "status", "--kubeconfig", kubeconfig, "--upgrade-to", to); got.code != exitDone {
			t.Errorf("%q: exit code %d\n%s", to, got.code, got.stderr)
		}
	}
}

// Status names the CRDs that are not those of the chart, and the command that changes them where there is one.
func TestPrintLackingCRDs(t *testing.T) {
	t.Parallel()
	const named = "    The CRDs are not those of this chart, since Helm never upgrades CRDs. What the controller writes may be lost.\n" +
		"    The CRD x has no spec.a\n    The CRD y has no spec.b\n"
	crds := []arc.LackingCRD{{Name: "x", Lacks: []string{"no spec.a"}}, {Name: "y", Lacks: []string{"no spec.b"}}}
	for name, test := range map[string]struct {
		version string
		crds    []arc.LackingCRD
		want    string
	}{
		"none":            {"0.13.1", nil, ""},
		"older ones":      {"0.13.1", crds, named + "        arc-cleanup upgrade --version 0.13.1\n"},
		"before the gate": {"0.11.0", crds, named},
	} {
		var out bytes.Buffer
		printLackingCRDs(&out, status.Release{Chart: helm.Chart{Version: test.version, AppVersion: test.version}, CRDs: test.crds})
		if diff := cmp.Diff(test.want, out.String()); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}
