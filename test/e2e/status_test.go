package e2e

import (
	"context"
	"encoding/json"
	"slices"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/arc-cleanup/arc-cleanup/test/harness"
)

// status is what is read of the document.
type status struct {
	Version  string
	Releases []struct {
		Name, Namespace, State, Installs string
		StorageNamespace                 string
		Revision                         int
		Chart                            struct{ Name, Version, AppVersion string }
		Hook                             struct{ State, Chart, Why string }
		Uninstall                        struct {
			Ready   bool
			Why, Do []string
			Phases  []struct{ Name string }
		}
	}
	ScaleSets []struct {
		Namespace, Name, Release, ReleaseNamespace string
		Runners                                    int
		Deleting                                   bool
	}
	Stuck   []struct{ Resource, Namespace, Name, Why, Since string }
	Unknown []string
}

func (l *lab) status(args ...string) status {
	l.Helper()
	out, code := l.hookjob(slices.Concat([]string{"status", "--output", "json"}, args)...)
	var s status
	if err := json.Unmarshal([]byte(out), &s); err != nil || code != 0 {
		l.Fatalf("exit code %d, %v", code, err)
	}
	if s.Version != "arc-cleanup/status/v1" || len(s.Unknown) > 0 {
		l.Errorf("version %q, unknown: %v", s.Version, s.Unknown)
	}
	return s
}

// TestStatus follows a cluster from a healthy ARC through the disaster to its
// end.
func TestStatus(t *testing.T) {
	l := newLab(t)
	if s := l.status(); len(s.Releases)+len(s.ScaleSets)+len(s.Stuck) > 0 {
		t.Errorf("an empty cluster: %+v", s)
	}

	l.installController(viaPostRenderer...)
	l.installScaleSet(3)
	s := l.status()
	if len(s.Releases) != 2 || len(s.Stuck) > 0 || len(s.ScaleSets) != 1 {
		t.Fatalf("a healthy ARC: %+v", s)
	}
	arc, runners := s.Releases[0], s.Releases[1]
	if arc.Name != "arc" || arc.Installs != "controller" || arc.State != "deployed" || arc.Revision != 1 ||
		arc.Chart.Name != "gha-runner-scale-set-controller" || arc.Chart.Version != "0.6.1" || arc.Chart.AppVersion != "0.6.1" ||
		arc.Hook.State != "present" || arc.Hook.Chart != "arc-cleanup-0.1.0" {
		t.Errorf("the controller: %+v", arc)
	}
	if arc.Uninstall.Ready || !slices.Contains(arc.Uninstall.Do, "helm uninstall runners --namespace arc-runners") {
		t.Errorf("the uninstall under a live scale set: %+v", arc.Uninstall)
	}
	if runners.Installs != "scale-set" || runners.Hook.State != "absent" || !slices.Contains(runners.Uninstall.Do, "arc-cleanup enrol runners --namespace arc-runners") {
		t.Errorf("the scale set: %+v", runners)
	}
	if set := s.ScaleSets[0]; set.Release != "runners" || set.ReleaseNamespace != runnerNamespace || set.Namespace != runnerNamespace || set.Deleting {
		t.Errorf("the scale set: %+v", set)
	}
	if s := l.status("runners", "--namespace", runnerNamespace); len(s.Releases) != 1 || s.Releases[0].Name != "runners" {
		t.Errorf("one release: %+v", s.Releases)
	}
	if s := l.status("--namespace", "default"); len(s.Releases) != 0 {
		t.Errorf("another namespace: %+v", s.Releases)
	}

	l.hookjob("enrol", "runners", "--namespace", runnerNamespace)
	if u := l.status("runners").Releases[0].Uninstall; !u.Ready || len(u.Phases) == 0 || u.Phases[0].Name != "drain" {
		t.Errorf("the uninstall of a scale set: %+v", u)
	}

	// The disaster: the controller goes first, without its hook.
	l.mustHelm(4, "uninstall", "arc", "--namespace", controllerNamespace, "--no-hooks")
	l.mustHelm(3, "uninstall", "runners", "--namespace", runnerNamespace, "--no-hooks")
	l.eventually("status names what is stuck", func() bool {
		s := l.status()
		var why []string
		for _, o := range s.Stuck {
			why = append(why, o.Resource+" "+o.Namespace+" "+o.Why)
		}
		all := strings.Join(why, "\n")
		return len(s.Releases) == 0 && len(s.ScaleSets) == 1 && s.ScaleSets[0].Deleting &&
			strings.Contains(all, "autoscalingrunnersets.actions.github.com arc-runners is being deleted, and held by autoscalingrunnerset.actions.github.com/finalizer") &&
			strings.Contains(all, "customresourcedefinitions.apiextensions.k8s.io  no controller looks after it") &&
			strings.Contains(all, "roles.rbac.authorization.k8s.io arc-runners no controller looks after it")
	})
	if out, _ := l.hookjob("status"); !strings.Contains(out, "No Helm release of ARC.") || !strings.Contains(out, "arc-cleanup plan --all-namespaces") {
		t.Errorf("the table:\n%s", out)
	}
	if _, code := l.hookjob("run", "--all-namespaces", "--yes"); code != 0 {
		t.Errorf("by hand: exit code %d", code)
	}
	if s := l.status(); len(s.Stuck) > 0 {
		t.Errorf("after it: %+v", s.Stuck)
	}
	l.nothingLeft()
}

