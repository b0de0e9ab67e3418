// Package e2e runs the real thing: real Helm, ARC's real charts and controller, a real API server. Three
// clusters serve all tests: each runs one test after the other. A test begins with an empty slate, and
// proves that it leaves one.
package e2e

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/metadata"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/client-go/tools/clientcmd/api"

	"github.com/arc-cleanup/arc-cleanup/test/cluster"
	"github.com/arc-cleanup/arc-cleanup/test/cluster/github"
	"github.com/arc-cleanup/arc-cleanup/test/harness"
)

const (
	controllerNamespace = "arc-systems"
	runnerNamespace     = "arc-runners"
)

var (
	built *harness.Product
	// whole is the controller's chart as it is. All other tests use the one that built has, whose CRDs are short.
	whole  string
	images map[string]cluster.Image
	// clusters holds the clusters that no test uses: nil for one that has not been started. The
	// other packages' cluster is beside them: with a third one here, two cores are no faster, and on a slow machine tests
	// of how long something takes fail. Each cluster takes up to 3 GiB of memory.
	clusters = make(chan *cluster.Cluster, 2)
)

func TestMain(m *testing.M) {
	flag.Parse()
	code, err := run(m)
	if err != nil {
		fmt.Fprintln(os.Stderr, "e2e:", err)
		code = 1
	}
	os.Exit(code)
}

func run(m *testing.M) (int, error) {
	if err := flag.Set("test.parallel", strconv.Itoa(cap(clusters))); err != nil {
		return 0, err
	}
	ctx := context.Background()
	dir, err := os.MkdirTemp("", "arc-cleanup-e2e-")
	if err != nil {
		return 0, err
	}
	defer os.RemoveAll(dir) //nolint:errcheck // a temporary folder
	if built, err = harness.Build(ctx, dir, os.Stderr); err != nil {
		return 0, err
	}
	whole = built.ARCChart(harness.ControllerChart)
	if err := built.LeaveOutPods(filepath.Join(dir, "arc-charts")); err != nil {
		return 0, err
	}
	if images, err = built.Images(ctx, os.Stderr); err != nil {
		return 0, err
	}
	if images[gateImage], err = buildGate(ctx, dir); err != nil {
		return 0, err
	}
	for range cap(clusters) {
		clusters <- nil
	}
	code := m.Run()
	for range cap(clusters) {
		if c := <-clusters; c != nil {
			err = errors.Join(err, c.Stop())
		}
	}
	return code, err
}

// takeCluster gives a test a cluster, until the test and all its cleanups are over.
func takeCluster(t *testing.T) (c *cluster.Cluster) {
	t.Helper()
	c = <-clusters
	t.Cleanup(func() { clusters <- c })
	if c == nil {
		var err error
		options := cluster.Options{Images: maps.Clone(images), Progress: os.Stderr}
		if c, err = cluster.Start(context.WithoutCancel(t.Context()), options); err != nil {
			t.Fatal(err)
		}
	}
	return c
}

// lab is one test's view of its cluster.
type lab struct {
	*testing.T
	*cluster.Cluster
	ctx      context.Context
	client   kubernetes.Interface
	dynamic  dynamic.Interface
	metadata metadata.Interface
	before   map[harness.Object]bool
	helmEnv  []string // further environment of Helm
}

// newLab gives the test a cluster with the two namespaces, empty, and afterwards removes by force what a
// failed test left, so that the next one is not misled. A test runs beside others; its subtests, if they
// take labs, one after the other.
func newLab(t *testing.T) *lab {
	t.Helper()
	if !strings.Contains(t.Name(), "/") {
		t.Parallel()
	}
	return newLabOn(t, takeCluster(t))
}

