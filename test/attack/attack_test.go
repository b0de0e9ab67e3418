package attack

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/arc-cleanup/arc-cleanup/test/harness"
)

// With the actor's objects, a command may take a quarter more time and memory than without
// them. A difference below a floor does no harm. The hook may use 128 MiB and has minutes.
// Reading the actor's objects, some as large as an API server accepts, costs a second or
// two; waiting for one of them in vain would cost a minute. Waiting for objects may take
// half a minute more, because the garbage collector looks for new kinds only twice a minute,
// and until then does not delete what objects of a new kind owned.
const (
	share           = 0.25
	mostKiB         = 96 << 10
	floorSeconds    = 10
	collectorsDelay = 30
)

// TestHealthy: ARC runs. The administrator looks at it, enrols it, upgrades it, and uninstalls it
// with all its scale sets.
func TestHealthy(t *testing.T) {
	against(t, selected(admin, podCreator), func(s *stage) {
		s.installController(4, s.postRenderer(4, "policy.scaleSets=uninstall")...)
		s.installScaleSet(4)
		s.attack()
		s.cheap(0, "status")
		s.hookjob(0, "status", "--output", "json")
		s.cheap(3, "plan", "--release", "arc", "--release-namespace", controllerNamespace)
		s.cheap(7, "plan", "--release", "arc", "--release-namespace", controllerNamespace, "--scale-sets", "uninstall")
		s.hookjob(0, "enrol", "runners", "--namespace", runnerNamespace)
		s.look()
		s.hookjob(0, "sweep", "--all-namespaces", "--older-than", "1s", "--yes")
		s.look()
		helm := []string{"upgrade", "--helm", s.Helm(s.ctx, 4, "").Path}
		s.hookjob(2, append(helm, "--dry-run")...) // to which version? The actor would know one.
		helm = append(helm, "--chart", s.chart(harness.ControllerChart), "--scale-set-chart", s.chart(harness.ScaleSetChart))
		s.hookjob(7, append(helm, "--dry-run")...)
		s.hookjob(0, append(helm, "--yes")...)
		s.awaitRunner()
		s.look()
		s.helm(4, 0, "uninstall", "arc", "--namespace", controllerNamespace)
		s.look()
		s.hookjob(0, "run", "--all-namespaces", "--yes")
		s.look()
	})
}

// TestStuck: the controller is down. Both releases are uninstalled with the hooks that Helm 3's
// enroller has added.
func TestStuck(t *testing.T) {
	play := func(s *stage) {
		s.installController(3, s.postRenderer(3)...)
		s.installScaleSet(3, s.postRenderer(3)...)
		s.awaitHooks()
		s.stopController()
		s.attack()
		s.cheap(0, "status")
		s.hookjob(0, "status", "--output", "json")
		s.cheap(0, "plan", "--all-namespaces") // the controller's Deployment is there
		s.cheap(3, "plan", "--release", "arc", "--release-namespace", controllerNamespace)
		s.hookjob(0, "run", "--all-namespaces", "--yes")
		s.look()
		s.helm(3, 0, "uninstall", "runners", "--namespace", runnerNamespace)
		s.look()
		s.refusedFor(runnerAdmin, 3, "uninstall", "arc", "--namespace", controllerNamespace)
		s.helm(3, 0, "uninstall", "arc", "--namespace", controllerNamespace)
		s.look()
	}
	var without []step
	t.Run("without", func(t *testing.T) { without = perform(t, start(t), play, nil, nil) })
	if without == nil || t.Failed() {
		return
	}
	for _, by := range [][]*actor{{admin, podCreator}, {runnerAdmin}} {
		t.Run(by[0].account, func(t *testing.T) { compared(t, selected(by...), play, without) })
	}
}

// TestByHand: the controller was uninstalled first, without a hook. One command frees the
// cluster, and one creates the scale sets again.
func TestByHand(t *testing.T) {
	against(t, selected(admin, podCreator), func(s *stage) {
		s.installController(4)
		s.installScaleSet(4)
		s.must(s.Helm(s.ctx, 4, s.Kubeconfig(), "uninstall", "arc", "--namespace", controllerNamespace))
		s.noController()
		s.must(s.Helm(s.ctx, 4, s.Kubeconfig(), "uninstall", "runners", "--namespace", runnerNamespace))
		s.attack()
		s.cheap(0, "status")
		s.cheap(7, "plan", "--all-namespaces")
		s.hookjob(0, "run", "--all-namespaces", "--yes")
		s.look()
		s.createCRDs()
		for _, forged := range []string{"arc-cleanup-backup-20260102-030405", "arc-cleanup-backup-marked", "arc-cleanup-backup-bomb"} {
			// Without the actor there is no such Secret.
			s.hookjob(-1, "restore", "--namespace", tenantNamespace, "--from", forged, "--all-namespaces")
		}
		s.hookjob(0, "restore", "--from", s.backup(), "--all-namespaces")
		s.look()
	})
}

// against runs the play without and with the actors, and fails for every difference.
func against(t *testing.T, tries []try, p play) {
	t.Helper()
	without := perform(t, start(t), p, nil, nil)
	if !t.Failed() {
		compared(t, tries, p, without)
	}
}

