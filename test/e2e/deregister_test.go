package e2e

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"

	"github.com/arc-cleanup/arc-cleanup/test/cluster/github"
	"github.com/arc-cleanup/arc-cleanup/test/harness"
)

// githubSecret is the Secret that ARC's chart makes of this token.
const (
	githubSecret = "runners-gha-rs-github-secret"
	githubToken  = "not-a-token"
)

// stranded is a disaster in which GitHub wants the right token, and gives a message session to one listener only.
func stranded(t *testing.T) *lab {
	l := newLab(t)
	l.disaster()
	l.GitHub().RequireToken(githubToken)
	l.GitHub().ExclusiveSessions(true)
	return l
}

// deregister runs by hand, and fails if a credential or an answer of GitHub is in what it prints.
func (l *lab) deregister(args ...string) (string, int) {
	l.Helper()
	out, code := l.console(append([]string{"run", "--all-namespaces", "--yes", "--github", "deregister"}, args...)...)
	l.tellsNoSecret(out)
	return out, code
}

func (l *lab) tellsNoSecret(out string) {
	l.Helper()
	for _, secret := range append(l.GitHub().Secrets(), githubToken, github.BodyMarker, github.SecretMarker) {
		if strings.Contains(out, secret) {
			l.Errorf("%q is in\n%s", secret, out)
		}
	}
}

// registered fails unless this is registered at GitHub.
func (l *lab) registered(sets, runners []string) {
	l.Helper()
	if got := l.GitHub().ScaleSets(); !slices.Equal(got, sets) {
		l.Errorf("scale sets at GitHub: %v, want %v", got, sets)
	}
	if got := l.GitHub().Runners(); !slices.Equal(got, runners) {
		l.Errorf("runners at GitHub: %v, want %v", got, runners)
	}
}

// TestDeregister: after a disaster nothing is left, at GitHub either.
func TestDeregister(t *testing.T) {
	l := stranded(t)
	before := len(l.GitHub().Calls())
	out, code := l.hookjob("plan", "--all-namespaces", "--github", "deregister")
	if want := "scale set runners (id 1) of " + l.GitHub().ConfigURL(); code != 7 || !strings.Contains(out, "deregister") || !strings.Contains(out, want) {
		t.Errorf("exit code %d\n%s", code, out)
	}
	if calls := len(l.GitHub().Calls()); calls != before {
		t.Errorf("a plan asked GitHub %d times", calls-before)
	}
	out, code = l.deregister()
	if code != 0 || !strings.Contains(out, "removed 2 registrations at GitHub") || strings.Contains(out, "still registered") {
		t.Errorf("exit code %d\n%s", code, out)
	}
	if !l.GitHub().Deregistered() || l.GitHub().SessionOpen("runners") {
		t.Errorf("left at GitHub: %v, %v", l.GitHub().ScaleSets(), l.GitHub().Runners())
	}
	l.nothingLeft()
}

// TestDeregisterWhatStays: what another cluster uses stays, and what GitHub does not let go. The run says so, and the cluster is
// clean.
func TestDeregisterWhatStays(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		take func(*github.StandIn) error
		why  string
	}{
		"by its listener": {func(g *github.StandIn) error { return g.HoldSession("runners") }, "a listener is connected to it"},
		"GitHub is down":  {func(g *github.StandIn) error { g.SetMode(github.Down); return nil }, "GitHub failed with status 503"},
	} {
		t.Run(name, func(t *testing.T) {
			l := stranded(t)
			if err := test.take(l.GitHub()); err != nil {
				t.Fatal(err)
			}
			out, code := l.deregister()
			if code != 4 || !strings.Contains(out, "still registered at GitHub: scale set runners (id 1) of "+l.GitHub().ConfigURL()+": "+test.why) ||
				!strings.Contains(lastLine(out), "residue: nothing is left in the cluster, but at GitHub") {
				t.Errorf("exit code %d\n%s", code, out)
			}
			if sets := l.GitHub().ScaleSets(); !slices.Equal(sets, []string{"runners"}) {
				t.Errorf("scale sets at GitHub: %v", sets)
			}
			l.forgetRecords()
			l.nothingLeft()
		})
	}
}

