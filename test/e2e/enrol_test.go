package e2e

import (
	"bytes"
	"compress/gzip"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"os/exec"
	"slices"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/arc-cleanup/arc-cleanup/test/harness"
)

// TestEnrolByHand gives the hook to releases that were installed without it, by
// either Helm and in either storage: Helm shows it, runs it once, and nothing is
// left.
func TestEnrolByHand(t *testing.T) {
	t.Parallel()
	// TestMatrix has each Helm with the other storage.
	for major, driver := range map[int]string{3: "configmap", 4: "secret"} {
		t.Run(fmt.Sprintf("helm%d %s", major, driver), func(t *testing.T) {
			l := newLab(t)
			l.helmEnv = []string{"HELM_DRIVER=" + driver}
			l.install(major)
			l.installScaleSet(major)
			for release, namespace := range map[string]string{"arc": controllerNamespace, "runners": runnerNamespace} {
				l.enrol(major, release, namespace)
			}
			runs := l.hookRuns()
			l.mustHelm(major, "uninstall", "runners", "--namespace", runnerNamespace)
			if !l.GitHub().Deregistered() {
				t.Error("still registered at GitHub")
			}
			l.mustHelm(major, "uninstall", "arc", "--namespace", controllerNamespace)
			if got := runs(); got["arc-arc-cleanup"] != 1 || got["runners-arc-cleanup-scale-set"] != 1 {
				t.Errorf("hooks ran that often: %v", got)
			}
			l.nothingLeft()
		})
	}
}

// install installs ARC's controller with either Helm, and waits until it runs.
func (l *lab) install(major int, args ...string) {
	l.Helper()
	l.mustHelm(major, slices.Concat([]string{
		"install", "arc", built.ARCChart(harness.ControllerChart),
		"--namespace", controllerNamespace, "--create-namespace",
	}, args)...)
	l.awaitController()
}

func (l *lab) awaitController() {
	l.Helper()
	l.eventually("the controller runs", func() bool {
		d, err := l.client.AppsV1().Deployments(controllerNamespace).Get(l.ctx, "arc-gha-rs-controller", metav1.GetOptions{})
		return err == nil && d.Status.ReadyReplicas == 1
	})
}

// enrol enrols a release by hand: first only in words, then once, then in vain;
// out again, and in.
func (l *lab) enrol(major int, release, namespace string) {
	l.Helper()
	steps := []struct {
		args []string
		say  string
		in   bool // the hook is in the record
	}{
		{[]string{"enrol", "--dry-run"}, "enrolled (dry run: nothing was written)", false},
		{[]string{"enrol"}, ": enrolled\n", true},
		{[]string{"enrol"}, "already enrolled, unchanged", true},
		{[]string{"enrol", "--set", "policy.grace=20s"}, "enrolled again, the hook was another one", true},
		{[]string{"unenrol", "--dry-run"}, "unenrolled (dry run: nothing was written)", true},
		{[]string{"unenrol"}, ": unenrolled\n", false},
		{[]string{"unenrol"}, "not enrolled, unchanged", false},
		{[]string{"enrol"}, ": enrolled\n", true},
	}
	for _, step := range steps {
		out, code := l.hookjob(append(step.args, release, "--namespace", namespace)...)
		want := 0
		if slices.Contains(step.args, "--dry-run") {
			want = 7
		}
		if code != want || !strings.Contains(out, step.say) {
			l.Errorf("exit code %d, and the terminal does not say %q:\n%s", code, step.say, out)
		}
		if in := l.enrolled(major, release, namespace); in != step.in {
			l.Fatalf("after %v: the hook in the record: %t, want %t", step.args, in, step.in)
		}
	}
}

// enrolled reports whether Helm itself sees the hook in the newest revision.
func (l *lab) enrolled(major int, release, namespace string) bool {
	l.Helper()
	hooks := l.mustHelm(major, "get", "hooks", release, "--namespace", namespace)
	return strings.Contains(hooks, "kind: Job") && strings.Contains(hooks, "helm.sh/hook: pre-delete")
}

