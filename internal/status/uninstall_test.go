package status

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/arc-cleanup/arc-cleanup/internal/helm"
	"github.com/arc-cleanup/arc-cleanup/internal/release"
	"github.com/arc-cleanup/arc-cleanup/internal/survey"
)

// Status reports what the hook will find. Every command that it prints works in that state.
func TestUninstall(t *testing.T) {
	t.Parallel()
	mine := hooked("--job=hook", "--release-namespace=ns")
	plain := func(status helm.Status) record {
		return record{name: "arc", namespace: "ns", status: status, manifest: set}
	}
	with := func(status helm.Status, hooks []map[string]string) record {
		r := plain(status)
		r.hooks = hooks
		return r
	}
	flux := with(helm.Deployed, mine)
	flux.storage = "flux-system"
	unhooked := flux
	unhooked.hooks = nil
	labelled := plain(helm.Deployed)
	labelled.manifest = "apiVersion: actions.github.com/v1alpha1\nkind: AutoscalingRunnerSet\nmetadata:\n  name: set\n  labels: {helm.toolkit.fluxcd.io/name: the-set}\n"
	fleet := plain(helm.Deployed)
	fleet.chart = map[string]any{"metadata": map[string]any{"annotations": map[string]string{"fleet.cattle.io/bundle-id": "the-bundle"}}}
	overridden := plain(helm.Deployed)
	overridden.manifest += "---\nkind: ConfigMap\nmetadata: {name: e, namespace: elsewhere, labels: {app.kubernetes.io/name: arc-cleanup, app.kubernetes.io/component: enroller}}\ndata: {hooks.json: '[]'}\n"
	other := func(status helm.Status) record {
		return record{name: "other", namespace: "ns", status: status, hooks: mine}
	}
	both := func(name string, status helm.Status) record {
		hooks := hooked("--job=hook", "--release-namespace=ns", "--storage-namespace=tenant")
		r := record{name: name, namespace: "ns", storage: "tenant", status: status, hooks: hooks}
		if name == "arc" {
			r.manifest = set
		}
		return r
	}
	const without = "without the hook, ARC's CRDs stay, and so do finalizers that no controller clears"
	const rendered = "this revision was rendered without it"
	const enrol = "arc-cleanup enrol arc --namespace ns"
	tests := map[string]struct {
		records []record
		hook    HookReport
		ready   bool
		why, do []string
	}{
		"with the hook": {[]record{with(helm.Deployed, mine)}, HookReport{State: Present, Chart: "arc-cleanup-1"}, true, nil, nil},
		"failed":        {[]record{with(helm.Failed, mine)}, HookReport{State: Present, Chart: "arc-cleanup-1"}, true, nil, nil},
		"asks no proof": {[]record{with(helm.Deployed, hooked("--no-proof", "--release-namespace=ns"))}, HookReport{State: Present, Chart: "arc-cleanup-1"}, true, nil, nil},
		"asks no proof, and speaks for another namespace": {[]record{with(helm.Deployed, hooked("--no-proof", "--release-namespace=other"))}, HookReport{State: Present, Chart: "arc-cleanup-1"}, false, []string{"its hook is for a release in namespace other, and it is in ns"}, []string{enrol}},
		"deployed":       {[]record{plain(helm.Deployed)}, HookReport{State: Absent, Why: rendered}, false, []string{without}, []string{enrol}},
		"upgrade failed": {[]record{plain(helm.Failed)}, HookReport{State: Absent, Why: rendered}, false, []string{without}, []string{enrol}},
		"being upgraded": {[]record{plain(helm.PendingUpgrade)}, HookReport{State: Absent, Why: rendered}, false, []string{
			without, "release arc in namespace ns is pending-upgrade (revision 1): Helm is at work on it, and would overwrite the edit; try again when Helm has finished; if it was stopped, `helm rollback arc --namespace ns` ends that",
		}, nil},
		"being uninstalled": {[]record{plain(helm.Uninstalling)}, HookReport{State: Absent, Why: rendered}, false, []string{
			without, "release arc in namespace ns is uninstalling (revision 1): it is being uninstalled with its present hooks; `helm uninstall arc --namespace ns` goes on with that, and `arc-cleanup run --all-namespaces` removes what it leaves of ARC",
		}, nil},
		"uninstalled, with its history": {[]record{with(helm.Uninstalled, mine)}, HookReport{State: Present, Chart: "arc-cleanup-1"}, false, []string{"it is uninstalled, and only its history is kept"}, nil},
		"of Flux":                       {[]record{labelled}, HookReport{State: Absent, Why: rendered}, false, []string{without, `Flux's HelmRelease "the-set" would undo an enrolment`}, []string{"make arc-cleanup a dependency of its chart"}},
		"of Flux, with a log to print": {
			[]record{func() record {
				r := labelled
				r.hooks = hooked("--job=hook", "--release-namespace=ns")
				r.hooks[0]["manifest"] = strings.Replace(r.hooks[0]["manifest"], "annotations: {", "annotations: {helm.sh/hook-output-log-policy: hook-failed, ", 1)
				return r
			}()},
			HookReport{State: Present, Chart: "arc-cleanup-1"},
			false,
			[]string{`Flux's helm-controller panics over a hook whose log is to be printed: the deletion of HelmRelease "the-set" would not end`},
			[]string{"set storageNamespace: ns among the values of arc-cleanup"},
		},
		"of Fleet, with a log to print": {
			[]record{func() record {
				r := fleet
				r.hooks = hooked("--job=hook", "--release-namespace=ns")
				r.hooks[0]["manifest"] = strings.Replace(r.hooks[0]["manifest"], "annotations: {", "annotations: {helm.sh/hook-output-log-policy: hook-failed, ", 1)
				return r
			}()},
			HookReport{State: Present, Chart: "arc-cleanup-1"},
			false,
			[]string{`Fleet's agent panics over a hook whose log is to be printed: the uninstall of bundle "the-bundle" would not end`},
			[]string{"set storageNamespace: ns among the values of arc-cleanup"},
		},
		"of Fleet, with none": {
			[]record{func() record {
				r := fleet
				r.hooks = hooked("--job=hook", "--release-namespace=ns", "--storage-namespace=ns")
				return r
			}()},
			HookReport{State: Present, Chart: "arc-cleanup-1"},
			true, nil, nil,
		},
		"of Flux, with none": {
			[]record{func() record {
				r := labelled
				r.hooks = hooked("--job=hook", "--release-namespace=ns", "--storage-namespace=ns")
				return r
			}()},
			HookReport{State: Present, Chart: "arc-cleanup-1"},
			true, nil, nil,
		},
		"of Flux, stored elsewhere": {
			[]record{flux},
			HookReport{State: Present, Chart: "arc-cleanup-1"},
			false,
			[]string{"its hook looks for Helm's record in namespace ns, and it is in flux-system: it would refuse"},
			[]string{"set storageNamespace: flux-system among the values of arc-cleanup"},
		},
		"of Flux, stored elsewhere, without the hook": {
			[]record{unhooked},
			HookReport{State: Absent, Why: rendered},
			false,
			[]string{without, "its record is in namespace flux-system, where it cannot be enrolled"},
			[]string{"make arc-cleanup a dependency of its chart, with storageNamespace: flux-system"},
		},
		"of Flux, and told so": {[]record{func() record {
			r := flux
			r.hooks = hooked("--job=hook", "--release-namespace=ns", "--storage-namespace=flux-system")
			return r
		}()}, HookReport{State: Present, Chart: "arc-cleanup-1"}, true, nil, nil},
		"told another storage": {
			[]record{with(helm.Deployed, hooked("--job=hook", "--release-namespace=ns", "--storage-namespace=flux-system"))},
			HookReport{State: Present, Chart: "arc-cleanup-1"},
			false,
			[]string{"its hook looks for Helm's record in namespace flux-system, and it is in ns: it would refuse"},
			[]string{"set storageNamespace: ns among the values of arc-cleanup"},
		},
		"rendered for another namespace": {
			[]record{with(helm.Deployed, hooked("--job=hook", "--release-namespace=elsewhere"))},
			HookReport{State: Present, Chart: "arc-cleanup-1"},
			false,
			[]string{"its hook is for a release in namespace elsewhere, and it is in ns"},
			[]string{enrol},
		},
		"another Job's hook": {
			[]record{with(helm.Deployed, hooked("--job=another", "--release-namespace=ns"))},
			HookReport{State: Present, Chart: "arc-cleanup-1"},
			false,
			[]string{`its hook looks for a release with a hook Job "another", which this one does not have: it would refuse`},
			[]string{enrol},
		},
		"the enroller is elsewhere": {[]record{overridden}, HookReport{State: Absent, Why: "release arc is in namespace ns, and its enroller in elsewhere (namespaceOverride), where the record is not; add --post-renderer-args=--namespace --post-renderer-args=ns to the command line of Helm, or use `arc-cleanup enrol arc --namespace ns`"}, false, []string{without}, []string{enrol}},
		"unknown arguments": {
			[]record{with(helm.Deployed, hooked("--what"))},
			HookReport{State: Present, Chart: "arc-cleanup-1"},
			false,
			[]string{"its hook is not understood: the hook of release arc in namespace ns: unknown: --what"},
			nil,
		},
		"beside a release with the same Job": {
			[]record{with(helm.Deployed, mine), other(helm.Deployed)},
			HookReport{State: Present, Chart: "arc-cleanup-1"},
			true,
			[]string{`release other, which is deployed, has a hook Job "hook" as well`},
			nil,
		},
		"beside one that is being uninstalled": {
			[]record{other(helm.Uninstalling), with(helm.Deployed, mine)},
			HookReport{State: Present, Chart: "arc-cleanup-1"},
			false,
			[]string{`release other, which is uninstalling, has a hook Job "hook" as well`},
			[]string{"helm uninstall other --namespace ns"},
		},
		"beside one that is being uninstalled, says who may write elsewhere": {
			[]record{both("other", helm.Uninstalling), both("arc", helm.Deployed)},
			HookReport{State: Present, Chart: "arc-cleanup-1"},
			false,
			[]string{`release other, which is uninstalling, has a hook Job "hook" as well`},
			nil,
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d, err := Read(t.Context(), serve(t, nil, test.records...), Query{Options: options})
			if err != nil || len(d.Releases) != 1 {
				t.Fatalf("%+v, %v", d, err)
			}
			got := d.Releases[0]
			if got.Hook != test.hook || got.Uninstall.Ready != test.ready {
				t.Errorf("%+v", got)
			}
			if diff := cmp.Diff(slices.Concat(test.why, []string{"do:"}, test.do), slices.Concat(got.Uninstall.Why, []string{"do:"}, got.Uninstall.Do)); diff != "" {
				t.Error(diff)
			}
			if (got.Storage != "") != (test.records[0].storage != "") {
				t.Errorf("stored in %q", got.Storage)
			}
		})
	}
}