// compared repeats with the actors a play that ran without them, and fails for every
// difference.
func compared(t *testing.T, tries []try, p play, without []step) {
	t.Helper()
	played := func(tries []try) []string {
		return findings(without, perform(t, shared, p, tries, without))
	}
	found := played(tries)
	for _, f := range found {
		t.Errorf("%s", f)
	}
	switch {
	case len(found) == 0:
	case !*each:
		t.Logf("which tries make the difference: cd test && go test ./attack -run '^%s$' -v -timeout 1h -args -each", t.Name())
	default:
		for _, x := range tries {
			for _, f := range played([]try{x}) {
				t.Logf("WITH THIS ALONE: %s (%s)\n%s", x.what, x.by.who, indented(f))
			}
		}
	}
}

// findings are the differences from the run without the actor.
func findings(without, with []step) (out []string) {
	report := func(s step, format string, args ...any) {
		out = append(out, fmt.Sprintf("%s: ", s.command)+fmt.Sprintf(format, args...))
	}
	for i, w := range with {
		if i >= len(without) {
			break
		}
		a := without[i]
		if w.code != a.code && !a.varies {
			report(w, "exit code %d instead of %d; the run ends here. It printed\n%s\n    and without the actor\n%s", w.code, a.code, head(w.output), head(a.output))
		}
		if v, of := verdict(w.output), verdict(a.output); v != of {
			report(w, "the verdict is %q instead of %q", v, of)
		}
		// This test does not limit what Helm itself takes.
		if !strings.HasPrefix(w.command, "helm ") && w.kib > max(int64(float64(a.kib)*(1+share)), mostKiB) {
			report(w, "it took %d MiB instead of %d", w.kib>>10, a.kib>>10)
		}
		// As far as the machine was busier, each command takes longer.
		most := (a.seconds/a.shares*(1+share) + floorSeconds) * w.shares
		if w.picture != nil { // it wrote
			most += collectorsDelay
		}
		if w.seconds > most {
			report(w, "it took %.1fs instead of %.1fs", w.seconds, a.seconds)
		}
		for _, u := range unquoted(w.output) {
			report(w, "printed what an actor wrote: %s", u)
		}
		before := commands(times.Replace(a.output))
		for _, c := range commands(times.Replace(w.output)) {
			if wrong := ofTenant(c); wrong != "" && !slices.Contains(before, c) {
				report(w, "printed, because of the actor, the command\n%s\n    %s", indented(c), wrong)
			}
		}
		if w.picture != nil {
			for _, d := range differences(a.picture, w.picture) {
				report(w, "afterwards %s", d)
			}
		}
	}
	return out
}

var (
	// The verdict is in the log for machines, which Helm 4 prints as one line.
	machines = regexp.MustCompile(`\\?"verdict\\?":\\?"([a-z-]+)\\?"`)
	people   = regexp.MustCompile(`(?m)(?:^|\\n|msg=")\s*(done|refused|residue|out-of-time|failed|not-permitted|off|interrupted)[:,]`)
)

// verdict returns the verdict at the end of a run, or "".
func verdict(output string) string {
	for _, form := range []*regexp.Regexp{machines, people} {
		if m := form.FindAllStringSubmatch(output, -1); m != nil {
			return m[len(m)-1][1]
		}
	}
	return ""
}

// facts returns what an actor can know of the cluster.
func (s *stage) facts() facts {
	s.Helper()
	f := facts{url: s.GitHub().ConfigURL()}
	arc := func(resource string) schema.GroupVersionResource {
		return schema.GroupVersionResource{Group: "actions.github.com", Version: "v1alpha1", Resource: resource}
	}
	for _, x := range []struct {
		gvr             schema.GroupVersionResource
		namespace, name string
		to              *owner
	}{
		{arc("autoscalingrunnersets"), runnerNamespace, "", &f.set},
		{arc("ephemeralrunnersets"), runnerNamespace, "", &f.runnerSet},
		{arc("ephemeralrunners"), runnerNamespace, "", &f.runner},
		{schema.GroupVersionResource{Group: "apiextensions.k8s.io", Version: "v1", Resource: "customresourcedefinitions"}, "", "autoscalingrunnersets.actions.github.com", &f.crd},
		{schema.GroupVersionResource{Group: "rbac.authorization.k8s.io", Version: "v1", Resource: "clusterroles"}, "", "arc-gha-rs-controller", &f.role},
	} {
		list, err := s.dynamic.Resource(x.gvr).Namespace(x.namespace).List(s.ctx, metav1.ListOptions{})
		if err != nil {
			s.Fatal(err)
		}
		i := slices.IndexFunc(list.Items, func(o unstructured.Unstructured) bool { return x.name == "" || o.GetName() == x.name })
		if i < 0 {
			s.Logf("there is no object of %s", x.gvr.Resource)
			*x.to = owner{"v1", "ConfigMap", "none", "00000000-0000-0000-0000-000000000001"}
			continue
		}
		o := list.Items[i]
		*x.to = owner{o.GetAPIVersion(), o.GetKind(), o.GetName(), string(o.GetUID())}
	}
	return f
}