// hookRuns counts, from now on, the hook's Jobs that are created, by name.
func (l *lab) hookRuns() func() map[string]int {
	l.Helper()
	names := harness.HookRuns(l.ctx, l, l.client)
	return func() map[string]int {
		runs := map[string]int{}
		for _, name := range names() {
			runs[name]++
		}
		return runs
	}
}

// TestEnrolInEveryState enrols releases whose newest revision is not deployed. What
// Helm writes no more is enrolled, and Helm runs the hook; of the rest each refusal
// names a command that helps in that state.
func TestEnrolInEveryState(t *testing.T) {
	t.Parallel()
	for _, major := range []int{3, 4} {
		t.Run(fmt.Sprintf("helm%d: an upgrade that failed", major), func(t *testing.T) {
			l := newLab(t)
			l.install(major)
			if _, err := l.helm(major, "upgrade", "arc", built.ARCChart(harness.ControllerChart), "--namespace", controllerNamespace,
				"--set", "image.repository=registry.invalid/none", "--wait", "--timeout", "5s"); err == nil {
				t.Fatal("the upgrade did not fail")
			}
			do := l.status("arc").Releases[0].Uninstall.Do
			if len(do) != 1 {
				t.Fatalf("status says to do %q", do)
			}
			l.asPrinted(major, do[0])
			l.uninstallsOnce(major)
		})
		t.Run(fmt.Sprintf("helm%d: superseded, since the newest record is lost", major), func(t *testing.T) {
			l := newLab(t)
			l.install(major)
			l.mustHelm(major, "upgrade", "arc", built.ARCChart(harness.ControllerChart), "--namespace", controllerNamespace)
			if err := l.client.CoreV1().Secrets(controllerNamespace).Delete(l.ctx, "sh.helm.release.v1.arc.v2", metav1.DeleteOptions{}); err != nil {
				t.Fatal(err)
			}
			if s := l.status("arc").Releases[0]; s.State != "superseded" || len(s.Uninstall.Do) != 1 {
				t.Fatalf("%+v", s)
			}
			l.asPrinted(major, l.status("arc").Releases[0].Uninstall.Do[0])
			l.uninstallsOnce(major)
		})
		t.Run(fmt.Sprintf("helm%d: stopped in the middle of an upgrade", major), func(t *testing.T) {
			l := newLab(t)
			l.install(major)
			l.mustHelm(major, "upgrade", "arc", built.ARCChart(harness.ControllerChart), "--namespace", controllerNamespace)
			l.setStatus("sh.helm.release.v1.arc.v2", "pending-upgrade")
			l.asPrinted(major, l.refusedWith("enrol", "is pending-upgrade (revision 2): Helm is at work on it", "helm rollback arc --namespace arc-systems"))
			l.hookjob("enrol", "arc", "--namespace", controllerNamespace)
			l.uninstallsOnce(major)
		})
		t.Run(fmt.Sprintf("helm%d: stopped in the middle of the installation, and of an uninstall", major), func(t *testing.T) {
			l := newLab(t)
			l.install(major)
			l.setStatus("sh.helm.release.v1.arc.v1", "pending-install")
			l.refusedWith("enrol", "is pending-install (revision 1): Helm is at work on it", "helm uninstall arc --namespace arc-systems")
			l.setStatus("sh.helm.release.v1.arc.v1", "uninstalling")
			run := l.refusedWith("enrol", "is uninstalling (revision 1)", "arc-cleanup run --all-namespaces")
			l.asPrinted(major, l.refusedWith("enrol", "is uninstalling (revision 1): it is being uninstalled", "helm uninstall arc --namespace arc-systems"))
			l.asPrinted(major, run+" --yes")
			l.nothingLeft()
		})
		t.Run(fmt.Sprintf("helm%d: uninstalled, with its history", major), func(t *testing.T) {
			l := newLab(t)
			l.install(major)
			l.mustHelm(major, "uninstall", "arc", "--namespace", controllerNamespace, "--keep-history")
			l.refusedWith("enrol", "is uninstalled (revision 1): only its history is kept", "arc-cleanup plan --all-namespaces")
			l.refusedWith("unenrol", "is uninstalled (revision 1)", "arc-cleanup plan --all-namespaces")
			if out, _ := l.hookjob("status"); strings.Contains(out, "helm uninstall") || strings.Contains(out, "ready") {
				t.Errorf("status has it as one to uninstall:\n%s", out)
			}
			if r := l.status("arc").Releases; len(r) != 1 || r[0].Uninstall.Ready || len(r[0].Uninstall.Do) > 0 {
				t.Errorf("%+v", r)
			}
			l.mustHelm(major, "uninstall", "arc", "--namespace", controllerNamespace)
			l.asPrinted(major, "arc-cleanup run --all-namespaces --yes")
			l.nothingLeft()
		})
	}
}

