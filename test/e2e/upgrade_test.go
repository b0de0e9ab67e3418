package e2e

import (
	"bufio"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"log"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/registry"
	admissionv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/arc-cleanup/arc-cleanup/test/cluster"
	"github.com/arc-cleanup/arc-cleanup/test/cluster/github"
	"github.com/arc-cleanup/arc-cleanup/test/product"
)

var (
	autoscalingRunnerSets     = schema.GroupVersionResource{Group: "actions.github.com", Version: "v1alpha1", Resource: "autoscalingrunnersets"}
	customResourceDefinitions = schema.GroupVersionResource{Group: "apiextensions.k8s.io", Version: "v1", Resource: "customresourcedefinitions"}
)

const (
	// nextVersion is that of ARC's charts with changed CRDs. What is in them is ARC
	// 0.6.1 all the same, or its controller would delete every scale set.
	nextVersion = "0.6.2"
	// next marks the changed CRDs.
	next = "arc-cleanup.test/next"
)

// nextCharts copies ARC's charts and changes their version and the CRDs.
func nextCharts(t *testing.T) (controller, scaleSet string) {
	t.Helper()
	dir := t.TempDir()
	edit := func(pattern, before, after string) {
		t.Helper()
		files, err := filepath.Glob(filepath.Join(dir, pattern))
		if err != nil || len(files) == 0 {
			t.Fatalf("%s: %d files, %v", pattern, len(files), err)
		}
		for _, file := range files {
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			changed := strings.Replace(string(text), before, after, 1)
			if changed == string(text) {
				t.Fatalf("%s does not hold %q", file, before)
			}
			if err := os.WriteFile(file, []byte(changed), 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
	for _, chart := range []string{product.ControllerChart, product.ScaleSetChart} {
		// The module's own files are read-only.
		err := filepath.WalkDir(built.ARCChart(chart), func(path string, e os.DirEntry, err error) error {
			if err != nil {
				return err
			}
			to := filepath.Join(dir, chart, strings.TrimPrefix(path, built.ARCChart(chart)))
			if e.IsDir() {
				return os.MkdirAll(to, 0o700)
			}
			text, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			return os.WriteFile(to, text, 0o600)
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	edit("*/Chart.yaml", "\nversion: 0.6.1\n", "\nversion: "+nextVersion+"\n")
	edit(product.ControllerChart+"/crds/*.yaml", "\n  annotations:\n", "\n  annotations:\n    "+next+": changed\n")
	return filepath.Join(dir, product.ControllerChart), filepath.Join(dir, product.ScaleSetChart)
}

// upgraded runs `arc-hookjob upgrade` by hand, shows each step of its log to see,
// which may signal the process, and returns what it printed and its exit code.
func (l *lab) upgraded(major int, see func(p *os.Process, step string), args ...string) (string, int) {
	l.Helper()
	cmd := built.ByHand(l.ctx, l.Kubeconfig(), slices.Concat([]string{
		"upgrade", "--helm", built.Helm(l.ctx, major, "").Path, "--log-format", "json",
	}, args)...)
	cmd.Env = append(cmd.Env, l.helmEnv...)
	var out strings.Builder
	cmd.Stdout = &out
	log, err := cmd.StderrPipe()
	if err != nil {
		l.Fatal(err)
	}
	start := time.Now()
	if err := cmd.Start(); err != nil {
		l.Fatal(err)
	}
	for lines := bufio.NewScanner(log); lines.Scan(); {
		fmt.Fprintln(&out, lines.Text())
		var e struct{ Step, Release string }
		if json.Unmarshal(lines.Bytes(), &e) == nil && e.Step != "" && see != nil {
			see(cmd.Process, e.Step+" "+e.Release)
		}
	}
	// Its error is in the exit code.
	_ = cmd.Wait()
	l.Logf("arc-hookjob upgrade %s: exit %d (%.1fs)\n%s", strings.Join(args, " "), cmd.ProcessState.ExitCode(), time.Since(start).Seconds(), out.String())
	return out.String(), cmd.ProcessState.ExitCode()
}

// arcReleases is what both releases are: chart, values and hook.
type arcReleases struct{ charts, values, hooks map[string]string }

var releaseNamespaces = map[string]string{"arc": controllerNamespace, "runners": runnerNamespace}

func (l *lab) arcReleases(major int) arcReleases {
	l.Helper()
	r := arcReleases{map[string]string{}, map[string]string{}, map[string]string{}}
	get := func(args ...string) string {
		l.Helper()
		cmd := built.Helm(l.ctx, major, l.Kubeconfig(), args...)
		cmd.Env = append(cmd.Env, l.helmEnv...)
		out, err := cmd.Output()
		if err != nil {
			l.Fatalf("helm %s: %v", strings.Join(args, " "), err)
		}
		return string(out)
	}
	for name, namespace := range releaseNamespaces {
		var listed []struct{ Chart, Status string }
		if err := json.Unmarshal([]byte(get("list", "--namespace", namespace, "--output", "json")), &listed); err != nil || len(listed) != 1 {
			l.Fatalf("helm list: %v, %v", listed, err)
		}
		r.charts[name] = listed[0].Chart + " " + listed[0].Status
		r.values[name] = get("get", "values", name, "--namespace", namespace, "--output", "yaml")
		r.hooks[name] = get("get", "hooks", name, "--namespace", namespace)
	}
	return r
}

// isNext fails unless ARC is what it was before, of the next version.
func (l *lab) isNext(major int, before arcReleases) {
	l.Helper()
	now := l.arcReleases(major)
	for name, chart := range map[string]string{"arc": product.ControllerChart, "runners": product.ScaleSetChart} {
		if want := chart + "-" + nextVersion + " deployed"; now.charts[name] != want {
			l.Errorf("release %s is of %s, want %s", name, now.charts[name], want)
		}
		if now.values[name] != before.values[name] {
			l.Errorf("release %s has the values\n%s\nand had\n%s", name, now.values[name], before.values[name])
		}
		if now.hooks[name] != before.hooks[name] {
			l.Errorf("release %s has the hook\n%s\nand had\n%s", name, now.hooks[name], before.hooks[name])
		}
	}
	crds, err := l.metadata.Resource(customResourceDefinitions).List(l.ctx, metav1.ListOptions{})
	if err != nil {
		l.Fatal(err)
	}
	changed := 0
	for _, crd := range crds.Items {
		if crd.Annotations[next] == "changed" {
			changed++
		}
	}
	if changed != 4 {
		l.Errorf("%d CRDs are those of the next version, want 4", changed)
	}
	l.awaitRunner(runnerNamespace)
	if sets := l.GitHub().ScaleSets(); len(sets) != 1 {
		l.Errorf("scale sets at GitHub: %v", sets)
	}
	if s := l.upgradeSecrets(); len(s) > 0 {
		l.Errorf("the state of the upgrade is left: %s", s[0].Name)
	}
}

func (l *lab) upgradeSecrets() []corev1.Secret {
	l.Helper()
	found, err := l.client.CoreV1().Secrets("").List(l.ctx, metav1.ListOptions{LabelSelector: "app.kubernetes.io/component=upgrade"})
	if err != nil {
		l.Fatal(err)
	}
	return found.Items
}

// TestUpgrade goes from one version of ARC's charts to another, killed in every
// step: with Helm 3 as soon as it is begun, with Helm 4 a moment later where Helm
// installs or uninstalls, in the middle of it.
func TestUpgrade(t *testing.T) {
	controller, scaleSet := nextCharts(t)
	charts := []string{"--chart", controller, "--scale-set-chart", scaleSet}
	for _, test := range []struct {
		major  int
		driver string
		delay  time.Duration
	}{{3, "configmap", 0}, {4, "secret", 500 * time.Millisecond}} {
		t.Run(fmt.Sprintf("helm%d", test.major), func(t *testing.T) {
			l := newLab(t)
			major := test.major
			l.helmEnv = []string{"HELM_DRIVER=" + test.driver}
			l.install(major, "--set", "podAnnotations.number=12345678901234567890")
			l.installScaleSet(major)
			for name, namespace := range releaseNamespaces {
				if _, code := l.hookjob("enrol", name, "--namespace", namespace, "--set", "policy.grace=23s"); code != 0 {
					t.Fatalf("enrol: exit code %d", code)
				}
			}
			before := l.arcReleases(major)

			out, code := l.upgraded(major, nil, append(charts, "--dry-run")...)
			if code != 0 || len(l.upgradeSecrets()) > 0 {
				t.Fatalf("the dry run: exit code %d", code)
			}
			for _, want := range []string{"save ", "clean ", "uninstall ", "note ", "install ", "ready ", "enrol ", "forget ", "drain", "crds"} {
				if !strings.Contains(out, "\n"+want) {
					t.Errorf("the plan does not say %q", want)
				}
			}
			if strings.Contains(out, "not-a-token") {
				t.Error("the plan shows a secret")
			}

			killed, all, args := map[string]bool{}, map[string]bool{}, charts
			for range 25 {
				step := ""
				out, code = l.upgraded(major, func(p *os.Process, s string) {
					all[s] = true
					if step == "" && !killed[s] {
						step = s
						if s == "install "+controllerNamespace+"/arc" { // which takes longer than that
							time.Sleep(test.delay)
						}
						l.signal(p, syscall.SIGKILL)
					}
				}, append(args, "--yes")...)
				if strings.Contains(out, "not-a-token") {
					t.Error("a secret is printed")
				}
				if step == "" || code != -1 {
					break
				}
				killed[step] = true
				if args = nil; strings.HasPrefix(step, "save") || strings.HasPrefix(step, "forget") {
					args = charts // in between it knows them
				}
			}
			if code != 0 {
				t.Fatalf("the last run: exit code %d", code)
			}
			for step := range all {
				// The last one is over before it is killed.
				if !killed[step] && !strings.HasPrefix(step, "forget") {
					t.Errorf("it was never killed in step %s", step)
				}
			}
			l.isNext(major, before)

			out, code = l.upgraded(major, nil, append(charts, "--yes")...)
			if code != 0 || !strings.Contains(out, "Nothing to do") {
				t.Errorf("once more: exit code %d", code)
			}
			l.mustHelm(major, "uninstall", "runners", "--namespace", runnerNamespace)
			l.mustHelm(major, "uninstall", "arc", "--namespace", controllerNamespace)
			l.nothingLeft()
		})
	}
}

// TestUpgradeStops: what would not work is refused before anything goes, a busy
// runner is waited for, and a failure in the second half prints commands which
// finish it.
func TestUpgradeStops(t *testing.T) {
	for _, major := range []int{3, 4} {
		t.Run(fmt.Sprintf("helm%d", major), func(t *testing.T) {
			l := newLab(t)
			controller, scaleSet := nextCharts(t)
			charts := []string{"--yes", "--grace", "5s", "--chart", controller, "--scale-set-chart", scaleSet}
			if major == 4 {
				charts = append(charts[:3], l.published(controller, scaleSet)...)
			}
			l.install(major)
			l.installScaleSet(major)
			if _, code := l.hookjob("enrol", "runners", "--namespace", runnerNamespace); code != 0 {
				t.Fatalf("enrol: exit code %d", code)
			}
			before := l.arcReleases(major)
			if major == 3 {
				l.upgradeRefused(controller, scaleSet)
				l.upgradeWaits(charts)
			}
			l.denyScaleSets()
			out, code := l.upgraded(major, nil, charts...)
			if code != 1 || len(l.upgradeSecrets()) != 1 {
				t.Fatalf("it was to fail: exit code %d, %d Secrets", code, len(l.upgradeSecrets()))
			}
			_, byHand, found := strings.Cut(out, "do by hand what is left:\n\n")
			if !found {
				t.Fatal("no commands")
			}
			l.allowScaleSets()
			l.shell(major, byHand)
			l.isNext(major, before)

			l.mustHelm(major, "uninstall", "runners", "--namespace", runnerNamespace)
			l.mustHelm(major, "uninstall", "arc", "--namespace", controllerNamespace)
			if _, code := l.hookjob("run", "--yes"); code != 0 {
				t.Errorf("the rest: exit code %d", code)
			}
			l.nothingLeft()
		})
	}
}

// published puts charts into a registry of this test's own and returns the arguments
// which mean them.
func (l *lab) published(controller, scaleSet string) []string {
	l.Helper()
	server := httptest.NewTLSServer(registry.New(registry.Logger(log.New(io.Discard, "", 0))))
	l.Cleanup(server.Close)
	certificate := filepath.Join(l.TempDir(), "registry.pem")
	if err := os.WriteFile(certificate, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw}), 0o600); err != nil {
		l.Fatal(err)
	}
	l.helmEnv = []string{"SSL_CERT_FILE=" + certificate}
	charts := "oci://" + server.Listener.Addr().String() + "/charts"
	for _, chart := range []string{controller, scaleSet} {
		dir := l.TempDir()
		l.mustHelm(4, "package", chart, "--destination", dir)
		l.mustHelm(4, "push", filepath.Join(dir, filepath.Base(chart)+"-"+nextVersion+".tgz"), charts)
	}
	return []string{"--version", nextVersion, "--chart", charts + "/" + product.ControllerChart, "--scale-set-chart", charts + "/" + product.ScaleSetChart}
}

// upgradeRefused tries what cannot work.
func (l *lab) upgradeRefused(controller, scaleSet string) {
	l.Helper()
	other := filepath.Join(l.TempDir(), "chart")
	if err := os.CopyFS(other, os.DirFS(scaleSet)); err != nil {
		l.Fatal(err)
	}
	file := filepath.Join(other, "Chart.yaml")
	text, err := os.ReadFile(file)
	if err != nil {
		l.Fatal(err)
	}
	if err := os.WriteFile(file, []byte(strings.Replace(string(text), `appVersion: "0.6.1"`, `appVersion: "0.7.0"`, 1)), 0o600); err != nil {
		l.Fatal(err)
	}
	for want, args := range map[string][]string{
		"which deletes scale sets of another version":                       {"--chart", controller, "--scale-set-chart", other},
		"was installed from the chart gha-runner-scale-set-controller, and": {"--chart", scaleSet, "--scale-set-chart", scaleSet},
		"helm show chart": {"--chart", filepath.Join(l.TempDir(), "none"), "--scale-set-chart", scaleSet},
	} {
		out, code := l.upgraded(3, nil, append(args, "--yes")...)
		if code == 0 || !strings.Contains(out, want) || len(l.upgradeSecrets()) > 0 {
			l.Errorf("exit code %d, want the words %q", code, want)
		}
	}
}

// upgradeWaits: an upgrade does not kill a runner that has a job.
func (l *lab) upgradeWaits(charts []string) {
	l.Helper()
	runner := l.giveJob()
	pod, err := l.client.CoreV1().Pods(runnerNamespace).Get(l.ctx, runner.GetName(), metav1.GetOptions{})
	if err != nil {
		l.Fatal(err)
	}
	if out, code := l.upgraded(3, nil, append(charts, "--busy-runners", "refuse")...); code != 3 || !strings.Contains(out, "acme/rocket") || len(l.upgradeSecrets()) > 0 {
		l.Errorf("refuse: exit code %d", code)
	}
	if out, code := l.upgraded(3, nil, append(charts, "--budget", "15s")...); code != 3 || !strings.Contains(out, "acme/rocket") || len(l.upgradeSecrets()) != 1 {
		l.Errorf("wait: exit code %d", code)
	}
	l.stillRuns(pod, "the upgrade")
	l.GitHub().SetMode(github.OK)
	if err := l.KillPod(runnerNamespace, pod.Name, "runner"); err != nil {
		l.Fatal(err)
	}
}

const denied = "no-scale-sets"

// denyScaleSets has the API server take no new scale set, as an admission policy
// may.
func (l *lab) denyScaleSets() {
	l.Helper()
	_, err := l.client.AdmissionregistrationV1().ValidatingAdmissionPolicies().Create(l.ctx, &admissionv1.ValidatingAdmissionPolicy{
		ObjectMeta: metav1.ObjectMeta{Name: denied},
		Spec: admissionv1.ValidatingAdmissionPolicySpec{
			MatchConstraints: &admissionv1.MatchResources{ResourceRules: []admissionv1.NamedRuleWithOperations{{
				RuleWithOperations: admissionv1.RuleWithOperations{
					Operations: []admissionv1.OperationType{admissionv1.Create},
					Rule:       admissionv1.Rule{APIGroups: []string{"actions.github.com"}, APIVersions: []string{"*"}, Resources: []string{"autoscalingrunnersets"}},
				},
			}}},
			Validations: []admissionv1.Validation{{Expression: "false", Message: "no scale sets today"}},
		},
	}, metav1.CreateOptions{})
	if err != nil {
		l.Fatal(err)
	}
	_, err = l.client.AdmissionregistrationV1().ValidatingAdmissionPolicyBindings().Create(l.ctx, &admissionv1.ValidatingAdmissionPolicyBinding{
		ObjectMeta: metav1.ObjectMeta{Name: denied},
		Spec:       admissionv1.ValidatingAdmissionPolicyBindingSpec{PolicyName: denied, ValidationActions: []admissionv1.ValidationAction{admissionv1.Deny}},
	}, metav1.CreateOptions{})
	if err != nil {
		l.Fatal(err)
	}
}

func (l *lab) allowScaleSets() {
	l.Helper()
	admission := l.client.AdmissionregistrationV1()
	for _, err := range []error{
		admission.ValidatingAdmissionPolicyBindings().Delete(l.ctx, denied, metav1.DeleteOptions{}),
		admission.ValidatingAdmissionPolicies().Delete(l.ctx, denied, metav1.DeleteOptions{}),
	} {
		if err != nil {
			l.Fatal(err)
		}
	}
	// The API server takes a moment to forget it.
	l.eventually("scale sets are taken again", func() bool {
		_, err := l.dynamic.Resource(autoscalingRunnerSets).Namespace(runnerNamespace).Create(l.ctx, &unstructured.Unstructured{Object: map[string]any{
			"apiVersion": "actions.github.com/v1alpha1", "kind": "AutoscalingRunnerSet",
			"metadata": map[string]any{"name": "one"}, "spec": map[string]any{},
		}}, metav1.CreateOptions{DryRun: []string{metav1.DryRunAll}})
		return err == nil
	})
}

// shell runs commands as a user would who copied them.
func (l *lab) shell(major int, commands string) {
	l.Helper()
	bin := l.TempDir()
	kubectl, err := cluster.Binary(l.ctx, "kubectl", os.Stderr)
	if err != nil {
		l.Fatal(err)
	}
	for name, path := range map[string]string{"kubectl": kubectl, "arc-hookjob": built.Hookjob, "helm": built.Helm(l.ctx, major, "").Path} {
		if err := os.Symlink(path, filepath.Join(bin, name)); err != nil {
			l.Fatal(err)
		}
	}
	for command := range strings.Lines(commands) {
		if command = strings.TrimSpace(command); command == "" {
			continue
		}
		cmd := exec.CommandContext(l.ctx, "bash", "-c", "set -o pipefail; "+command)
		cmd.Env = slices.Concat(built.ByHand(l.ctx, l.Kubeconfig()).Env, l.helmEnv, []string{"PATH=" + bin + ":" + os.Getenv("PATH")})
		out, err := cmd.CombinedOutput()
		l.Logf("$ %s\n%s", command, out)
		if err != nil {
			l.Fatalf("%s: %v", command, err)
		}
	}
}