// Status reports an off switch and the hook's refusals, with what to do about them.
func TestNotReady(t *testing.T) {
	t.Parallel()
	mine := record{name: "arc", namespace: "ns", status: helm.Deployed, manifest: set, hooks: hooked("--job=hook", "--release-namespace=ns")}
	off := []map[string]any{{"kind": "ConfigMap", "apiVersion": "v1", "metadata": map[string]any{"name": survey.OffSwitch, "namespace": "ns"}}}
	d, err := Read(t.Context(), serveMore(t, nil, off, mine), Query{Options: options})
	if err != nil || d.Releases[0].Uninstall.Ready || !slices.Contains(d.Releases[0].Uninstall.Why, "the hook is switched off by the ConfigMap "+survey.OffSwitch) {
		t.Errorf("off: %+v, %v", d.Releases, err)
	}
	d, err = Read(t.Context(), serve(t, map[string]int{"LIST role ns": 403}, mine), Query{Options: options})
	if err != nil || d.Releases[0].Uninstall.Ready || len(d.Releases[0].Uninstall.Why) == 0 || len(d.Releases[0].Uninstall.Do) == 0 {
		t.Errorf("refused: %+v, %v", d.Releases, err)
	}

	// It may be the one that has the same hook Job: the hook would not go on.
	broken := record{name: "broken", namespace: "ns", status: helm.Uninstalling, broken: true}
	d, err = Read(t.Context(), serve(t, nil, mine, broken), Query{Options: options})
	if !errors.Is(err, release.ErrUnreadable) || len(d.Releases) != 1 || d.Releases[0].Uninstall.Ready || len(d.Releases[0].Uninstall.Why) != 1 || len(d.Unknown) != 2 {
		t.Errorf("beside an unreadable record: %+v, %v", d, err)
	}

	unknown := mine
	unknown.hooks = hooked("--what")
	d, err = Read(t.Context(), serve(t, nil, unknown), Query{Options: options})
	if err != nil || len(d.Unknown) != 1 {
		t.Errorf("unknown arguments: %v, %v", d.Unknown, err)
	}
	large := mine
	large.hooks = nil
	large.manifest += "---\nkind: ConfigMap\nmetadata: {name: arc-cleanup\ndata: {hooks.json: [}\n---\n# " + strings.Repeat("x", 100<<10) + "\n"
	d, err = Read(t.Context(), serve(t, nil, large), Query{Options: options})
	if err != nil || len(d.Unknown) != 1 || len(d.Releases) != 1 || d.Releases[0].Hook.State != Absent {
		t.Errorf("an unreadable enroller: %+v, %v", d, err)
	}
}