// TestEnrolUnderFlux leaves a record of Flux alone: Flux would take it for tampered
// with, and upgrade to a revision without the hook. Its labels are on all that it
// installs.
func TestEnrolUnderFlux(t *testing.T) {
	l := newLab(t)
	l.install(4, "--set", `labels.helm\.toolkit\.fluxcd\.io/name=arc-of-flux`, "--set", `labels.helm\.toolkit\.fluxcd\.io/namespace=flux-system`)
	before := l.record("sh.helm.release.v1.arc.v1").ResourceVersion
	l.refusedWith("enrol", `belongs to Flux's HelmRelease "arc-of-flux"`, "")
	if l.record("sh.helm.release.v1.arc.v1").ResourceVersion != before {
		t.Error("the record was written")
	}
	u := l.status("arc").Releases[0].Uninstall
	if u.Ready || !slices.Contains(u.Do, "make arc-cleanup a dependency of its chart") || slices.ContainsFunc(u.Do, func(do string) bool { return strings.Contains(do, "enrol") }) {
		t.Errorf("status: %+v", u)
	}
	l.mustHelm(4, "uninstall", "arc", "--namespace", controllerNamespace)
	l.asPrinted(4, "arc-cleanup run --all-namespaces --yes")
	l.nothingLeft()
}

// refusedWith runs enrol or unenrol, which has to refuse, to say so, and to print
// this command, which is returned.
func (l *lab) refusedWith(command, say, do string) string {
	l.Helper()
	out, code := l.hookjob(command, "arc", "--namespace", controllerNamespace)
	if code != 3 || !strings.Contains(out, say) || do != "" && !strings.Contains(out, "`"+do+"`") || !strings.Contains(out, "nothing was written") {
		l.Errorf("exit code %d, want 3; %q and `%s`:\n%s", code, say, do, out)
	}
	return do
}

// asPrinted runs a command as it was printed, in a shell.
func (l *lab) asPrinted(major int, command string) {
	l.Helper()
	helm := l.helmCommand(major)
	byHand := built.ByHand(l.ctx, l.Kubeconfig())
	cmd := exec.CommandContext(l.ctx, "sh", "-e", "-c", "helm() { "+shellWords(helm.Args)+" \"$@\"; }\narc_cleanup() { "+shellWords(byHand.Args)+" \"$@\"; }\n"+
		strings.Replace(command, "arc-cleanup ", "arc_cleanup ", 1))
	cmd.Env = slices.Concat(helm.Env, byHand.Env)
	out, err := cmd.CombinedOutput()
	l.Logf("$ %s\n%s", command, out)
	if err != nil {
		l.Errorf("%s: %v\n%s", command, err, out)
	}
}

// shellWords are words that a shell reads as they stand.
func shellWords(words []string) string {
	var quoted []string
	for _, w := range words {
		quoted = append(quoted, "'"+strings.ReplaceAll(w, "'", `'\''`)+"'")
	}
	return strings.Join(quoted, " ")
}