// TestDeregisterBesideAController: what a running controller could not remove stays its own: arc-cleanup asks GitHub nothing.
func TestDeregisterBesideAController(t *testing.T) {
	l := newLab(t)
	l.installController(viaPostRenderer...)
	l.installScaleSet(4)
	// Who is about to delete the cluster saves what is registered, though there is nothing else to do.
	if out, code := l.hookjob("plan", "--all-namespaces", "--output", "json"); code != 0 || strings.Count(out, `"kind": "scale-set"`) != 1 || strings.Count(out, `"kind": "runner"`) != 1 {
		t.Errorf("exit code %d\n%s", code, out)
	}
	l.GitHub().SetMode(github.Down)
	l.mustHelm(4, "uninstall", "runners", "--namespace", runnerNamespace)
	out, code := l.console("run", "--yes", "--scope", "scale-set", "--release", "runners", "--release-namespace", runnerNamespace,
		"--controller-namespace", controllerNamespace, "--github", "deregister", "--grace", "6s")
	if code != 4 || !strings.Contains(out, "the controller arc-systems/arc-gha-rs-controller works there: only it removes scale sets at GitHub") {
		t.Errorf("exit code %d\n%s", code, out)
	}
	calls := l.GitHub().CallsOf(github.FindRunner) // before the controller can ask again
	l.GitHub().SetMode(github.OK)
	if len(calls) > 0 {
		t.Errorf("asked GitHub for runners: %v", calls)
	}
	l.registered([]string{"runners"}, l.GitHub().Runners())
	l.mustHelm(4, "uninstall", "arc", "--namespace", controllerNamespace)
	l.forgetRecords()
	l.nothingLeft()
}

