package e2e

import (
	"maps"
	"slices"
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/arc-cleanup/arc-cleanup/test/harness"
)

// notRun are blocks of commands that are not executed, by name, or all of a file,
// each with the reason. They are parsed all the same, and their flags are tried.
var notRun = map[string]string{
	"README.md#Install":            "names the image, which the environment of all blocks does",
	"README.md#arc-cleanup":        "make demo is the source of the picture, which has a test of its own; make test runs this",
	"README.md#Upgrade ARC":        "the charts of that version are not at hand; TestUpgrade does it with others",
	"docs/upgrade.md":              "the charts of that version are not at hand; TestUpgrade does it with others",
	"docs/cluster-deletion.md":     "TestClusterDeletion does all of it, with a cluster that goes; kubectl's commands TestClusterDeletionByClusterAPI",
	"docs/github.md":               "the places in it are examples; the tests of de-registration do all of it, with the stand-in for GitHub",
	"docs/sweep.md":                "TestSweepOfALivingARC does it, of objects that ARC has forgotten",
	"docs/plugins.md":              "test/plugin does all of it, from files and from a registry",
	"docs/verify.md":               "test/release does all of it, with a release of its own",
	"docs/uninstall.md#The backup": "a name in it is an example; TestABackupIsRestored does both",
	"docs/uninstall.md#Run exactly the plan you have seen": "the digest in it is an example; TestRunOfAConfirmedPlan does both",
	"docs/arc-cleanup.md":    "the examples of the help, which tests in cmd/hookjob parse, too; what they do has tests, command by command",
	"docs/arc-postrender.md": "the examples of the help; README.md installs through the post-renderer",
}

// shown are blocks of no language, of text, or pictures: what is shown there, and where it
// comes from.
var shown = map[string]string{
	"docs/architecture.md":          "a picture of the packages, which internal/diagram_test.go checks",
	"docs/uninstall.md#A refusal":   "what TestRefusedWhileLive sees",
	"docs/uninstall.md#How it ends": "what TestWhatHelmShows sees",
	"docs/arc-cleanup.md":           "written by make docs",
	"docs/arc-postrender.md":        "written by make docs",
}

// An execution of a block: what has to be so before, and what is so afterwards.
// exits are commands that end with another code than 0.
type execution struct {
	block         string
	before, after func()
	exits         map[string]int
}

// executions are the blocks that are executed, in this order.
func (r *reader) executions() []execution {
	l := r.lab
	disaster := func() { l.disaster() }
	through := func() {
		l.installController(viaPostRenderer...)
		l.installScaleSet(4, viaPostRenderer...)
	}
	somethingToDo := func(flags ...string) map[string]int {
		return map[string]int{strings.Join(slices.Concat([]string{"bin/arc-cleanup", "plan"}, flags), " "): 7}
	}
	return []execution{
		{block: "README.md#With a post-renderer", after: func() {
			l.awaitRunner(runnerNamespace)
			l.awaitEnrolled("arc", controllerNamespace)
			l.awaitEnrolled("arc-runner-set", runnerNamespace)
		}},
		{block: "README.md#Uninstall"},
		{block: "README.md#Into an installed release", before: func() { l.installController() }, after: func() {
			l.awaitEnrolled("arc", controllerNamespace)
			l.mustHelm(4, "uninstall", "arc", "--namespace", controllerNamespace)
		}},
		{block: "README.md#Rescue a stuck cluster", before: disaster, exits: somethingToDo("--all-namespaces")},

		{block: "docs/uninstall.md#How an uninstall works", before: func() {
			l.installController(viaPostRenderer...)
			r.installRunnerSet(viaPostRenderer...)
		}},
		{block: "docs/uninstall.md#Switch the hook off", before: through, after: func() {
			if out := l.mustHelm(4, "uninstall", "arc", "--namespace", controllerNamespace); !strings.Contains(out, "switched off by the ConfigMap") {
				l.Errorf("the hook is not off:\n%s", out)
			}
			l.mustHelm(4, "uninstall", "runners", "--namespace", runnerNamespace, "--no-hooks")
			l.hookjob("run", "--all-namespaces", "--yes")
			// The user who created it deletes it.
			if err := l.client.CoreV1().ConfigMaps(controllerNamespace).Delete(l.ctx, "arc-cleanup-off", metav1.DeleteOptions{}); err != nil {
				l.Error(err)
			}
		}},

		{block: "docs/troubleshooting.md#A cluster that is stuck today", before: disaster, exits: somethingToDo("--all-namespaces")},
		{block: "docs/troubleshooting.md#A cluster that is stuck today/2", before: func() {
			l.disaster()
			// This makes the namespace hang; the test does not wait for it.
			if err := l.client.CoreV1().Namespaces().Delete(l.ctx, runnerNamespace, metav1.DeleteOptions{}); err != nil {
				l.Fatal(err)
			}
		}, exits: somethingToDo("--namespace", runnerNamespace), after: func() {
			if !l.namespaceGone(runnerNamespace) {
				l.Error("the namespace is still there")
			}
			l.hookjob("run", "--all-namespaces", "--yes") // the rest
		}},
		{block: "docs/troubleshooting.md#The release's namespace is Terminating", before: func() { l.installController() }},
		{block: "docs/troubleshooting.md#The release's namespace is Terminating/2", before: func() {
			l.installController()
			if err := l.client.CoreV1().Namespaces().Delete(l.ctx, controllerNamespace, metav1.DeleteOptions{}); err != nil {
				l.Fatal(err)
			}
			l.hookjob("run", "--all-namespaces", "--yes")
			l.eventually("the namespace is gone", func() bool { return l.namespaceGone(controllerNamespace) })
		}},
		{block: "docs/troubleshooting.md#The image cannot be pulled", before: func() { r.installWithoutImage() }},
		{block: "docs/troubleshooting.md#The image cannot be pulled/2", before: func() {
			r.installWithoutImage()
			if out, err := l.helm(4, "uninstall", "arc", "--namespace", controllerNamespace, "--timeout", "5s"); err == nil {
				l.Errorf("an uninstall without an image for its hook worked:\n%s", out)
			}
		}},
	}
}