// Kubernetes admits no hook into a namespace that is being deleted, so nothing is ready there. A record that is
// stored elsewhere says nothing about the namespace.
func TestNoHookRunsInATerminatingNamespace(t *testing.T) {
	t.Parallel()
	const why = "namespace ns is being deleted: Kubernetes admits no new Pod there, and so no hook"
	mine := record{name: "arc", namespace: "ns", status: helm.Deployed, manifest: set, hooks: hooked("--job=hook", "--release-namespace=ns")}
	controller := mine
	controller.manifest = "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: c, namespace: ns, labels: {app.kubernetes.io/part-of: gha-rs-controller}}\n" +
		"spec: {template: {spec: {containers: [{name: manager, command: [/manager], args: [--auto-scaling-runner-set-only]}]}}}\n"
	elsewhere := mine
	elsewhere.storage = "tenant"
	gone := mine
	gone.status = helm.Uninstalled
	for name, test := range map[string]struct {
		record record
		do     []string
		closed bool
	}{
		"a scale set": {mine, []string{"arc-cleanup run --namespace ns"}, true},
		"a controller": {controller, []string{
			"arc-cleanup run --scope controller --release arc --release-namespace ns", "helm uninstall arc --namespace ns --no-hooks",
		}, true},
		"a record elsewhere": {elsewhere, nil, false},
		"its history":        {gone, nil, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			namespace := map[string]any{"kind": "Namespace", "apiVersion": "v1", "metadata": map[string]any{"name": "ns", "deletionTimestamp": "2026-01-02T03:04:05Z"}}
			d, err := Read(t.Context(), serveMore(t, nil, []map[string]any{namespace}, test.record), Query{Options: options})
			if err != nil || len(d.Releases) != 1 {
				t.Fatalf("%+v, %v", d, err)
			}
			got := d.Releases[0].Uninstall
			if got.Ready || len(d.Unknown) > 0 || slices.Contains(got.Why, why) != test.closed {
				t.Errorf("%+v, unknown: %q", got, d.Unknown)
			}
			if test.closed && !slices.Equal(got.Do, test.do) {
				t.Errorf("do %q, want %q", got.Do, test.do)
			}
		})
	}
}

