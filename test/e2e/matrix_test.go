package e2e

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"sigs.k8s.io/yaml"

	"github.com/arc-cleanup/arc-cleanup/test/harness"
)

// A way is how a release of ARC's controller gets the hook.
type way struct {
	name    string
	major   int
	chart   string
	with    []string // arguments of install and upgrade
	other   []string // arguments of an upgrade, and by hand of enrol, that change the hook
	without []string // arguments of an upgrade that drops the hook
	byHand  bool     // a revision has no hook until it is enrolled
}

// ways are all of them, on both Helms.
func (l *lab) ways() []way {
	arc, umbrella := built.ARCChart(harness.ControllerChart), l.umbrella()
	const label = "podLabels.team=other"
	set, subchart := []string{"--set", label}, []string{"--set", "arc-cleanup." + label}
	rendered := []string{"--post-renderer-args", "--set", "--post-renderer-args", label}
	off := []string{"--set", "arc-cleanup.enabled=false"}
	return []way{
		{name: "post-renderer", major: 3, chart: arc, with: viaHelm3(), other: rendered},
		{name: "post-renderer", major: 4, chart: arc, with: viaPostRenderer, other: rendered},
		{name: "dependency", major: 3, chart: umbrella, other: subchart, without: off},
		{name: "dependency", major: 4, chart: umbrella, other: subchart, without: off},
		{name: "by hand", major: 3, chart: arc, other: set, byHand: true},
		{name: "by hand", major: 4, chart: arc, other: set, byHand: true},
	}
}

// flags are what a user gives each command to wait for its end, and where Helm
// keeps its records meanwhile.
type flags struct {
	change, rollback, uninstall []string
	driver                      string
}

// all are the combinations that are tried with a way.
//
// Only Helm 3's post-renderer adds something that Helm could wait for, so that
// --wait and --wait-for-jobs each have a turn with it. Elsewhere both have one
// together: the second waits for all that the first does. With --atomic a rollback
// and an uninstall, which do not know it, wait. Storage in ConfigMaps goes with
// the waiting, with which it has nothing to do. Without waiting only the
// post-renderer has a turn: for the others, nothing of ours runs at an installation.
func (w way) all() []flags {
	wait := []string{"--wait"}
	jobs := []string{"--wait", "--wait-for-jobs"}
	out := []flags{
		{jobs, jobs, wait, "configmap"},
		{[]string{w.atomic()}, wait, wait, "secret"},
	}
	if w.enrols() {
		out = append(out, flags{wait, wait, wait, "secret"})
	}
	if w.name == "post-renderer" {
		out = append(out, flags{driver: "secret"})
	}
	return out
}

// atomic is Helm's flag that takes a failed change back.
func (w way) atomic() string {
	if w.major == 4 {
		return "--rollback-on-failure"
	}
	return "--atomic"
}

// TestMatrix is the whole life of a release, for every way to the hook, both Helms
// and every kind of waiting: what is in Helm's record after each change, that the
// hook ran once, at the uninstall, and that nothing is left. ARC's controller
// alone makes it fast; the tests of uninstalls have scale sets.
func TestMatrix(t *testing.T) {
	all := newLab(t)
	for _, w := range all.ways() {
		for _, f := range w.all() {
			name := fmt.Sprintf("%s helm%d %s %s", w.name, w.major, strings.Join(f.change, " "), f.driver)
			t.Run(name, func(t *testing.T) {
				l := newLabOn(t, all.Cluster)
				l.helmEnv = []string{"HELM_DRIVER=" + f.driver}
				runs := l.hookRuns()

				if w.byHand {
					w.change(l, "install", f)
					w.enrol(l)
					w.hooked(l, false)
					w.change(l, "upgrade", f)
					w.enrol(l, w.other...)
				} else {
					w.change(l, "install", f, w.with...)
					w.hooked(l, false)
					w.change(l, "upgrade", f, slices.Concat(w.with, w.other)...)
				}
				w.hooked(l, true)
				w.change(l, "upgrade", f, w.without...)
				w.unhooked(l)
				// From a revision without the hook, over it, and back to it: what is in
				// the record is what the target had.
				w.rollback(l, 1, f)
				w.hooked(l, false)
				w.rollback(l, 3, f)
				w.unhooked(l)
				w.rollback(l, 2, f)
				w.hooked(l, true)

				l.mustHelm(w.major, slices.Concat([]string{"uninstall", "arc", "--namespace", controllerNamespace}, f.uninstall)...)
				if got := runs(); got["arc-arc-cleanup"] != 1 || len(got) != 1 {
					t.Errorf("hooks ran that often: %v", got)
				}
				l.nothingLeft()
			})
		}
	}
}