// installWithoutImage installs the controller with a hook whose image nobody has.
func (r *reader) installWithoutImage() {
	r.installController(slices.Concat(viaPostRenderer, []string{"--post-renderer-args", "--set", "--post-renderer-args", "image.repository=registry.invalid/none"})...)
}

// installRunnerSet installs a scale set under the name that the documentation
// gives it.
func (r *reader) installRunnerSet(args ...string) {
	r.Helper()
	r.mustHelm(4, slices.Concat([]string{
		"install", "arc-runner-set", built.ARCChart(harness.ScaleSetChart),
		"--namespace", runnerNamespace, "--create-namespace", "--server-side=false",
	}, r.scaleSetValues(""), args)...)
	r.awaitRunner(runnerNamespace)
}

// TestDocumentation executes what README and the documentation tell people to
// type, as a new user would: in a copy of the repository, with an empty home.
// Nothing is left out without a reason in the tables above.
func TestDocumentation(t *testing.T) {
	r := newReader(t)
	commands := map[string]block{}
	for _, b := range r.blocks {
		switch b.language {
		case "sh":
			commands[b.name()] = b
		case "yaml":
			r.checkYAML(b)
		case "text", "mermaid", "":
			if reason(shown, b) == "" {
				t.Errorf("%s:%d: a block without a language, or of text, is nothing to execute: say in `shown` of test/e2e/docs_test.go what %q shows and where that comes from", b.file, b.line, b.name())
			}
		default:
			t.Errorf("%s:%d: a block of %q: teach test/e2e/docs_test.go to check that language, or take sh, yaml, text or mermaid", b.file, b.line, b.language)
		}
	}
	executions := r.executions()
	for _, name := range slices.Sorted(maps.Keys(commands)) {
		b := commands[name]
		executed := slices.ContainsFunc(executions, func(e execution) bool { return e.block == name })
		switch why := reason(notRun, b); {
		case why == "" && !executed:
			t.Errorf("%s:%d: a block that nothing executes: add %q to `executions` of test/e2e/docs_test.go, or to `notRun` with the reason", b.file, b.line, name)
		case why != "" && executed:
			t.Errorf("%s:%d: %q is executed, and in `notRun`", b.file, b.line, name)
		}
		r.checkCommands(b)
	}
	for _, e := range executions {
		b, ok := commands[e.block]
		if !ok {
			t.Errorf("test/e2e/docs_test.go executes %q, which does not exist any more", e.block)
			continue
		}
		if !r.execute(b, e, 4) {
			return
		}
	}
	// Helm 3 has no plugin for it: the executable is on PATH.
	for _, e := range executions[:2] {
		r.execute(commands[e.block], e, 3)
	}
}

// checkTables fails for a reason that is about nothing any more.
func (r *reader) checkTables() {
	for _, table := range []map[string]string{notRun, shown} {
		for name := range table {
			file, _, _ := strings.Cut(name, "#")
			if !slices.ContainsFunc(r.blocks, func(b block) bool { return b.name() == name || b.file == file && name == file }) {
				r.Errorf("test/e2e/docs_test.go has a reason for %q, which does not exist any more", name)
			}
		}
	}
}

func reason(table map[string]string, b block) string {
	if why := table[b.name()]; why != "" {
		return why
	}
	return table[b.file]
}
