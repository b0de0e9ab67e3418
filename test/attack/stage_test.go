package attack

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/arc-cleanup/arc-cleanup/test/harness"
)

// A play is the list of an administrator's steps, and says after which step the actors act.
type play func(*stage)

// A step is one command of the administrator, with its result.
type step struct {
	command string
	output  string
	code    int
	varies  bool // the code does not matter
	// The time and memory that arc-cleanup used, by hand or as the hook.
	kib     int64
	seconds float64
	// How many processes shared a core then.
	shares float64
	// The cluster after the step; nil if no picture was taken.
	picture picture
}

// stage is one run of a play.
type stage struct {
	*testing.T
	*lab
	ctx   context.Context
	tries []try
	// without is the run without actors; it is empty in that run itself.
	without []step
	steps   []step
	made    []*unstructured.Unstructured // what actors made
	read    map[string]int               // how much of each file of usages is read
}

// perform runs the play on a cluster without ARC, and clears the cluster.
func perform(t *testing.T, l *lab, p play, tries []try, without []step) (steps []step) {
	t.Helper()
	begun := time.Now()
	s := &stage{T: t, lab: l, ctx: t.Context(), tries: tries, without: without, read: map[string]int{}}
	for _, of := range []string{"hooks", "commands"} {
		if err := os.WriteFile(l.usage(of), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	defer func() {
		l.clear(t)
		t.Logf("%d steps, with %d tries of actors, in %.1fs", len(s.steps), len(tries), time.Since(begun).Seconds())
	}()
	defer func() {
		// The run without the actor continued here.
		if r := recover(); r != nil && r != (diverged{}) {
			panic(r)
		}
		steps = s.steps
	}()
	p(s)
	return s.steps
}

// diverged ends a run that differs from the one without the actor.
type diverged struct{}

// attack lets the actors act.
func (s *stage) attack() {
	s.Helper()
	if len(s.tries) > 0 {
		s.made = create(s.T, s.lab, s.tries, s.facts())
	}
}

// hookjob runs arc-cleanup by hand and expects the exit code; -1 stands for every failure.
func (s *stage) hookjob(code int, args ...string) {
	s.Helper()
	s.byHand(1, code, args)
}

// cheap runs a command that only reads several times, and counts the cheapest run.
func (s *stage) cheap(code int, args ...string) {
	s.Helper()
	s.byHand(3, code, args)
}

func (s *stage) byHand(times, code int, args []string) {
	s.Helper()
	x := step{command: "arc-cleanup " + strings.ReplaceAll(strings.Join(args, " "), s.dir+"/", ""), kib: math.MaxInt64, seconds: math.MaxFloat64}
	for range times {
		cmd := s.ByHand(s.ctx, s.Kubeconfig(), args...)
		cmd.Path, cmd.Args = s.measured(), slices.Concat([]string{s.measured(), s.usage("commands")}, cmd.Args)
		begun := time.Now()
		s.run(cmd, &x)
		x.seconds = min(x.seconds, time.Since(begun).Seconds())
		for _, u := range s.usages("commands") {
			x.kib = min(x.kib, u.KiB)
		}
	}
	x.shares = harness.Shares()
	s.done(x, code)
}

// helm runs Helm, with its hook.
func (s *stage) helm(major, code int, args ...string) {
	s.Helper()
	x := step{command: fmt.Sprintf("helm %s (Helm %d)", strings.Join(args, " "), major)}
	begun := time.Now()
	s.run(s.Helm(s.ctx, major, s.Kubeconfig(), args...), &x)
	x.seconds, x.shares = time.Since(begun).Seconds(), harness.Shares()
	for _, u := range s.usages("hooks") {
		x.kib = max(x.kib, u.KiB)
	}
	s.done(x, code)
}

func (s *stage) run(cmd *exec.Cmd, x *step) {
	s.Helper()
	out, err := cmd.CombinedOutput()
	if cmd.ProcessState == nil {
		s.Fatalf("%s: %v", x.command, err)
	}
	x.output, x.code = string(out), cmd.ProcessState.ExitCode()
}

// done records the step, and ends a run that differs.
func (s *stage) done(x step, code int) {
	s.Helper()
	s.Logf("%s: exit code %d, %.1fs, %d MiB\n%s", x.command, x.code, x.seconds, x.kib>>10, head(x.output))
	x.varies = code < 0
	i := len(s.steps)
	s.steps = append(s.steps, x)
	switch {
	case x.varies && x.code == 0:
		s.Errorf("%s succeeds:\n%s", x.command, x.output)
	case x.varies:
	case s.without == nil && x.code != code:
		s.Fatalf("without any actor, %s ends with exit code %d instead of %d:\n%s", x.command, x.code, code, x.output)
	case s.without != nil && s.without[i].code != x.code:
		panic(diverged{})
	}
}

// usages returns the results that were written since the last call.
func (s *stage) usages(of string) []struct{ KiB int64 } {
	s.Helper()
	file, err := os.Open(s.usage(of))
	if err != nil {
		s.Fatal(err)
	}
	defer file.Close() //nolint:errcheck // it was only read
	var out []struct{ KiB int64 }
	lines := bufio.NewScanner(file)
	for n := 0; lines.Scan(); n++ {
		if n < s.read[of] {
			continue
		}
		s.read[of]++
		var u struct{ KiB int64 }
		if err := json.Unmarshal(lines.Bytes(), &u); err != nil {
			s.Fatalf("%s: %v", s.usage(of), err)
		}
		out = append(out, u)
	}
	return out
}

// must runs a command that only prepares the play.
func (s *stage) must(cmd *exec.Cmd) {
	s.Helper()
	if out, err := cmd.CombinedOutput(); err != nil {
		s.Fatalf("%s: %v\n%s", strings.Join(cmd.Args, " "), err, out)
	}
}

// look takes the picture after the last step. Without actors, it waits until the cluster stays the
// same; with actors, until the picture is the same as without them, or until patience ends.
func (s *stage) look() {
	s.Helper()
	const (
		patience = 10 * time.Second
		pause    = 300 * time.Millisecond
		same     = 3
	)
	i := len(s.steps) - 1
	begun := time.Now()
	late := func() bool { return time.Since(begun) > harness.Patience(patience) }
	var last picture
	for n := 0; ; time.Sleep(pause) {
		p, err := look(s.ctx, s.lab, s.made)
		if err != nil && !late() {
			continue // a kind that goes away at this moment
		}
		if err != nil {
			s.Fatal(err)
		}
		if last != nil && len(differences(last, p)) == 0 && !p.ending() {
			n++
		} else {
			n = 0
		}
		last = p
		switch {
		case s.without == nil && n >= same-1:
		case s.without != nil && len(differences(s.without[i].picture, p)) == 0:
		case s.without == nil && late():
			s.Fatalf("after %s the cluster does not come to rest", s.steps[i].command)
		case late():
		default:
			continue
		}
		s.steps[i].picture = p
		return
	}
}

var ending = regexp.MustCompile(`"deletionTimestamp": `)

// ending reports whether a Pod is being deleted and will be gone in a moment.
func (p picture) ending() bool {
	for o, texts := range p {
		if o.Resource == "pods" && slices.ContainsFunc(texts, ending.MatchString) {
			return true
		}
	}
	return false
}

// postRenderer returns the arguments with which Helm adds the hook.
func (s *stage) postRenderer(major int, values ...string) []string {
	name := "arc-postrender"
	if major == 3 {
		name = s.Postrender
	}
	args := []string{"--post-renderer", name}
	for _, v := range values {
		args = append(args, "--post-renderer-args", "--set", "--post-renderer-args", v)
	}
	return args
}

// installController installs ARC's controller and waits until it runs.
func (s *stage) installController(major int, args ...string) {
	s.Helper()
	s.must(s.Helm(s.ctx, major, s.Kubeconfig(), slices.Concat([]string{
		"install", "arc", s.ARCChart(harness.ControllerChart), "--namespace", controllerNamespace, "--wait", "--timeout", "1m",
	}, args)...))
}

// installScaleSet installs a scale set and waits for its runner and its listener.
func (s *stage) installScaleSet(major int, args ...string) {
	s.Helper()
	if major == 4 {
		// Chart 0.6.1 renders empty lists as null, which server-side apply refuses.
		args = append(args, "--server-side=false")
	}
	s.must(s.Helm(s.ctx, major, s.Kubeconfig(), slices.Concat([]string{
		"install", "runners", s.ARCChart(harness.ScaleSetChart), "--namespace", runnerNamespace,
	}, harness.ScaleSetValues("", s.GitHub().ConfigURL(), controllerNamespace), args)...))
	s.awaitRunner()
}

func (s *stage) awaitRunner() {
	s.Helper()
	eventually(s.T, "a runner and a listener run", func() (bool, error) {
		for namespace, component := range map[string]string{runnerNamespace: "runner", controllerNamespace: "runner-scale-set-listener"} {
			pods, err := s.client.CoreV1().Pods(namespace).List(s.ctx, metav1.ListOptions{LabelSelector: "app.kubernetes.io/component=" + component})
			if err != nil || !slices.ContainsFunc(pods.Items, func(p corev1.Pod) bool {
				return p.Status.Phase == corev1.PodRunning && p.Labels[byActor] == ""
			}) {
				return false, err
			}
		}
		// Both runs stop the controller here, after it has written the status.
		sets, err := s.dynamic.Resource(schema.GroupVersionResource{Group: "actions.github.com", Version: "v1alpha1", Resource: "ephemeralrunnersets"}).Namespace(runnerNamespace).List(s.ctx, metav1.ListOptions{})
		return err == nil && slices.ContainsFunc(sets.Items, func(o unstructured.Unstructured) bool {
			running, _, _ := unstructured.NestedInt64(o.Object, "status", "runningEphemeralRunners")
			return running == 1 && o.GetLabels()[byActor] == ""
		}), err
	})
}

// stopController stops the controller and leaves the releases installed.
func (s *stage) stopController() {
	s.Helper()
	deployments := s.client.AppsV1().Deployments(controllerNamespace)
	scale, err := deployments.GetScale(s.ctx, "arc-gha-rs-controller", metav1.GetOptions{})
	if err == nil {
		scale.Spec.Replicas = 0
		_, err = deployments.UpdateScale(s.ctx, scale.Name, scale, metav1.UpdateOptions{})
	}
	if err != nil {
		s.Fatal(err)
	}
	s.noController()
}

func (s *stage) noController() {
	s.Helper()
	eventually(s.T, "no controller runs", func() (bool, error) {
		pods, err := s.client.CoreV1().Pods(controllerNamespace).List(s.ctx, metav1.ListOptions{LabelSelector: "app.kubernetes.io/part-of=gha-rs-controller"})
		return err == nil && len(pods.Items) == 0, err
	})
}

// awaitHooks waits until Helm 3's enrollers have put the hooks into both records.
func (s *stage) awaitHooks() {
	s.Helper()
	eventually(s.T, "both enrollers have ended", func() (bool, error) {
		found, err := s.client.AppsV1().Deployments("").List(s.ctx, metav1.ListOptions{LabelSelector: "app.kubernetes.io/name=arc-cleanup,app.kubernetes.io/component=enroller"})
		return err == nil && len(found.Items) == 2 && !slices.ContainsFunc(found.Items, func(d appsv1.Deployment) bool {
			return *d.Spec.Replicas > 0 || d.Status.Replicas > 0
		}), err
	})
	s.usages("hooks") // theirs
}

// refusedFor runs an uninstall that an actor's objects block. The refusal changes nothing except
// what Helm itself keeps of a failed hook, and its commands are about the actor's namespace
// alone. Then an administrator deletes the objects.
func (s *stage) refusedFor(by *actor, major int, args ...string) {
	s.Helper()
	if !slices.ContainsFunc(s.tries, func(x try) bool { return x.by == by && x.outcome == blocks }) {
		return
	}
	out, err := s.Helm(s.ctx, major, s.Kubeconfig(), args...).CombinedOutput()
	s.Logf("helm%d %s: %v\n%s", major, strings.Join(args, " "), err, head(string(out)))
	if err == nil {
		s.Errorf("helm %s succeeds, and is to be refused", strings.Join(args, " "))
	}
	if v := verdict(string(out)); v != "refused" {
		s.Errorf("helm %s: the verdict is %q and not a refusal", strings.Join(args, " "), v)
	}
	for _, u := range unquoted(string(out)) {
		s.Errorf("helm %s printed what an actor wrote: %s", strings.Join(args, " "), u)
	}
	printed := commands(string(out))
	if len(printed) == 0 {
		s.Errorf("helm %s: the refusal prints no command", strings.Join(args, " "))
	}
	for _, c := range printed {
		if wrong := ofTenant(c); wrong != "" {
			s.Errorf("helm %s: the refusal prints the command\n%s\n    %s", strings.Join(args, " "), indented(c), wrong)
		}
	}
	p, err := look(s.ctx, s.lab, s.made)
	if err != nil {
		s.Fatal(err)
	}
	before := maps.Clone(s.steps[len(s.steps)-1].picture)
	for _, o := range sorted(p) {
		// The record says uninstalling; the Job and its Pod stay, with their log.
		if o.Namespace == controllerNamespace && (strings.Contains(o.Name, "arc-cleanup") || strings.HasPrefix(o.Name, "sh.helm.release.")) {
			delete(p, o)
			delete(before, o)
		}
	}
	for _, d := range differences(before, p) {
		s.Errorf("helm %s was refused, and %s", strings.Join(args, " "), d)
	}
	s.emptyTenant(s.T)
	s.usages("hooks") // that of the refusal
}

// createCRDs creates the CRDs of ARC's chart.
func (s *stage) createCRDs() {
	s.Helper()
	found, err := s.CRDs(harness.ControllerChart)
	if err != nil || len(found) != 4 {
		s.Fatalf("%d CRDs, %v", len(found), err)
	}
	crds := schema.GroupVersionResource{Group: "apiextensions.k8s.io", Version: "v1", Resource: "customresourcedefinitions"}
	for _, crd := range found {
		if _, err := s.dynamic.Resource(crds).Create(s.ctx, crd, metav1.CreateOptions{}); err != nil {
			s.Fatal(err)
		}
	}
	eventually(s.T, "the CRDs are served", func() (bool, error) {
		for _, resource := range []string{"autoscalingrunnersets", "autoscalinglisteners", "ephemeralrunnersets", "ephemeralrunners"} {
			_, err := s.dynamic.Resource(schema.GroupVersionResource{Group: "actions.github.com", Version: "v1alpha1", Resource: resource}).List(s.ctx, metav1.ListOptions{})
			if err != nil {
				return false, err
			}
		}
		return true, nil
	})
}

// backup returns the only backup that no actor has made.
func (s *stage) backup() string {
	s.Helper()
	list, err := s.client.CoreV1().Secrets(metav1.NamespaceDefault).List(s.ctx, metav1.ListOptions{LabelSelector: "app.kubernetes.io/name=arc-cleanup,app.kubernetes.io/component=backup"})
	if err != nil || len(list.Items) != 1 {
		s.Fatalf("%d backups, %v", len(list.Items), err)
	}
	return list.Items[0].Name
}