// newLabOn gives a subtest the cluster of its test, in the same way.
func newLabOn(t *testing.T, c *cluster.Cluster) *lab {
	t.Helper()
	config := c.Config()
	l := &lab{
		T: t, Cluster: c, ctx: t.Context(),
		client:   kubernetes.NewForConfigOrDie(config),
		dynamic:  dynamic.NewForConfigOrDie(config),
		metadata: metadata.NewForConfigOrDie(config),
	}
	l.GitHub().Reset()
	for _, ns := range []string{controllerNamespace, runnerNamespace} {
		l.eventually("the namespace "+ns+" is there", func() bool {
			namespace, err := l.client.CoreV1().Namespaces().Get(l.ctx, ns, metav1.GetOptions{})
			if apierrors.IsNotFound(err) {
				namespace, err = nil, l.createNamespace(ns)
			}
			if err != nil {
				l.Fatal(err)
			}
			return namespace != nil && namespace.DeletionTimestamp == nil // a test before may have deleted it
		})
		if err := l.client.CoreV1().Events(ns).DeleteCollection(l.ctx, metav1.DeleteOptions{}, metav1.ListOptions{}); err != nil {
			t.Fatal(err)
		}
		// Of a legacy controller before, which nobody deletes.
		if err := l.client.CoordinationV1().Leases(ns).DeleteCollection(l.ctx, metav1.DeleteOptions{}, metav1.ListOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	l.before = l.everything()
	t.Cleanup(func() {
		l.ctx = context.WithoutCancel(l.ctx)
		if t.Failed() {
			l.Logf("Pods, and what controllers said:\n%s", l.pods())
		}
		if err := harness.Clear(l.ctx, l.Config(), l.before); err != nil {
			t.Error(err)
		}
	})
	return l
}

// pods are how ARC's Pods are, and the end of what its controllers said.
func (l *lab) pods() string {
	var out strings.Builder
	for _, namespace := range []string{controllerNamespace, runnerNamespace} {
		pods, err := l.client.CoreV1().Pods(namespace).List(l.ctx, metav1.ListOptions{})
		if err != nil {
			return err.Error()
		}
		for _, p := range pods.Items {
			fmt.Fprintf(&out, "%s/%s: %s %v %+v\n", namespace, p.Name, p.Status.Phase, p.Annotations, p.Status.ContainerStatuses)
			if namespace == controllerNamespace {
				log, err := l.client.CoreV1().Pods(namespace).GetLogs(p.Name, &corev1.PodLogOptions{TailLines: new(int64(40))}).DoRaw(l.ctx)
				fmt.Fprintf(&out, "%s (error: %v)\n", log, err)
			}
		}
	}
	return out.String()
}

// helm runs Helm of a major version.
func (l *lab) helm(major int, args ...string) (string, error) {
	l.Helper()
	return harness.Run(l, fmt.Sprintf("helm%d", major), l.helmCommand(major, args...))
}

// helmCommand is Helm as helm runs it, for those who run it otherwise.
func (l *lab) helmCommand(major int, args ...string) *exec.Cmd {
	cmd := built.Helm(l.ctx, major, l.Kubeconfig(), args...)
	cmd.Env = append(cmd.Env, l.helmEnv...)
	return cmd
}

func (l *lab) mustHelm(major int, args ...string) string {
	l.Helper()
	out, err := l.helm(major, args...)
	if err != nil {
		l.Fatalf("helm %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return out
}

// hookjob runs arc-cleanup by hand and returns its output and exit code.
func (l *lab) hookjob(args ...string) (string, int) {
	l.Helper()
	return built.RunByHand(l.ctx, l, l.Kubeconfig(), args...)
}

// viaPostRenderer are the arguments which put the hook into a release.
var viaPostRenderer = []string{"--post-renderer", "arc-postrender"}

// installController installs ARC's controller with Helm 4 and waits until it runs.
func (l *lab) installController(args ...string) {
	l.Helper()
	l.installControllerFrom(built.ARCChart(harness.ControllerChart), args...)
}

func (l *lab) installControllerFrom(chart string, args ...string) {
	l.Helper()
	l.mustHelm(4, slices.Concat([]string{
		"install", "arc", chart,
		"--namespace", controllerNamespace, "--create-namespace",
	}, args)...)
	l.eventually("the controller runs", func() bool {
		d, err := l.client.AppsV1().Deployments(controllerNamespace).List(l.ctx, metav1.ListOptions{})
		return err == nil && len(d.Items) == 1 && d.Items[0].Status.ReadyReplicas == 1
	})
}

// installScaleSet installs a scale set and waits until it has a runner.
func (l *lab) installScaleSet(major int, args ...string) {
	l.Helper()
	if major == 4 {
		// Chart 0.6.1 renders empty lists as null, which a server-side apply, the
		// default of Helm 4, refuses with or without a post-renderer.
		args = append([]string{"--server-side=false"}, args...)
	}
	l.mustHelm(major, slices.Concat([]string{
		"install", "runners", built.ARCChart(harness.ScaleSetChart),
		"--namespace", runnerNamespace, "--create-namespace",
	}, l.scaleSetValues(""), args)...)
	l.awaitRunner(runnerNamespace)
}

// disaster is the cluster people have today: the controller went first, and its
// scale set hangs.
func (l *lab) disaster() {
	l.Helper()
	l.installController()
	l.installScaleSet(4)
	l.uninstallControllerFirst()
}

// uninstallControllerFirst is how clusters get stuck. It waits between the two: helm uninstall ends before the controller does,
// which could begin with its scale set meanwhile.
func (l *lab) uninstallControllerFirst() {
	l.Helper()
	l.mustHelm(4, "uninstall", "arc", "--namespace", controllerNamespace)
	l.eventually("the controller has ended", func() bool {
		pods, err := l.client.CoreV1().Pods(controllerNamespace).List(l.ctx, metav1.ListOptions{LabelSelector: "app.kubernetes.io/component=controller-manager"})
		return err == nil && len(pods.Items) == 0
	})
	l.mustHelm(4, "uninstall", "runners", "--namespace", runnerNamespace)
}

// controllerGone waits until no Pod is left beside the controller or of it.
func (l *lab) controllerGone() {
	l.Helper()
	l.eventually("the controller's Pods are gone", func() bool {
		pods, err := l.client.CoreV1().Pods(controllerNamespace).List(l.ctx, metav1.ListOptions{})
		return err == nil && len(pods.Items) == 0
	})
}

// scaleSetValues are the values of ARC's scale-set chart; prefix is its name
// and a dot where it is a dependency.
func (l *lab) scaleSetValues(prefix string) []string {
	return harness.ScaleSetValues(prefix, l.GitHub().ConfigURL(), controllerNamespace)
}

func (l *lab) awaitRunner(namespace string) {
	l.Helper()
	l.awaitRunnerAt(l.GitHub(), namespace)
}

func (l *lab) awaitRunnerAt(gitHub *github.StandIn, namespace string) {
	l.Helper()
	l.eventually("a runner that is registered and the listener run", func() bool {
		registered, err := harness.Registered(l.ctx, l.dynamic, gitHub.Runners(), namespace)
		return err == nil && registered && harness.RunnerLives(l.ctx, l.client, namespace)
	})
}

func (l *lab) eventually(what string, done func() bool) {
	l.Helper()
	harness.Eventually(l, 2*time.Minute, what, done, func() string { return lines(l.added()) })
}

// everything lists every object of every kind in the cluster.
func (l *lab) everything() map[harness.Object]bool {
	l.Helper()
	found, err := harness.Inventory(l.ctx, l.Config())
	if err != nil {
		l.Fatal(err)
	}
	return found
}

// added lists what is there now and was not when the test began.
func (l *lab) added() []harness.Object {
	l.Helper()
	return harness.Added(l.before, l.everything())
}

func lines(objects []harness.Object) string { return harness.Lines(objects) }

// nothingLeft fails unless the cluster is as it was, but for expected objects and
// namespaces. What has no object in it cannot hang: that the two go is tried once, in
// TestMainJob, since a namespace takes Kubernetes up to ten seconds.
func (l *lab) nothingLeft(expected ...harness.Object) {
	l.Helper()
	l.removeBackups()
	var left []harness.Object
	for range 50 { // Pods of Deployments that Helm deleted need a moment.
		left = slices.DeleteFunc(l.added(), func(o harness.Object) bool {
			return o.Resource == "namespaces" || slices.Contains(expected, o)
		})
		if len(left) == 0 {
			break
		}
		time.Sleep(100 * time.Millisecond)
	}
	if len(left) > 0 {
		l.Fatalf("left:\n%s", lines(left))
	}
	for _, e := range expected {
		if !l.everything()[e] {
			l.Errorf("%s is gone, and should not be", e)
		}
	}
}

// removeBackups deletes the Secrets that hold AutoscalingRunnerSets, which are
// left on purpose, and returns how many there were.
func (l *lab) removeBackups() int {
	l.Helper()
	backups, err := l.client.CoreV1().Secrets("").List(l.ctx, metav1.ListOptions{LabelSelector: "app.kubernetes.io/name=arc-cleanup,app.kubernetes.io/component=backup"})
	if err != nil {
		l.Fatal(err)
	}
	for _, b := range backups.Items {
		if err := l.client.CoreV1().Secrets(b.Namespace).Delete(l.ctx, b.Name, metav1.DeleteOptions{}); err != nil && !apierrors.IsNotFound(err) {
			l.Fatal(err)
		}
	}
	return len(backups.Items)
}

// deleteNamespaces deletes both namespaces, which has to work at once.
func (l *lab) deleteNamespaces() {
	l.Helper()
	for _, ns := range []string{controllerNamespace, runnerNamespace} {
		if err := l.client.CoreV1().Namespaces().Delete(l.ctx, ns, metav1.DeleteOptions{}); err != nil && !apierrors.IsNotFound(err) {
			l.Fatal(err)
		}
	}
	const patience = 15 * time.Second
	deadline := time.Now().Add(patience)
	for _, ns := range []string{controllerNamespace, runnerNamespace} {
		for !l.namespaceGone(ns) {
			if time.Now().After(deadline) {
				l.Fatalf("namespace %s is still there after %s:\n%s", ns, patience, lines(l.added()))
			}
			time.Sleep(100 * time.Millisecond)
		}
	}
}

// createNamespace creates a namespace, unless it is there.
func (l *lab) createNamespace(name string) error {
	_, err := l.client.CoreV1().Namespaces().Create(l.ctx, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name}}, metav1.CreateOptions{})
	if apierrors.IsAlreadyExists(err) {
		return nil
	}
	return err
}

func (l *lab) namespaceGone(name string) bool {
	l.Helper()
	_, err := l.client.CoreV1().Namespaces().Get(l.ctx, name, metav1.GetOptions{})
	if err != nil && !apierrors.IsNotFound(err) {
		l.Fatal(err)
	}
	return err != nil
}

// resourceOf is where an object is served. Its plural is guessed: a CRD that was
// created just now is not discovered yet.
func (l *lab) resourceOf(o *unstructured.Unstructured) dynamic.ResourceInterface {
	l.Helper()
	plural, _ := meta.UnsafeGuessKindToResource(o.GroupVersionKind())
	return l.dynamic.Resource(plural).Namespace(o.GetNamespace())
}

func (l *lab) create(o *unstructured.Unstructured) {
	l.Helper()
	l.eventually(fmt.Sprintf("%s %s is created", o.GetKind(), o.GetName()), func() bool {
		_, err := l.resourceOf(o).Create(l.ctx, o, metav1.CreateOptions{})
		if err != nil && !apierrors.IsNotFound(err) { // a CRD was created just now
			l.Fatalf("creating %s %s: %v", o.GetKind(), o.GetName(), err)
		}
		return err == nil
	})
}

// resource finds the group and version of a kind.
func (l *lab) resource(kind string) schema.GroupVersionResource {
	l.Helper()
	kinds, err := harness.Kinds(l.Config())
	if err != nil {
		l.Fatalf("discovering the API: %v", err)
	}
	for _, k := range kinds {
		if k.Resource == kind {
			return k.GroupVersionResource
		}
	}
	return schema.GroupVersionResource{Resource: kind, Version: "v1"}
}

// account writes a kubeconfig with a token of the ServiceAccount.
func (l *lab) account(namespace, name string) string {
	l.Helper()
	token, err := l.client.CoreV1().ServiceAccounts(namespace).CreateToken(l.ctx, name, &authenticationv1.TokenRequest{}, metav1.CreateOptions{})
	if err != nil {
		l.Fatal(err)
	}
	config, err := clientcmd.LoadFromFile(l.Kubeconfig())
	if err != nil {
		l.Fatal(err)
	}
	for user := range config.AuthInfos {
		config.AuthInfos[user] = &api.AuthInfo{Token: token.Status.Token}
	}
	path := filepath.Join(l.TempDir(), name)
	if err := clientcmd.WriteToFile(*config, path); err != nil {
		l.Fatal(err)
	}
	return path
}
