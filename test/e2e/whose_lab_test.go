package e2e

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
	"sigs.k8s.io/yaml"

	"github.com/arc-cleanup/arc-cleanup/test/cluster"
	"github.com/arc-cleanup/arc-cleanup/test/harness"
)

// noImage are values of a controller that is installed and never runs.
var noImage = []string{"--set", "image.repository=registry.invalid/none"}

// made creates an object from YAML, and returns it as the API server has it.
func (l *lab) made(text string) *unstructured.Unstructured {
	l.Helper()
	o := &unstructured.Unstructured{}
	if err := yaml.Unmarshal([]byte(text), o); err != nil {
		l.Fatalf("%v in\n%s", err, text)
	}
	var made *unstructured.Unstructured
	l.eventually(fmt.Sprintf("%s %s is created", o.GetKind(), o.GetName()), func() (done bool) {
		var err error
		if made, err = l.resourceOf(o).Create(l.ctx, o, metav1.CreateOptions{}); err != nil && !apierrors.IsNotFound(err) { // a CRD was created just now
			l.Fatalf("creating %s %s: %v", o.GetKind(), o.GetName(), err)
		}
		return err == nil
	})
	return made
}

// deletes has an object deleted, which may be held.
func (l *lab) deletes(o *unstructured.Unstructured) {
	l.Helper()
	if err := l.resourceOf(o).Delete(l.ctx, o.GetName(), metav1.DeleteOptions{}); err != nil {
		l.Fatalf("deleting %s %s: %v", o.GetKind(), o.GetName(), err)
	}
}

// arcCRDs creates those of ARC's chart as change has them.
func (l *lab) arcCRDs(change func(crd *unstructured.Unstructured)) {
	l.Helper()
	found, err := built.CRDs(harness.ControllerChart)
	if err != nil || len(found) != 4 {
		l.Fatalf("%d CRDs, %v", len(found), err)
	}
	for _, crd := range found {
		change(crd)
		if _, err := l.dynamic.Resource(crds).Create(l.ctx, crd, metav1.CreateOptions{}); err != nil {
			l.Fatal(err)
		}
	}
}

// arcCRDNames are the CRDs of ARC that there are, and not being deleted.
func (l *lab) arcCRDNames() (names []string) {
	l.Helper()
	all, err := l.metadata.Resource(crds).List(l.ctx, metav1.ListOptions{})
	if err != nil {
		l.Fatal(err)
	}
	for _, crd := range all.Items {
		if strings.HasSuffix(crd.Name, ".actions.github.com") && crd.DeletionTimestamp == nil {
			names = append(names, crd.Name)
		}
	}
	return names
}

// controllerEnds waits until no controller runs any more; its listeners may.
func (l *lab) controllerEnds() {
	l.Helper()
	l.eventually("the controller's Pods are gone", func() bool {
		pods, err := l.client.CoreV1().Pods(controllerNamespace).List(l.ctx, metav1.ListOptions{LabelSelector: "app.kubernetes.io/part-of=gha-rs-controller,app.kubernetes.io/component=controller-manager"})
		return err == nil && len(pods.Items) == 0
	})
}

// holds adds a finalizer of another tool to an object, or removes it.
func (l *lab) holds(o harness.Object, on bool) {
	l.Helper()
	r := l.metadata.Resource(l.resource(o.Resource)).Namespace(o.Namespace)
	m, err := r.Get(l.ctx, o.Name, metav1.GetOptions{})
	if err != nil {
		l.Fatal(err)
	}
	finalizers := slices.DeleteFunc(m.Finalizers, func(f string) bool { return f == foreignFinalizer })
	if on {
		finalizers = append(finalizers, foreignFinalizer)
	}
	patch := fmt.Sprintf(`{"metadata":{"uid":%q,"finalizers":%s}}`, m.UID, marshal(l.T, finalizers))
	if _, err := r.Patch(l.ctx, o.Name, types.MergePatchType, []byte(patch), metav1.PatchOptions{}); err != nil {
		l.Fatal(err)
	}
}

// aRunner is an EphemeralRunner, further metadata is JSON.
func aRunner(name, further string) string {
	return fmt.Sprintf(`
apiVersion: actions.github.com/v1alpha1
kind: EphemeralRunner
metadata: {name: %s, namespace: %s, finalizers: [ephemeralrunner.actions.github.com/finalizer]%s}
spec: {githubConfigUrl: "https://github.com/acme", githubConfigSecret: s, runnerScaleSetId: 1, spec: {containers: [{name: runner, image: ghcr.io/actions/actions-runner}]}}
`, name, runnerNamespace, further)
}

// aScaleSet is an AutoscalingRunnerSet as its controller has it.
func aScaleSet(name, further string) string {
	return fmt.Sprintf(`
apiVersion: actions.github.com/v1alpha1
kind: AutoscalingRunnerSet
metadata: {name: %s, namespace: %s, finalizers: [autoscalingrunnerset.actions.github.com/finalizer]%s}
spec: {githubConfigUrl: "https://github.com/acme", githubConfigSecret: s, template: {spec: {containers: [{name: runner, image: ghcr.io/actions/actions-runner}]}}}
`, name, runnerNamespace, further)
}