// Only arc-cleanup's Job with a container is the hook.
func TestJobOf(t *testing.T) {
	t.Parallel()
	const metadata = "metadata: {labels: {app.kubernetes.io/name: arc-cleanup}, annotations: {helm.sh/hook: pre-delete}}\n"
	const runs = metadata + "spec: {template: {spec: {containers: [{args: [run]}]}}}\n"
	for name, hook := range map[string]map[string]string{
		"a Pod":           {"name": "hook", "kind": "Pod", "manifest": runs},
		"no container":    {"name": "hook", "kind": "Job", "manifest": metadata},
		"of another form": {"name": "hook", "kind": "Job", "manifest": metadata + "spec: {template: {spec: {containers: [{args: 1}]}}}\n"},
		"another chart's": {"name": "hook", "kind": "Job", "manifest": strings.Replace(runs, "arc-cleanup", "other", 1)},
	} {
		d, err := Read(t.Context(), serve(t, nil, record{name: "arc", namespace: "ns", status: helm.Deployed, manifest: set, hooks: []map[string]string{hook}}), Query{Options: options})
		if err != nil || len(d.Releases) != 1 || d.Releases[0].Hook.State != Absent {
			t.Errorf("%s: %+v, %v", name, d.Releases, err)
		}
	}
}

// A tenant may store any number of records. The rest of the report is not lost to them, and each is named
// with the command that reports on it alone.
func TestPreviewsHaveAnEnd(t *testing.T) {
	t.Parallel()
	of := newReader(t.Context(), serve(t, nil,
		record{name: "a", namespace: "ns", status: helm.Deployed, manifest: set, hooks: hooked("--job=hook", "--release-namespace=ns")},
	), Query{Options: options})
	of.patience = 0
	of.releases()
	u := of.document.Releases[0].Uninstall
	if u.Ready || !slices.Equal(u.Do, []string{"arc-cleanup status a --namespace ns"}) || len(u.Why) != 1 {
		t.Errorf("%+v", u)
	}
	of.patience = previews
	of.releases()
	if of.patience >= previews {
		t.Error("a preview takes nothing of the patience")
	}
}