// TestStatusStoredElsewhere has Helm's record in another namespace than the release,
// as Flux keeps it: the hook would not find it, so the uninstall is not ready.
func TestStatusStoredElsewhere(t *testing.T) {
	l := newLab(t)
	l.installController(viaPostRenderer...)
	if u := l.status("arc").Releases[0].Uninstall; !u.Ready {
		t.Errorf("before: %+v", u)
	}
	moved := l.record("sh.helm.release.v1.arc.v1")
	moved.Namespace, moved.ResourceVersion, moved.UID = runnerNamespace, "", ""
	if _, err := l.client.CoreV1().Secrets(runnerNamespace).Create(l.ctx, moved, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	if err := l.client.CoreV1().Secrets(controllerNamespace).Delete(l.ctx, moved.Name, metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	r := l.status("arc").Releases[0]
	if r.Namespace != controllerNamespace || r.StorageNamespace != runnerNamespace || r.Uninstall.Ready ||
		!slices.Contains(r.Uninstall.Do, "set storageNamespace: arc-runners among the values of arc-cleanup") {
		t.Errorf("%+v", r)
	}
	if out, code := l.hookjob("enrol", "arc", "--namespace", runnerNamespace); code != 3 || !strings.Contains(out, `is of a release in namespace "arc-systems"`) {
		t.Errorf("enrol: exit code %d\n%s", code, out)
	}
	// The hook itself agrees.
	if out, code := l.hookjob("run", "--job", "arc-arc-cleanup", "--release-namespace", controllerNamespace, "--require-uninstalling", "--budget", "10s"); code != 3 || !strings.Contains(out, "no proof") {
		t.Errorf("run: exit code %d\n%s", code, out)
	}
}

// TestForeignRecords puts what is labelled as Helm's, and is not, beside ARC: Helm is
// not disturbed, and neither are we.
func TestForeignRecords(t *testing.T) {
	l := newLab(t)
	l.installController(viaPostRenderer...)
	own := l.record("sh.helm.release.v1.arc.v1")
	labels := func(more ...string) map[string]string {
		out := map[string]string{"owner": "helm"}
		for i := 0; i < len(more); i += 2 {
			out[more[i]] = more[i+1]
		}
		return out
	}
	var foreign []harness.Object
	for _, s := range []*corev1.Secret{
		{ObjectMeta: metav1.ObjectMeta{Name: "team-secret", Labels: labels()}},
		{ObjectMeta: metav1.ObjectMeta{Name: "sh.helm.release.v1.web.v1", Labels: labels("name", "web", "version", "1", "status", "uninstalling")}, Data: own.Data},
		{ObjectMeta: metav1.ObjectMeta{Name: "sh.helm.release.v1.other.v1", Labels: labels("name", "other", "version", "1", "status", "uninstalling")}, Type: own.Type, Data: own.Data},
		{ObjectMeta: metav1.ObjectMeta{Name: "sh.helm.release.v1.broken.v1", Labels: labels("name", "broken", "version", "1", "status", "deployed")}, Type: own.Type, Data: map[string][]byte{"release": []byte("!")}},
	} {
		if _, err := l.client.CoreV1().Secrets(controllerNamespace).Create(l.ctx, s, metav1.CreateOptions{}); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			_ = l.client.CoreV1().Secrets(controllerNamespace).Delete(context.WithoutCancel(l.ctx), s.Name, metav1.DeleteOptions{})
		})
		foreign = append(foreign, harness.Object{Resource: "secrets", Namespace: controllerNamespace, Name: s.Name})
	}
	out, code := l.hookjob("status")
	if code != 0 || !strings.Contains(out, "helm uninstall arc --namespace arc-systems\n    ready") || !strings.Contains(out, "UNKNOWN: reading the Helm record arc-systems/sh.helm.release.v1.broken.v1") {
		t.Errorf("exit code %d\n%s", code, out)
	}
	l.mustHelm(4, "uninstall", "arc", "--namespace", controllerNamespace)
	l.nothingLeft(foreign...)
}