// uninstallsOnce uninstalls the controller, with its hook.
func (l *lab) uninstallsOnce(major int) {
	l.Helper()
	runs := l.hookRuns()
	l.mustHelm(major, "uninstall", "arc", "--namespace", controllerNamespace)
	if got := runs(); len(got) != 1 {
		l.Errorf("hooks ran that often: %v", got)
	}
	l.nothingLeft()
}

// record reads one of Helm's records of the controller.
func (l *lab) record(name string) *corev1.Secret {
	l.Helper()
	s, err := l.client.CoreV1().Secrets(controllerNamespace).Get(l.ctx, name, metav1.GetOptions{})
	if err != nil {
		l.Fatal(err)
	}
	return s
}

// setStatus has a record as Helm leaves it when it is stopped.
func (l *lab) setStatus(name, status string) {
	l.Helper()
	l.editRecord(name, func(s *corev1.Secret, body map[string]json.RawMessage) {
		var info map[string]any
		if err := json.Unmarshal(body["info"], &info); err != nil {
			l.Fatal(err)
		}
		info["status"], s.Labels["status"] = status, status
		body["info"] = asJSON(l.T, info)
	})
}

// editRecord changes a record by hand.
func (l *lab) editRecord(name string, change func(*corev1.Secret, map[string]json.RawMessage)) {
	l.Helper()
	s := l.record(name)
	zipped, err := base64.StdEncoding.DecodeString(string(s.Data["release"]))
	if err != nil {
		l.Fatal(err)
	}
	reader, err := gzip.NewReader(bytes.NewReader(zipped))
	if err != nil {
		l.Fatal(err)
	}
	var body map[string]json.RawMessage
	if err := json.NewDecoder(reader).Decode(&body); err != nil {
		l.Fatal(err)
	}
	change(s, body)
	s.Data["release"] = []byte(base64.StdEncoding.EncodeToString(gzipped(string(asJSON(l.T, body)))))
	if _, err := l.client.CoreV1().Secrets(controllerNamespace).Update(l.ctx, s, metav1.UpdateOptions{}); err != nil {
		l.Fatal(err)
	}
}

func asJSON(t *testing.T, value any) []byte {
	t.Helper()
	text, err := json.Marshal(value)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// viaHelm3 are the arguments which put the hook into a release of Helm 3.
func viaHelm3() []string { return []string{"--post-renderer", built.Postrender} }

const enroller = "arc-arc-cleanup-enrol"

// awaitEnrolled waits until Helm sees the hook and nothing of the enroller runs
// any more.
func (l *lab) awaitEnrolled(release, namespace string) {
	l.Helper()
	l.eventually("release "+release+" is enrolled", func() bool {
		out, err := l.helmCommand(3, "get", "hooks", release, "--namespace", namespace).Output()
		return err == nil && strings.Contains(string(out), "kind: Job")
	})
	l.eventually("nothing of the enroller runs", func() bool {
		pods, err := l.client.CoreV1().Pods(namespace).List(l.ctx, metav1.ListOptions{LabelSelector: "app.kubernetes.io/component=enroller"})
		return err == nil && len(pods.Items) == 0
	})
}

// TestHelm3 is the promise under Helm 3: the same command line, and one uninstall
// of each release runs its hook once. TestMatrix has what lies between.
func TestHelm3(t *testing.T) {
	l := newLab(t)
	runs := l.hookRuns()
	l.install(3, viaHelm3()...)
	l.awaitEnrolled("arc", controllerNamespace)
	l.installScaleSet(3, viaHelm3()...)
	l.awaitEnrolled("runners", runnerNamespace)

	l.mustHelm(3, "uninstall", "runners", "--namespace", runnerNamespace)
	l.mustHelm(3, "uninstall", "arc", "--namespace", controllerNamespace)
	if got := runs(); got["arc-arc-cleanup"] != 1 || got["runners-arc-cleanup-scale-set"] != 1 || len(got) != 2 {
		t.Errorf("hooks ran that often: %v", got)
	}
	if !l.GitHub().Deregistered() {
		t.Error("still registered at GitHub")
	}
	l.nothingLeft()
}
