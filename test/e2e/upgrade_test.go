package e2e

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"context"
	"encoding/base64"
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

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-containerregistry/pkg/registry"
	admissionv1 "k8s.io/api/admissionregistration/v1"
	authorizationv1 "k8s.io/api/authorization/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	"github.com/arc-cleanup/arc-cleanup/test/cluster"
	"github.com/arc-cleanup/arc-cleanup/test/cluster/github"
	"github.com/arc-cleanup/arc-cleanup/test/harness"
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

// nextCharts copies ARC's charts, with CRDs as they are, and changes their version and the CRDs.
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
	for name, chart := range map[string]string{harness.ControllerChart: whole, harness.ScaleSetChart: built.ARCChart(harness.ScaleSetChart)} {
		if err := os.CopyFS(filepath.Join(dir, name), os.DirFS(chart)); err != nil {
			t.Fatal(err)
		}
	}
	edit("*/Chart.yaml", "\nversion: 0.6.1\n", "\nversion: "+nextVersion+"\n")
	edit(harness.ControllerChart+"/crds/*.yaml", "\n  annotations:\n", "\n  annotations:\n    "+next+": changed\n")
	return filepath.Join(dir, harness.ControllerChart), filepath.Join(dir, harness.ScaleSetChart)
}

// upgraded runs `arc-cleanup upgrade` by hand, shows each step of its log to see,
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
	l.Logf("arc-cleanup upgrade %s: exit %d (%.1fs)\n%s", strings.Join(args, " "), cmd.ProcessState.ExitCode(), time.Since(start).Seconds(), out.String())
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
	for name, chart := range map[string]string{"arc": harness.ControllerChart, "runners": harness.ScaleSetChart} {
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
	t.Parallel()
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
			if code != 7 || len(l.upgradeSecrets()) > 0 {
				t.Fatalf("the dry run: exit code %d", code)
			}
			for _, want := range []string{"save ", "clean ", "uninstall ", "mark-uninstalled ", "install ", "ready ", "enrol ", "forget ", "drain", "crds"} {
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
				// Its controller may be gone by now.
				args = append(slices.Clone(charts), "--namespace", controllerNamespace)
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
	t.Parallel()
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
			if code != 1 || len(l.upgradeSecrets()) != 2 {
				t.Fatalf("it was to fail: exit code %d, %d Secrets", code, len(l.upgradeSecrets()))
			}
			if major == 3 {
				// Nobody's word is believed but the state's where the controller's release was.
				if out, code := l.upgraded(major, nil, append(slices.Clone(charts[1:]), "--dry-run", "--namespace", runnerNamespace)...); code != 1 || !strings.Contains(out, "the controller's release was in another namespace") {
					t.Errorf("with the state of somewhere else: exit code %d, want 1", code)
				}
			}
			_, byHand, found := strings.Cut(out, "run what is left by hand:\n\n")
			if !found {
				t.Fatal("no commands")
			}
			l.allowScaleSets()
			l.shell(major, byHand)
			l.isNext(major, before)

			l.mustHelm(major, "uninstall", "runners", "--namespace", runnerNamespace)
			l.mustHelm(major, "uninstall", "arc", "--namespace", controllerNamespace)
			if _, code := l.hookjob("run", "--all-namespaces", "--yes"); code != 0 {
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
	return []string{"--version", nextVersion, "--chart", charts + "/" + harness.ControllerChart, "--scale-set-chart", charts + "/" + harness.ScaleSetChart}
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
		"--yes needs --version or --chart": nil,

		"which deletes scale sets of another version":                         {"--chart", controller, "--scale-set-chart", other},
		`was installed from the chart "gha-runner-scale-set-controller", and`: {"--chart", scaleSet, "--scale-set-chart", scaleSet},
		"reading the chart": {"--chart", filepath.Join(l.TempDir(), "none"), "--scale-set-chart", scaleSet},
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
	if out, code := l.upgraded(3, nil, append(charts, "--budget", "15s")...); code != 3 || !strings.Contains(out, "acme/rocket") || len(l.upgradeSecrets()) != 2 {
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
	for name, path := range map[string]string{"kubectl": kubectl, "arc-cleanup": built.Hookjob, "helm": built.Helm(l.ctx, major, "").Path} {
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

const tenant = "tenant"

// tenantOf returns a client of a user who may create Secrets and ConfigMaps in one namespace, and has no other
// right.
func (l *lab) tenantOf() kubernetes.Interface {
	l.Helper()
	if err := l.createNamespace(tenant); err != nil {
		l.Fatal(err)
	}
	l.Cleanup(func() {
		if err := l.client.CoreV1().Namespaces().Delete(context.WithoutCancel(l.ctx), tenant, metav1.DeleteOptions{}); err != nil {
			l.Error(err)
		}
	})
	for _, role := range []rbacv1.Role{{
		ObjectMeta: metav1.ObjectMeta{Name: "dev"},
		Rules:      []rbacv1.PolicyRule{{Verbs: []string{"create"}, APIGroups: []string{""}, Resources: []string{"secrets", "configmaps"}}},
	}} {
		if _, err := l.client.RbacV1().Roles(tenant).Create(l.ctx, &role, metav1.CreateOptions{}); err != nil {
			l.Fatal(err)
		}
	}
	_, err := l.client.RbacV1().RoleBindings(tenant).Create(l.ctx, &rbacv1.RoleBinding{
		ObjectMeta: metav1.ObjectMeta{Name: "dev"},
		RoleRef:    rbacv1.RoleRef{APIGroup: "rbac.authorization.k8s.io", Kind: "Role", Name: "dev"},
		Subjects:   []rbacv1.Subject{{Kind: "ServiceAccount", Namespace: tenant, Name: "dev"}},
	}, metav1.CreateOptions{})
	if err != nil {
		l.Fatal(err)
	}
	config := rest.CopyConfig(l.Config())
	config.Impersonate = rest.ImpersonationConfig{UserName: "system:serviceaccount:" + tenant + ":dev", Groups: []string{"system:serviceaccounts", "system:serviceaccounts:" + tenant, "system:authenticated"}}
	client := kubernetes.NewForConfigOrDie(config)
	l.eventually("the tenant may create Secrets", func() bool {
		_, err := client.CoreV1().Secrets(tenant).Create(l.ctx, &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: "x"}}, metav1.CreateOptions{DryRun: []string{metav1.DryRunAll}})
		return err == nil
	})
	return client
}

// isAdministrator reports whether the tenant may do everything.
func (l *lab) isAdministrator() bool {
	l.Helper()
	review, err := l.client.AuthorizationV1().SubjectAccessReviews().Create(l.ctx, &authorizationv1.SubjectAccessReview{Spec: authorizationv1.SubjectAccessReviewSpec{
		User:               "system:serviceaccount:" + tenant + ":dev",
		ResourceAttributes: &authorizationv1.ResourceAttributes{Verb: "*", Group: "*", Resource: "*"},
	}}, metav1.CreateOptions{})
	if err != nil {
		l.Fatal(err)
	}
	return review.Status.Allowed
}

// evilChart is a chart of ARC's name that makes the tenant an administrator.
func (l *lab) evilChart(name string) string {
	l.Helper()
	dir := filepath.Join(l.TempDir(), "evil-"+name)
	if err := os.MkdirAll(filepath.Join(dir, "templates"), 0o700); err != nil {
		l.Fatal(err)
	}
	for file, text := range map[string]string{
		"Chart.yaml": "apiVersion: v2\nname: " + name + "\nversion: " + nextVersion + "\nappVersion: 0.6.1\n",
		"templates/evil.yaml": "apiVersion: rbac.authorization.k8s.io/v1\nkind: ClusterRoleBinding\nmetadata: {name: evil}\n" +
			"roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: cluster-admin}\n" +
			"subjects: [{kind: ServiceAccount, namespace: " + tenant + ", name: dev}]\n",
	} {
		if err := os.WriteFile(filepath.Join(dir, file), []byte(text), 0o600); err != nil {
			l.Fatal(err)
		}
	}
	return dir
}

// upgradeState is a state as an upgrade saves it.
func upgradeState(namespace, name string, controller, scaleSet chartRef, written time.Time, releases ...map[string]any) *corev1.Secret {
	list := []map[string]any{{"namespace": namespace, "name": "arc", "controller": true, "chart": map[string]any{"Name": harness.ControllerChart, "Version": "0.6.1"}, "driver": "secret"}}
	text, err := json.Marshal(map[string]any{
		"version": "arc-cleanup/upgrade/v2", "uninstalled": true, "written": written.UTC().Format(time.RFC3339),
		"target":   map[string]any{"controller": controller, "scaleSets": scaleSet},
		"releases": append(list, releases...),
	})
	if err != nil {
		panic(err)
	}
	return &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name, Labels: map[string]string{"app.kubernetes.io/name": "arc-cleanup", "app.kubernetes.io/component": "upgrade"}},
		Data: map[string][]byte{
			"upgrade.json": text, "values.arc.gz": gzipped("{}"), "values.gone.gz": gzipped("{}"),
			// as it was before
			"values." + namespace + ".arc.gz": gzipped("{}"),
		},
	}
}

// chartRef is a chart as a state has it.
type chartRef struct {
	Ref      string            `json:"ref"`
	Metadata map[string]string `json:"metadata"`
}

func refOf(path, name string) chartRef {
	return chartRef{path, map[string]string{"Name": name, "Version": nextVersion, "AppVersion": "0.6.1"}}
}

func gzipped(text string) []byte {
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	_, _ = z.Write([]byte(text))
	_ = z.Close()
	return b.Bytes()
}

// forgedRecord is what Helm keeps of a release, as anybody may write it.
func forgedRecord(namespace, name, manifest string) map[string]string {
	text, err := json.Marshal(map[string]any{
		"name": name, "namespace": namespace, "version": 1, "info": map[string]any{"status": "deployed"}, "manifest": manifest,
		"chart":  map[string]any{"metadata": map[string]any{"name": harness.ScaleSetChart, "version": "0.6.1", "apiVersion": "v2"}},
		"config": map[string]any{"template": map[string]any{"spec": map[string]any{"hostPID": true}}},
	})
	if err != nil {
		panic(err)
	}
	return map[string]string{"release": base64.StdEncoding.EncodeToString(gzipped(string(text)))}
}

// TestUpgradeBelievesNoTenant: whoever may create Secrets and ConfigMaps in one
// namespace chooses neither what an administrator's upgrade installs, nor whether it
// runs.
func TestUpgradeBelievesNoTenant(t *testing.T) {
	l := newLab(t)
	controller, scaleSet := nextCharts(t)
	charts := []string{"--chart", controller, "--scale-set-chart", scaleSet}
	l.install(4)
	l.installScaleSet(4)
	before := l.arcReleases(4)

	dev := l.tenantOf()
	evil := l.evilChart(harness.ControllerChart)
	bait := "apiVersion: actions.github.com/v1alpha1\nkind: AutoscalingRunnerSet\nmetadata: {name: bait}\n"
	deployment := "---\napiVersion: apps/v1\nkind: Deployment\nmetadata: {name: arc, labels: {actions.github.com/controller-service-account-name: arc}}\n"
	ofHelm := func(name string) metav1.ObjectMeta {
		return metav1.ObjectMeta{Name: "sh.helm.release.v1." + name + ".v1", Labels: map[string]string{"owner": "helm", "name": name, "version": "1", "status": "deployed"}}
	}
	for _, o := range []*corev1.Secret{
		upgradeState(tenant, "arc-cleanup-upgrade", refOf(evil, harness.ControllerChart), chartRef{}, time.Now()),
		upgradeState(tenant, "whatever", refOf(evil, harness.ControllerChart), chartRef{}, time.Now()),
	} {
		if _, err := dev.CoreV1().Secrets(tenant).Create(l.ctx, o, metav1.CreateOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	for _, o := range []*corev1.ConfigMap{
		{ObjectMeta: metav1.ObjectMeta{Name: "anything", Labels: map[string]string{"owner": "helm", "name": "x", "version": "1"}}, Data: forgedRecord("kube-system", "x", bait)},
		{ObjectMeta: metav1.ObjectMeta{Name: "blocks", Labels: map[string]string{"owner": "helm"}}},
		{ObjectMeta: ofHelm("x"), Data: forgedRecord("kube-system", "x", bait)},
		{ObjectMeta: ofHelm("bait"), Data: forgedRecord(tenant, "bait", bait)},
		{ObjectMeta: ofHelm("arc"), Data: forgedRecord(tenant, "arc", deployment)},
		{ObjectMeta: ofHelm("broken"), Data: forgedRecord(tenant, "broken", "a: b: actions.github.com/ {\n\t- AutoscalingRunnerSet")},
	} {
		if _, err := dev.CoreV1().ConfigMaps(tenant).Create(l.ctx, o, metav1.CreateOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	theirs := l.versionsIn(tenant)

	said := func(what, out string) {
		t.Helper()
		for _, never := range []string{"evil", "kube-system", "install tenant", "tenant/", "hostPID"} {
			if strings.Contains(out, never) {
				t.Errorf("%s: it says %q", what, never)
			}
		}
	}
	out, code := l.upgraded(4, nil, "--dry-run")
	if code != 2 || !strings.Contains(out, "give the version to upgrade to") {
		t.Errorf("without charts: exit code %d", code)
	}
	said("without charts", out)
	out, code = l.upgraded(4, nil, "--yes")
	if code != 2 || l.isAdministrator() {
		t.Fatalf("without charts, --yes: exit code %d, the tenant is an administrator: %t", code, l.isAdministrator())
	}
	said("without charts, --yes", out)
	out, code = l.upgraded(4, nil, append(charts, "--dry-run")...)
	if code != 7 {
		t.Errorf("the dry run: exit code %d", code)
	}
	said("the dry run", out)
	// The plan shows the charts before they are installed.
	for _, want := range []string{controller, scaleSet, "sha256:", nextVersion} {
		if !strings.Contains(out, want) {
			t.Errorf("the plan does not say %q", want)
		}
	}
	out, code = l.upgraded(4, nil, append(charts, "--yes")...)
	if code != 0 || l.isAdministrator() {
		t.Fatalf("exit code %d, the tenant is an administrator: %t", code, l.isAdministrator())
	}
	said("the upgrade", out)
	// The record of no scale set is taken for what is left of a release, and nothing else.
	if !strings.Contains(out, "release bait in namespace tenant does not come back") {
		t.Error("that a release does not come back is not said")
	}
	delete(theirs, "ConfigMap sh.helm.release.v1.bait.v1")
	if diff := cmp.Diff(theirs, l.versionsIn(tenant)); diff != "" {
		t.Errorf("in the tenant's namespace (-before +after):\n%s", diff)
	}
	// The tenant's own are left as they are.
	if err := l.client.CoreV1().Secrets(tenant).DeleteCollection(l.ctx, metav1.DeleteOptions{}, metav1.ListOptions{}); err != nil {
		t.Fatal(err)
	}
	l.isNext(4, before)
	l.mustHelm(4, "uninstall", "runners", "--namespace", runnerNamespace)
	l.mustHelm(4, "uninstall", "arc", "--namespace", controllerNamespace)
	if _, code := l.hookjob("run", "--all-namespaces", "--yes"); code != 0 {
		t.Errorf("the rest: exit code %d", code)
	}
}

// versionsIn are the resourceVersions of all Secrets and ConfigMaps in a namespace.
func (l *lab) versionsIn(namespace string) map[string]string {
	l.Helper()
	out := map[string]string{}
	secrets, err := l.client.CoreV1().Secrets(namespace).List(l.ctx, metav1.ListOptions{})
	if err != nil {
		l.Fatal(err)
	}
	for _, o := range secrets.Items {
		out["Secret "+o.Name] = o.ResourceVersion
	}
	configMaps, err := l.client.CoreV1().ConfigMaps(namespace).List(l.ctx, metav1.ListOptions{})
	if err != nil {
		l.Fatal(err)
	}
	for _, o := range configMaps.Items {
		out["ConfigMap "+o.Name] = o.ResourceVersion
	}
	return out
}

// TestUpgradeStaleState: an upgrade was left half done, and a release was uninstalled since. The release does not
// come back unless a person says yes, and the printed commands that forget the state work.
func TestUpgradeStaleState(t *testing.T) {
	l := newLab(t)
	controller, scaleSet := nextCharts(t)
	charts := []string{"--chart", controller, "--scale-set-chart", scaleSet}
	l.install(4)
	state := upgradeState(controllerNamespace, "arc-cleanup-upgrade", refOf(controller, harness.ControllerChart), refOf(scaleSet, harness.ScaleSetChart), time.Now().Add(-48*time.Hour),
		map[string]any{"namespace": runnerNamespace, "name": "gone", "chart": map[string]any{"Name": harness.ScaleSetChart, "Version": "0.6.1"}, "driver": "secret"})
	values := state.DeepCopy()
	values.Namespace = runnerNamespace
	for _, s := range []*corev1.Secret{state, values} {
		if _, err := l.client.CoreV1().Secrets(s.Namespace).Create(l.ctx, s, metav1.CreateOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	want := "knows gone in namespace " + runnerNamespace
	out, code := l.upgraded(4, nil, append(charts, "--dry-run")...)
	if code != 7 || !strings.Contains(out, "CONFIRM: only the saved state") || !strings.Contains(out, want) || !strings.Contains(out, "which only the saved state knows") {
		t.Errorf("the dry run: exit code %d", code)
	}
	out, code = l.upgraded(4, nil, append(charts, "--yes")...)
	if code != 3 || !strings.Contains(out, want) || len(l.upgradeSecrets()) != 2 {
		t.Fatalf("exit code %d, want 3", code)
	}
	var commands []string
	for line := range strings.Lines(out) {
		if strings.HasPrefix(line, "    kubectl delete secret") {
			commands = append(commands, line)
		}
	}
	if len(commands) != 2 {
		t.Fatalf("commands: %q", commands)
	}
	l.shell(4, strings.Join(commands, ""))
	if out, code = l.upgraded(4, nil, append(charts, "--yes")...); code != 0 || strings.Contains(out, "gone in") {
		t.Errorf("when it is forgotten: exit code %d", code)
	}
	l.mustHelm(4, "uninstall", "arc", "--namespace", controllerNamespace)
	if _, code := l.hookjob("run", "--all-namespaces", "--yes"); code != 0 {
		t.Errorf("the rest: exit code %d", code)
	}
	l.nothingLeft()
}

// TestUpgradePostRenderer: what a user's own post-renderer has put into a release is
// noticed, and comes back where it is given; ours is none of theirs.
func TestUpgradePostRenderer(t *testing.T) {
	l := newLab(t)
	controller, scaleSet := nextCharts(t)
	charts := []string{"--chart", controller, "--scale-set-chart", scaleSet}
	theirs := filepath.Join(l.TempDir(), "their renderer")
	// Their platform wants this on every object of a scale set.
	script := "#!/bin/sh\nsed \"s|^    app.kubernetes.io/component: .autoscaling-runner-set.|&\\n    $1|\"\n"
	if err := os.WriteFile(theirs, []byte(script), 0o700); err != nil {
		t.Fatal(err)
	}
	renderer := []string{"--post-renderer", theirs, "--post-renderer-args", "team: blue"}
	l.install(3, viaHelm3()...)
	l.installScaleSet(3, renderer...)
	label := func() string {
		set, err := l.dynamic.Resource(autoscalingRunnerSets).Namespace(runnerNamespace).Get(l.ctx, "runners", metav1.GetOptions{})
		if err != nil {
			t.Fatal(err)
		}
		return set.GetLabels()["team"]
	}
	if label() != "blue" {
		t.Fatal("the post-renderer of this test does nothing")
	}
	const noticed = "release runners in namespace arc-runners is not what its chart renders with its values: "
	out, code := l.upgraded(3, nil, append(charts, "--yes")...)
	if code != 3 || !strings.Contains(out, noticed+"a post-renderer may have changed it, and would not be run: AutoscalingRunnerSet arc-runners/runners") || strings.Contains(out, "release arc in") {
		t.Errorf("without it: exit code %d, want 3", code)
	}
	out, code = l.upgraded(3, nil, append(append(charts, renderer[:3]...), "team: red", "--yes")...)
	if code != 3 || !strings.Contains(out, noticed+"another post-renderer than the given one") {
		t.Errorf("with another one: exit code %d, want 3", code)
	}
	if out, code = l.upgraded(3, nil, append(append(charts, renderer...), "--yes")...); code != 0 || strings.Contains(out, noticed) {
		t.Fatalf("with it: exit code %d", code)
	}
	if label() != "blue" {
		t.Error("what their post-renderer did is gone")
	}
	l.mustHelm(3, "uninstall", "runners", "--namespace", runnerNamespace)
	l.mustHelm(3, "uninstall", "arc", "--namespace", controllerNamespace)
	if _, code := l.hookjob("run", "--all-namespaces", "--yes"); code != 0 {
		t.Errorf("the rest: exit code %d", code)
	}
	l.nothingLeft()
}

// TestUpgradeWaysOut: what stands in the way is named with commands, and these help.
func TestUpgradeWaysOut(t *testing.T) {
	l := newLab(t)
	controller, scaleSet := nextCharts(t)
	charts := []string{"--chart", controller, "--scale-set-chart", scaleSet}
	l.install(3)
	l.installScaleSet(3)
	broken := filepath.Join(l.TempDir(), "renderer")
	if err := os.WriteFile(broken, []byte("#!/bin/sh\ncat\nprintf -- '---\\napiVersion: v1\\nkind: ConfigMap\\nmetadata: {name: NO_NAME}\\n'\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	if _, err := l.helm(3, "upgrade", "runners", built.ARCChart(harness.ScaleSetChart), "--namespace", runnerNamespace, "--reuse-values", "--post-renderer", broken); err == nil {
		t.Fatal("the upgrade was to fail")
	}
	theirs := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: "arc-cleanup-upgrade"}, StringData: map[string]string{"password": "x"}}
	if _, err := l.client.CoreV1().Secrets(controllerNamespace).Create(l.ctx, theirs, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	out, code := l.upgraded(3, nil, append(charts, "--yes")...)
	var commands []string
	for line := range strings.Lines(out) {
		if command, is := strings.CutPrefix(line, "    "); is {
			commands = append(commands, strings.TrimSpace(command))
		}
	}
	want := []string{"helm rollback runners --namespace " + runnerNamespace, "kubectl delete secret arc-cleanup-upgrade --namespace " + controllerNamespace}
	if diff := cmp.Diff(want, commands); diff != "" || code != 3 {
		t.Fatalf("exit code %d, want 3; commands (-want +got):\n%s", code, diff)
	}
	l.shell(3, strings.Join(commands, "\n"))
	if _, code := l.upgraded(3, nil, append(charts, "--dry-run")...); code != 7 {
		t.Errorf("after the commands: exit code %d", code)
	}
	l.mustHelm(3, "uninstall", "runners", "--namespace", runnerNamespace)
	l.mustHelm(3, "uninstall", "arc", "--namespace", controllerNamespace)
	if _, code := l.hookjob("run", "--all-namespaces", "--yes"); code != 0 {
		t.Errorf("the rest: exit code %d", code)
	}
	l.nothingLeft()
}

// TestUpgradeByHand: the commands for every step, from the first on, do the whole of it.
func TestUpgradeByHand(t *testing.T) {
	l := newLab(t)
	controller, scaleSet := nextCharts(t)
	l.install(4)
	l.installScaleSet(4)
	for name, namespace := range releaseNamespaces {
		if _, code := l.hookjob("enrol", name, "--namespace", namespace); code != 0 {
			t.Fatalf("enrol: exit code %d", code)
		}
	}
	before := l.arcReleases(4)
	runner := l.giveJob()
	out, code := l.upgraded(4, nil, "--yes", "--grace", "5s", "--budget", "15s", "--chart", controller, "--scale-set-chart", scaleSet)
	_, byHand, found := strings.Cut(out, "run what is left by hand:\n\n")
	if code != 3 || !found || !strings.Contains(byHand, "--scale-sets uninstall") {
		t.Fatalf("it was to wait for a job: exit code %d", code)
	}
	l.GitHub().SetMode(github.OK)
	if err := l.KillPod(runnerNamespace, runner.GetName(), "runner"); err != nil {
		t.Fatal(err)
	}
	l.shell(4, byHand)
	l.isNext(4, before)
	l.mustHelm(4, "uninstall", "runners", "--namespace", runnerNamespace)
	l.mustHelm(4, "uninstall", "arc", "--namespace", controllerNamespace)
	l.nothingLeft()
}
