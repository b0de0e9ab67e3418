package e2e

import (
	"encoding/json"
	"os"
	"slices"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/arc-cleanup/arc-cleanup/test/harness"
)

// plan is what `arc-cleanup plan --output json` prints.
type plan struct {
	Phases []struct {
		Name  string
		Steps []step
	}
}

type step struct{ Action, Group, Resource, Namespace, Name string }

func (s step) object() harness.Object {
	return harness.Object{Resource: s.Resource, Namespace: s.Namespace, Name: s.Name}
}

func (l *lab) plan() plan {
	l.Helper()
	out, code := l.hookjob("plan", "--all-namespaces", "--output", "json")
	var p plan
	if err := json.Unmarshal([]byte(out), &p); err != nil || code != 7 {
		l.Fatalf("plan: exit code %d, %v", code, err)
	}
	return p
}

// TestPlanAndRunAgree compares a plan with what a run then does to the cluster:
// everything in the plan, and nothing else.
func TestPlanAndRunAgree(t *testing.T) {
	l := newLab(t)
	l.disaster()
	secret := func(name string, finalizers ...string) {
		t.Helper()
		_, err := l.client.CoreV1().Secrets(runnerNamespace).Create(l.ctx, &corev1.Secret{ObjectMeta: metav1.ObjectMeta{
			Name: name, Finalizers: finalizers, Labels: map[string]string{"app.kubernetes.io/part-of": "gha-rs"},
		}}, metav1.CreateOptions{})
		if err != nil {
			t.Fatal(err)
		}
	}
	secret("released", "actions.github.com/cleanup-protection")
	secret("untouched")

	planned := l.plan()
	before := l.everything()
	var ran []string
	_, code := l.follow(func(_ *os.Process, e entry) {
		if e.Phase != "" && !slices.Contains(ran, e.Phase) {
			ran = append(ran, e.Phase)
		}
	}, "--all-namespaces")
	if code != 0 {
		t.Fatalf("run: exit code %d", code)
	}
	after := l.everything()

	named := map[harness.Object]bool{}
	var phases []string
	for _, phase := range planned.Phases {
		phases = append(phases, phase.Name)
		for _, s := range phase.Steps {
			named[s.object()] = true
			l.isDone(s)
		}
	}
	// The garbage collector may be faster than the last phase.
	if !slices.Equal(ran, phases) && !slices.Equal(append(ran, "collect"), phases) {
		t.Errorf("the plan's phases are %v, the run's %v", phases, ran)
	}
	for o := range before {
		if !after[o] && !named[o] {
			t.Errorf("%s is gone, and was not in the plan", o)
		}
	}
	for o := range after {
		// A backup's name has the time in it, so that run's is not plan's.
		backup := o.Resource == "secrets" && strings.HasPrefix(o.Name, "arc-cleanup-backup-")
		if !before[o] && !backup {
			t.Errorf("%s is new", o)
		}
	}
	l.nothingLeft(
		harness.Object{Resource: "secrets", Namespace: runnerNamespace, Name: "released"},
		harness.Object{Resource: "secrets", Namespace: runnerNamespace, Name: "untouched"},
	)
}

// isDone fails unless the step was carried out: its object is gone or, where
// only finalizers were to go, has none of ARC's any more.
func (l *lab) isDone(s step) {
	l.Helper()
	if s.Action == "create" {
		return // a backup, by another name
	}
	gvr := l.resource(s.Resource)
	if s.Group != gvr.Group {
		gvr = schema.GroupVersionResource{Group: s.Group, Version: "v1alpha1", Resource: s.Resource}
	}
	m, err := l.metadata.Resource(gvr).Namespace(s.Namespace).Get(l.ctx, s.Name, metav1.GetOptions{})
	switch {
	case apierrors.IsNotFound(err):
	case err != nil:
		l.Error(err)
	case s.Action != "free" || m.DeletionTimestamp != nil:
		l.Errorf("%s is still there, after %s", s.object(), s.Action)
	case slices.ContainsFunc(m.Finalizers, func(f string) bool { return strings.Contains(f, "actions.github.com/") }):
		l.Errorf("%s still has the finalizers %v", s.object(), m.Finalizers)
	}
}