// lookalike makes a Deployment that nothing but its ServiceAccount's rights tells from
// ARC's controller.
func (l *lab) lookalike() (remove func()) {
	l.Helper()
	account := l.made("{apiVersion: v1, kind: ServiceAccount, metadata: {name: lookalike, namespace: " + runnerNamespace + "}}")
	deployment := l.made(`
apiVersion: apps/v1
kind: Deployment
metadata:
  name: lookalike
  namespace: ` + runnerNamespace + `
  labels: {app.kubernetes.io/part-of: gha-rs-controller, actions.github.com/controller-service-account-name: lookalike, actions.github.com/controller-service-account-namespace: ` + runnerNamespace + `}
spec:
  replicas: 0
  selector: {matchLabels: {app: lookalike}}
  template:
    metadata: {labels: {app: lookalike}}
    spec:
      serviceAccountName: lookalike
      containers: [{name: manager, image: ghcr.io/actions/gha-runner-scale-set-controller, args: [--auto-scaling-runner-set-only]}]
`)
	return func() { l.deletes(deployment); l.deletes(account) }
}

// empower gives it a controller's rights, as the chart does.
func (l *lab) empower() (remove func()) {
	l.Helper()
	role := l.made(`
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata: {name: lookalike}
rules: [{apiGroups: [actions.github.com], resources: ["*"], verbs: [get, list, watch, update, patch, delete]}]
`)
	binding := l.made(`
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata: {name: lookalike}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: lookalike}
subjects: [{kind: ServiceAccount, name: lookalike, namespace: ` + runnerNamespace + `}]
`)
	may := func() bool {
		answer := l.made(`
apiVersion: authorization.k8s.io/v1
kind: SubjectAccessReview
spec: {user: "system:serviceaccount:` + runnerNamespace + `:lookalike", resourceAttributes: {verb: list, group: actions.github.com, resource: autoscalingrunnersets}}
`)
		allowed, _, err := unstructured.NestedBool(answer.Object, "status", "allowed")
		if err != nil {
			l.Fatal(err)
		}
		return allowed
	}
	l.eventually("the account has the rights", may)
	return func() {
		l.deletes(binding)
		l.deletes(role)
		l.eventually("the account has no rights", func() bool { return !may() })
	}
}

// printed is a command in a line of advice: the whole line, or what follows a colon.
var printed = regexp.MustCompile(`^    (?:.*: )?((?:arc-cleanup|echo|helm|kubectl) .*)$`)

// quoted is how Helm 4 logs what a hook has said.
var quoted = regexp.MustCompile(`msg=("(?:[^"\\]|\\.)*")`)

// asTold runs with sh, one after the other, the commands of the refusals in what was
// printed.
func (l *lab) asTold(major int, out string) {
	l.Helper()
	var commands []string
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
	text := quoted.ReplaceAllStringFunc(out, func(s string) string {
		said, err := strconv.Unquote(strings.TrimPrefix(s, "msg="))
		if err != nil {
			l.Fatalf("%v: %s", err, s)
		}
		return "\n" + said + "\n"
	})
	for line := range strings.Lines(text) {
		match := printed.FindStringSubmatch(strings.TrimRight(line, "\n"))
		if match == nil || slices.Contains(commands, match[1]) {
			continue
		}
		commands = append(commands, match[1])
		if !strings.Contains(out, match[1]) {
			l.Errorf("on a terminal it does not stand as it is: %s", match[1])
		}
		sh := exec.CommandContext(l.ctx, "timeout", "60", "sh", "-c", match[1])
		sh.Env = slices.Concat(l.helmCommand(major).Env, []string{
			"PATH=" + bin + ":" + os.Getenv("PATH"),
			"ARC_CLEANUP_YES=true", // there is no terminal to ask on
		})
		said, err := sh.CombinedOutput()
		l.Logf("$ %s\n%s", match[1], said)
		if err != nil {
			l.Fatalf("%s: %v\n%s", match[1], err, said)
		}
	}
	if len(commands) == 0 {
		l.Fatalf("no command in\n%s", out)
	}
}

// console runs arc-cleanup as on a terminal, where a refusal is text.
func (l *lab) console(args ...string) (string, int) {
	l.Helper()
	return l.hookjob(append(args, "--log-format", "console")...)
}

// gateway is an address of the API server at which see is shown each request before
// it is passed on. It returns the path of its kubeconfig.
func (l *lab) gateway(see func(*http.Request)) string {
	l.Helper()
	return l.front(func(w http.ResponseWriter, r *http.Request, behind http.Handler) {
		see(r)
		behind.ServeHTTP(w, r)
	})
}

// front is an address at which answer stands before the API server. It returns the
// path of its kubeconfig.
func (l *lab) front(answer func(w http.ResponseWriter, r *http.Request, behind http.Handler)) string {
	l.Helper()
	config := l.Config()
	to, err := url.Parse(config.Host)
	if err != nil {
		l.Fatal(err)
	}
	transport, err := rest.TransportFor(config)
	if err != nil {
		l.Fatal(err)
	}
	proxy := &httputil.ReverseProxy{
		Rewrite:       func(r *httputil.ProxyRequest) { r.SetURL(to) },
		Transport:     transport,
		FlushInterval: -1, // of watches
	}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		answer(w, r, proxy)
	}))
	l.Cleanup(server.Close)
	return l.kubeconfigOf(server.URL)
}

// kubeconfigOf is one for an address, without credentials.
func (l *lab) kubeconfigOf(address string) string {
	l.Helper()
	const only = "gateway"
	file := clientcmdapi.NewConfig()
	file.Clusters[only] = &clientcmdapi.Cluster{Server: address}
	file.Contexts[only] = &clientcmdapi.Context{Cluster: only}
	file.CurrentContext = only
	path := filepath.Join(l.TempDir(), "kubeconfig")
	if err := clientcmd.WriteToFile(*file, path); err != nil {
		l.Fatal(err)
	}
	return path
}
