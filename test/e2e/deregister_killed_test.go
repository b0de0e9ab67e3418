package e2e

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/arc-cleanup/arc-cleanup/test/cluster/github"
)

// records returns the Secrets that name what is registered at GitHub.
func (l *lab) records() (names []string) {
	l.Helper()
	secrets, err := l.client.CoreV1().Secrets("").List(l.ctx, metav1.ListOptions{LabelSelector: "app.kubernetes.io/name=arc-cleanup,app.kubernetes.io/component=registered"})
	if err != nil {
		l.Fatal(err)
	}
	for i := range secrets.Items {
		names = append(names, secrets.Items[i].Namespace+"/"+secrets.Items[i].Name)
	}
	return names
}

// forgetRecords deletes them, as a person does who leaves the rest to GitHub.
func (l *lab) forgetRecords() {
	l.Helper()
	for _, name := range l.records() {
		namespace, name, _ := strings.Cut(name, "/")
		if err := l.client.CoreV1().Secrets(namespace).Delete(l.ctx, name, metav1.DeleteOptions{}); err != nil {
			l.Fatal(err)
		}
	}
}

// own are the flags with a person's credentials for the stand-in.
func (l *lab) own() []string {
	l.Helper()
	token := filepath.Join(l.TempDir(), "token")
	if err := os.WriteFile(token, []byte(githubToken), 0o600); err != nil {
		l.Fatal(err)
	}
	return []string{"--github-token-file", token, "--github-url", l.GitHub().ConfigURL()}
}

// TestDeregisterAfterAKill: a run is killed while it asks GitHub, when nothing is left in the cluster. The next one knows what is
// registered, asks nothing without a person's credentials, and keeps what is in use.
func TestDeregisterAfterAKill(t *testing.T) {
	l := stranded(t)
	l.GitHub().Fail(github.Rule{Request: github.GetScaleSet, Delay: time.Hour})
	cmd := built.ByHand(l.ctx, l.Kubeconfig(), "run", "--all-namespaces", "--yes", "--github", "deregister")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	l.eventually("GitHub is asked", func() bool { return len(l.GitHub().CallsOf(github.GetScaleSet)) > 0 })
	l.signal(cmd.Process, syscall.SIGKILL)
	_ = cmd.Wait()
	l.GitHub().Mend()
	runners := l.GitHub().Runners()

	calls := len(l.GitHub().Calls())
	out, code := l.deregister()
	if code != 4 || !strings.Contains(out, "still registered at GitHub: scale set runners (id 1) of "+l.GitHub().ConfigURL()+": an earlier run ended before GitHub had removed it") ||
		!strings.Contains(out, runners[0]) || !strings.Contains(out, "kubectl delete secret arc-cleanup-registered-") || len(l.GitHub().Calls()) != calls {
		t.Errorf("without credentials: exit code %d, %d requests\n%s", code, len(l.GitHub().Calls())-calls, out)
	}
	if out, code := l.hookjob("plan", "--all-namespaces"); code != 0 || !strings.Contains(out, "1 scale set that an earlier run has freed") {
		t.Errorf("a plan that does not de-register: exit code %d\n%s", code, out)
	}

	if err := l.GitHub().HoldSession("runners"); err != nil {
		t.Fatal(err)
	}
	if out, code := l.deregister(l.own()...); code != 4 || !strings.Contains(out, "a listener is connected to it") {
		t.Errorf("a set that a listener uses: exit code %d\n%s", code, out)
	}
	if err := l.GitHub().ReleaseSession("runners"); err != nil {
		t.Fatal(err)
	}
	l.registered([]string{"runners"}, runners)

	if out, code := l.deregister(l.own()...); code != 0 || !l.GitHub().Deregistered() || !strings.Contains(out, "removed 2 registrations at GitHub") {
		t.Errorf("with credentials: exit code %d\n%s", code, out)
	}
	if out, code := l.deregister(); code != 0 || strings.Contains(out, "registered") {
		t.Errorf("once more: exit code %d\n%s", code, out)
	}
	l.nothingLeft() // not the record either
}

// killedIn runs until a line of the log shows that it is there, and kills it.
func (l *lab) killedIn(is func(entry) bool, args ...string) {
	l.Helper()
	killed := false
	_, code := l.follow(func(hookjob *os.Process, e entry) {
		if !killed && is(e) {
			killed = true
			l.signal(hookjob, syscall.SIGKILL)
		}
	}, append([]string{"--all-namespaces", "--github", "deregister"}, args...)...)
	if code != -1 || len(l.records()) != 1 {
		l.Fatalf("exit code %d, records %q", code, l.records())
	}
}

// TestDeregisterAfterAKillThatFreedSome: a run is killed while it frees objects. The next one does the rest, whatever was freed.
func TestDeregisterAfterAKillThatFreedSome(t *testing.T) {
	l := stranded(t)
	l.killedIn(func(e entry) bool { return e.Phase == "free" })
	if out, code := l.deregister(l.own()...); code != 0 || !l.GitHub().Deregistered() {
		t.Errorf("exit code %d\n%s", code, out)
	}
	l.nothingLeft()
}

// TestDeregisterAfterAKillAndAnInstallation: the scale set is installed again after the kill, and takes over what GitHub has. No run
// removes that, and its controller does it in the end.
func TestDeregisterAfterAKillAndAnInstallation(t *testing.T) {
	l := stranded(t)
	l.GitHub().Fail(github.Rule{Request: github.GetScaleSet, Delay: time.Hour})
	l.killedIn(func(e entry) bool {
		return strings.HasPrefix(e.Message, "removing what no controller removed at GitHub: scale set")
	})
	l.GitHub().Mend()
	l.GitHub().RequireToken("")
	l.installController()
	l.installScaleSet(4)
	out, code := l.deregister(l.own()...)
	if code != 0 || !strings.Contains(out, "the next run reads what is registered from secrets/arc-cleanup-registered-") || !slices.Equal(l.GitHub().ScaleSets(), []string{"runners"}) {
		t.Errorf("exit code %d, scale sets at GitHub: %q\n%s", code, l.GitHub().ScaleSets(), out)
	}
	l.mustHelm(4, "uninstall", "runners", "--namespace", runnerNamespace)
	l.eventually("the controller has removed it", func() bool { return len(l.GitHub().ScaleSets()) == 0 })
	l.mustHelm(4, "uninstall", "arc", "--namespace", controllerNamespace)
	l.controllerGone()
	if out, code := l.deregister(l.own()...); code != 0 || !strings.Contains(out, "gone already") {
		t.Errorf("exit code %d\n%s", code, out)
	}
	l.nothingLeft()
}