// TestDeregisterWithoutASecret: the run asks for credentials before it writes, and takes a person's own.
func TestDeregisterWithoutASecret(t *testing.T) {
	l := stranded(t)
	secrets := l.client.CoreV1().Secrets(runnerNamespace)
	if _, err := secrets.Patch(l.ctx, githubSecret, types.MergePatchType, []byte(`{"metadata":{"finalizers":null}}`), metav1.PatchOptions{}); err != nil {
		t.Fatal(err)
	}
	before := l.everything()
	out, code := l.deregister()
	if code != 3 || !strings.Contains(out, "there are no credentials to de-register scale set runners (id 1) of "+l.GitHub().ConfigURL()+" with: Secret "+runnerNamespace+"/"+githubSecret+" does not exist") ||
		!strings.Contains(out, "--github-token-file") {
		t.Errorf("exit code %d\n%s", code, out)
	}
	for o := range before {
		if !l.everything()[o] {
			t.Errorf("%s is gone", o)
		}
	}
	file := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(file, []byte(githubToken+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	// This server is not GitHub's own, so the token does not go there without a word.
	if out, code := l.deregister("--github-token-file", file); code != 3 {
		t.Errorf("exit code %d\n%s", code, out)
	}
	if out, code := l.deregister("--github-token-file", file, "--github-url", l.GitHub().ConfigURL()); code != 0 || !l.GitHub().Deregistered() {
		t.Errorf("exit code %d\n%s", code, out)
	}
	l.nothingLeft()
}

// TestDeregisterInTheHook: helm uninstall leaves nothing at GitHub, though the controller is down. The way there is the scale
// set's: its proxy, which asks for a password, and its own certificate authority.
func TestDeregisterInTheHook(t *testing.T) {
	l := newLab(t)
	l.installController(append(viaPostRenderer, "--post-renderer-args", "--set", "--post-renderer-args", "policy.github=deregister,logLevel=debug")...)
	l.installScaleSet(4)
	l.scaleController(0)
	l.mustHelm(4, "uninstall", "runners", "--namespace", runnerNamespace)
	const host, password = "github.example", "TheStandInSecret-of-the-proxy"
	inside, err := github.StartTLS("127.0.0.1", host)
	if err != nil {
		t.Fatal(err)
	}
	defer inside.Close() //nolint:errcheck // the test is over
	proxy, err := github.StartProxy("127.0.0.1", "arc", password)
	if err != nil {
		t.Fatal(err)
	}
	defer proxy.Close() //nolint:errcheck // the test is over
	proxy.Route(host, inside)
	inside.RequireToken(githubToken)
	id := inside.AddScaleSet("runners", "")
	for _, runner := range l.GitHub().Runners() {
		if err := inside.AddScaleSetRunner("runners", runner, false); err != nil {
			t.Fatal(err)
		}
	}
	l.made("{apiVersion: v1, kind: Secret, metadata: {name: proxy, namespace: " + runnerNamespace + "}, stringData: {username: arc, password: " + password + "}}")
	ca, err := json.Marshal(inside.CA())
	if err != nil {
		t.Fatal(err)
	}
	l.made(fmt.Sprintf("{apiVersion: v1, kind: ConfigMap, metadata: {name: ca, namespace: %s}, data: {ca.crt: %s}}", runnerNamespace, ca))
	spec := fmt.Sprintf(`{"metadata": {"annotations": {"runner-scale-set-id": "%d"}}, "spec": {"githubConfigUrl": "https://%s/acme",
		"proxy": {"https": {"url": "%s", "credentialSecretRef": "proxy"}},
		"githubServerTLS": {"certificateFrom": {"configMapKeyRef": {"name": "ca", "key": "ca.crt"}}}}}`, id, host, proxy.URL())
	set := l.dynamic.Resource(harness.EphemeralRunners.GroupVersion().WithResource("autoscalingrunnersets")).Namespace(runnerNamespace)
	if _, err := set.Patch(l.ctx, "runners", types.MergePatchType, []byte(spec), metav1.PatchOptions{}); err != nil {
		t.Fatal(err)
	}
	out := l.mustHelm(4, "uninstall", "arc", "--namespace", controllerNamespace)
	if !inside.Deregistered() || !strings.Contains(out, "removed 2 registrations at GitHub") {
		t.Errorf("left at GitHub: %v, %v\n%s", inside.ScaleSets(), inside.Runners(), out)
	}
	events, err := l.client.CoreV1().Events("").List(l.ctx, metav1.ListOptions{})
	if err != nil {
		t.Fatal(err)
	}
	for i := range events.Items {
		out += events.Items[i].Message + "\n"
	}
	if !strings.Contains(out, "level=debug") && !strings.Contains(out, "arc-cleanup begins") {
		t.Errorf("the log is not that of debugging:\n%s", out)
	}
	for _, secret := range append(inside.Secrets(), password, githubToken, github.BodyMarker) {
		if strings.Contains(out, secret) {
			t.Errorf("%q is in\n%s", secret, out)
		}
	}
	for _, name := range []string{"proxy", "ca"} { // which are not ARC's
		kind := map[string]string{"proxy": "Secret", "ca": "ConfigMap"}[name]
		o := &unstructured.Unstructured{Object: map[string]any{"apiVersion": "v1", "kind": kind, "metadata": map[string]any{"name": name, "namespace": runnerNamespace}}}
		if err := l.resourceOf(o).Delete(l.ctx, name, metav1.DeleteOptions{}); err != nil {
			t.Error(err)
		}
	}
	l.nothingLeft()
}

// TestDeregisterWithoutACluster: a report, and a plan from before, are enough. Nothing is removed without --yes.
func TestDeregisterWithoutACluster(t *testing.T) {
	l := stranded(t)
	token := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(token, []byte(githubToken), 0o600); err != nil {
		t.Fatal(err)
	}
	document := func(args ...string) string {
		out, err := built.ByHand(l.ctx, l.Kubeconfig(), append(args, "--all-namespaces", "--output", "json")...).Output()
		if !json.Valid(out) {
			t.Fatalf("%v: %v\n%s", args, err, out)
		}
		return string(out)
	}
	planned := document("plan")
	report := document("run", "--yes")
	l.nothingLeft()
	runners := l.GitHub().Runners()
	from := func(name, document string) []string {
		file := filepath.Join(t.TempDir(), name+".json")
		if err := os.WriteFile(file, []byte(document), 0o600); err != nil {
			t.Fatal(err)
		}
		return []string{"deregister", "--from", file, "--url", l.GitHub().ConfigURL(), "--github-token-file", token}
	}
	for name, document := range map[string]string{"plan": planned, "report": report} {
		out, code := l.hookjob(from(name, document)...)
		if code != 7 || strings.Count(out, "would-remove") != 1+len(runners) || !strings.Contains(out, "add --yes") {
			t.Errorf("%s: exit code %d\n%s", name, code, out)
		}
		l.tellsNoSecret(out)
	}
	l.registered([]string{"runners"}, runners)
	if out, code := l.hookjob(append(from("plan", planned), "--yes")...); code != 0 || !l.GitHub().Deregistered() {
		t.Errorf("exit code %d\n%s", code, out)
	}
	if out, code := l.hookjob(append(from("report", report), "--yes")...); code != 0 || strings.Count(out, "already-gone") != 1+len(runners) {
		t.Errorf("again: exit code %d\n%s", code, out)
	}
}
