package status

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/arc-cleanup/arc-cleanup/internal/arc"
)

// Status reports scale sets, stuck objects, and what holds these.
func TestSetsAndStuck(t *testing.T) {
	t.Parallel()
	const deleted = "2026-01-02T03:04:05Z"
	objects := []map[string]any{{
		"kind": "AutoscalingRunnerSet", "apiVersion": "actions.github.com/v1alpha1",
		"metadata": map[string]any{
			"name": "live", "namespace": "ns", "uid": "1",
			"annotations": map[string]any{"meta.helm.sh/release-name": "rel", "meta.helm.sh/release-namespace": "relns"},
		},
		"status": map[string]any{"currentRunners": 3, "runningEphemeralRunners": 2},
	}, {
		"kind": "AutoscalingRunnerSet", "apiVersion": "actions.github.com/v1alpha1",
		"metadata": map[string]any{"name": "stuck", "namespace": "old", "uid": "2", "deletionTimestamp": deleted, "finalizers": []string{"autoscalingrunnerset.actions.github.com/finalizer", "c/d"}},
	}, {
		"kind": "AutoscalingRunnerSet", "apiVersion": "actions.github.com/v1alpha1",
		"metadata": map[string]any{"name": "later", "namespace": "waits", "uid": "3"},
	}}
	for name, metadata := range map[string]map[string]any{"ns": {}, "old": {"deletionTimestamp": deleted}, "slow": {"deletionTimestamp": deleted}, "waits": {"deletionTimestamp": deleted}} {
		metadata["name"] = name
		objects = append(objects, map[string]any{"kind": "Namespace", "apiVersion": "v1", "metadata": metadata})
	}
	c := serveMore(t, nil, objects)
	d, err := Read(t.Context(), c, Query{Options: options})
	if err != nil || len(d.Unknown) > 0 {
		t.Errorf("what refuses is no unknown: %v, %v", d.Unknown, err)
	}
	if diff := cmp.Diff([]ScaleSet{
		{Namespace: "ns", Name: "live", Runners: 3, Busy: 2}, // the release has no record
		{Namespace: "old", Name: "stuck", Deleting: true},
		{Namespace: "waits", Name: "later"},
	}, d.ScaleSets); diff != "" {
		t.Error(diff)
	}
	var stuck []string
	for _, o := range d.Stuck {
		stuck = append(stuck, fmt.Sprintf("%s %s/%s %t: %s", o.Resource, o.Namespace, o.Name, o.Since != nil, o.Why))
	}
	if diff := cmp.Diff([]string{
		"customresourcedefinitions.apiextensions.k8s.io /autoscalingrunnersets.actions.github.com false: no controller looks after it",
		"namespaces /old true: is Terminating, and held by 1 custom resource of ARC",
		"namespaces /waits true: is Terminating, and has 1 custom resource of ARC, which Kubernetes deletes after the namespace's Pods",
		"autoscalingrunnersets.actions.github.com old/stuck true: is being deleted, and held by autoscalingrunnerset.actions.github.com/finalizer, c/d",
	}, stuck); diff != "" {
		t.Error(diff)
	}
}

// The status also names, once each, the objects that a run by hand would delete.
func TestOrphans(t *testing.T) {
	t.Parallel()
	protected := map[string]any{"name": "manager", "namespace": "ns", "uid": "1", "finalizers": []string{"actions.github.com/cleanup-protection"}}
	c := serveMore(t, nil, []map[string]any{{"kind": "Role", "apiVersion": "rbac.authorization.k8s.io/v1", "metadata": protected}})
	d, err := Read(t.Context(), c, Query{Options: options})
	want := []Object{{Resource: "roles.rbac.authorization.k8s.io", Namespace: "ns", Name: "manager", Why: "no controller looks after it"}}
	if diff := cmp.Diff(want, d.Stuck); diff != "" || err != nil {
		t.Errorf("%v %s", err, diff)
	}
}

// TestStuckLegacy: of what hangs it does not matter which ARC it is of.
func TestStuckLegacy(t *testing.T) {
	t.Parallel()
	const deleted = "2026-01-02T03:04:05Z"
	c := serveMore(t, nil, []map[string]any{
		{
			"kind": "Runner", "apiVersion": "actions.summerwind.dev/v1alpha1",
			"metadata": map[string]any{"name": "r", "namespace": "ci", "uid": "1", "deletionTimestamp": deleted, "finalizers": []string{"runner.actions.summerwind.dev"}},
		},
		{"kind": "Namespace", "apiVersion": "v1", "metadata": map[string]any{"name": "ci", "deletionTimestamp": deleted}},
		{"kind": "Lease", "apiVersion": "coordination.k8s.io/v1", "metadata": map[string]any{"name": "actions-runner-controller", "namespace": "ci"}},
	})
	d, err := Read(t.Context(), c, Query{Options: options})
	if err != nil || len(d.Unknown) > 0 {
		t.Errorf("unknown: %v, %v", d.Unknown, err)
	}
	var stuck []string
	for _, o := range d.Stuck {
		stuck = append(stuck, fmt.Sprintf("%s %s/%s: %s", o.Resource, o.Namespace, o.Name, o.Why))
	}
	if diff := cmp.Diff([]string{
		"customresourcedefinitions.apiextensions.k8s.io /runners.actions.summerwind.dev: no controller looks after it",
		"namespaces /ci: is Terminating, and held by 1 custom resource of ARC",
		"runners.actions.summerwind.dev ci/r: is being deleted, and held by runner.actions.summerwind.dev",
	}, stuck); diff != "" {
		t.Error(diff)
	}
	if len(d.Remains) != 2 || !strings.HasPrefix(d.Remains[1].What, "the Lease actions-runner-controller in namespace ci") {
		t.Errorf("beside: %v", d.Remains)
	}
}

// A user who may read ARC's kinds only is told that legacy ARC's could not be read if the API server serves
// them, and is not told otherwise.
func TestStatusWithoutRightsOnLegacyARC(t *testing.T) {
	t.Parallel()
	fail := map[string]int{}
	for _, kind := range []string{"run", "rrs", "rset", "rd", "hra"} {
		fail["LIST "+kind] = http.StatusForbidden
	}
	d, err := Read(t.Context(), serveMore(t, fail, nil), Query{Options: options})
	if err != nil || len(d.Unknown) > 0 {
		t.Errorf("there is none: %q, %v", d.Unknown, err)
	}
	fail["DISCOVER "+arc.LegacyGroup] = http.StatusInternalServerError
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	if d, err = Read(ctx, serveMore(t, fail, nil), Query{Options: options}); err == nil || len(d.Unknown) == 0 {
		t.Error("whether there is any is not known")
	}
}