// TestFailure fails an installation and an upgrade that Helm rolls back. After the failed installation
// nothing of arc-cleanup is left; after the failed upgrade the old revision has its hook.
func TestFailure(t *testing.T) {
	all := newLab(t)
	for _, w := range all.ways()[:2] {
		t.Run(fmt.Sprintf("helm%d", w.major), func(t *testing.T) {
			l := newLabOn(t, all.Cluster)
			runs := l.hookRuns()
			command := slices.Concat([]string{"arc", w.chart, "--namespace", controllerNamespace, "--create-namespace"}, w.with)
			broken := []string{w.atomic(), "--set", "image.repository=registry.invalid/none", "--timeout", "15s"}
			if out, err := l.helm(w.major, slices.Concat([]string{"install"}, command, broken)...); err == nil {
				t.Fatalf("a controller without an image was installed:\n%s", out)
			}
			l.enrollerGone()
			if w.major == 4 {
				l.nothingLeft() // the hook of the release that Helm took back has run
			}

			l.install(w.major, w.with...)
			w.hooked(l, false)
			if out, err := l.helm(w.major, slices.Concat([]string{"upgrade"}, command, broken)...); err == nil {
				t.Fatalf("a controller without an image was installed:\n%s", out)
			}
			w.hooked(l, false)
			l.mustHelm(w.major, "uninstall", "arc", "--namespace", controllerNamespace)
			// The second run is that of the installation which Helm 4 took back.
			if got, want := runs()["arc-arc-cleanup"], map[int]int{3: 1, 4: 2}[w.major]; got != want {
				t.Errorf("the hook ran %d times, want %d", got, want)
			}
			l.nothingLeft()
		})
	}
}

// change installs or upgrades the release.
func (w way) change(l *lab, verb string, f flags, args ...string) {
	l.Helper()
	l.mustHelm(w.major, slices.Concat([]string{verb, "arc", w.chart, "--namespace", controllerNamespace}, f.change, args)...)
}

// rollback goes back to a revision.
func (w way) rollback(l *lab, to int, f flags) {
	l.Helper()
	l.mustHelm(w.major, slices.Concat([]string{"rollback", "arc", fmt.Sprint(to), "--namespace", controllerNamespace}, f.rollback)...)
}

// enrol gives the hook to a revision that has none.
func (w way) enrol(l *lab, args ...string) {
	l.Helper()
	w.unhooked(l)
	if out, code := l.hookjob(slices.Concat([]string{"enrol", "arc", "--namespace", controllerNamespace}, args)...); code != 0 {
		l.Fatalf("enrol: exit code %d\n%s", code, out)
	}
}

// hooked fails unless Helm sees the hook, each of its objects once; the other hook
// is the one of the second revision.
func (w way) hooked(l *lab, other bool) {
	l.Helper()
	if w.enrols() {
		l.awaitEnrolled("arc", controllerNamespace)
	}
	hooks, text := l.hooks(w.major, "arc", controllerNamespace)
	if hooks["Job arc-arc-cleanup"] != 1 {
		l.Errorf("the hooks in the record are %v", hooks)
	}
	for name, n := range hooks {
		if n != 1 {
			l.Errorf("%s is in the record %d times", name, n)
		}
	}
	if is := strings.Contains(text, "team: other"); is != other {
		l.Errorf("the hook is that of the second revision: %t, want %t", is, other)
	}
}

// unhooked fails if Helm sees a hook, or anything of the enroller is there.
func (w way) unhooked(l *lab) {
	l.Helper()
	if w.enrols() {
		l.enrollerGone()
	}
	if hooks, _ := l.hooks(w.major, "arc", controllerNamespace); len(hooks) != 0 {
		l.Errorf("a revision without the hook has %v in its record", hooks)
	}
}

// enrols reports whether the hook comes from inside the cluster.
func (w way) enrols() bool { return w.major == 3 && w.name == "post-renderer" }

// hooks are those in the newest revision's record, as Helm shows them, and how
// often each is there.
func (l *lab) hooks(major int, release, namespace string) (found map[string]int, text string) {
	l.Helper()
	found = map[string]int{}
	out, err := l.helmCommand(major, "get", "hooks", release, "--namespace", namespace).Output()
	if err != nil {
		l.Fatalf("helm get hooks %s: %v", release, err)
	}
	text = string(out)
	for document := range strings.SplitSeq(text, "---\n") {
		var o struct {
			Kind     string
			Metadata struct{ Name string }
		}
		if err := yaml.Unmarshal([]byte(document), &o); err != nil {
			l.Fatalf("helm get hooks: %v\n%s", err, document)
		}
		if o.Kind != "" {
			found[o.Kind+" "+o.Metadata.Name]++
		}
	}
	return found, text
}
