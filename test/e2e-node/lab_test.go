//go:build e2enode

package e2enode

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
	"strings"
	"sync"
	"testing"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/metadata"

	"github.com/arc-cleanup/arc-cleanup/test/cluster"
	"github.com/arc-cleanup/arc-cleanup/test/cluster/containers"
	"github.com/arc-cleanup/arc-cleanup/test/harness"
)

const (
	controllerNamespace = "arc-systems"
	runnerNamespace     = "arc-runners"
	hookLabel           = "app.kubernetes.io/name=arc-cleanup"
	// An image that ends at once.
	nothing = "registry.example/nothing"
)

var (
	built    *harness.Product
	shared   *cluster.Cluster
	sandbox  *containers.Sandbox
	registry *containers.Registry
	// What is under test, and its name.
	image string
	index v1.ImageIndex
)

func TestMain(m *testing.M) {
	flag.Parse()
	code, err := run(m)
	if err != nil {
		fmt.Fprintln(os.Stderr, "e2e-node:", err)
		code = 1
	}
	os.Exit(code)
}

func run(m *testing.M) (code int, err error) {
	ctx := context.Background()
	if sandbox, err = containers.Inside(ctx); err != nil {
		return 0, err
	}
	if sandbox == nil {
		return outside(ctx)
	}
	if err := start(ctx); err != nil {
		return 0, err
	}
	code = m.Run()
	return code, shared.Stop()
}

// outside builds whatever needs the network, which there is none of inside.
func outside(ctx context.Context) (int, error) {
	if err := containers.Missing(); err != nil {
		if os.Getenv("E2E_NODE") == "where-possible" {
			fmt.Printf("e2e-node: SKIPPED: %s\n", strings.ReplaceAll(err.Error(), "\n", "; "))
			return 0, nil
		}
		return 0, fmt.Errorf("this machine cannot be a node:\n%w", err)
	}
	dir, err := os.MkdirTemp("", "arc-cleanup-e2e-")
	if err != nil {
		return 0, err
	}
	// Only what Go keeps in its own caches is of use inside.
	_, err = harness.Build(ctx, dir, os.Stderr)
	if err := errors.Join(err, os.RemoveAll(dir)); err != nil {
		return 0, err
	}
	for _, name := range slices.Concat(cluster.ControlPlane, cluster.ContainerNode, []string{"arc-controller", "arc-listener"}) {
		if _, err := cluster.Binary(ctx, name, os.Stderr); err != nil {
			return 0, err
		}
	}
	return containers.Run(ctx)
}

func start(ctx context.Context) error {
	started := time.Now()
	var err error
	if built, err = harness.Build(ctx, filepath.Join(sandbox.Dir, "product"), os.Stderr); err != nil {
		return err
	}
	if registry, err = containers.StartRegistry(); err != nil {
		return err
	}
	if err := push(ctx); err != nil {
		return err
	}
	shared, err = cluster.Start(ctx, cluster.Options{Dir: filepath.Join(sandbox.Dir, "cluster"), Sandbox: sandbox, Progress: os.Stderr})
	if err != nil {
		return err
	}
	fmt.Printf("a node is ready after %.1fs\n", time.Since(started).Seconds())
	return nil
}

// push fills the registry with ours, as it was built, and with what ARC needs.
func push(ctx context.Context) error {
	var err error
	if image, index, err = registry.PushLayout(filepath.Join(built.Root, "dist", "arc-hookjob.oci.tar")); err != nil {
		return fmt.Errorf("the image (make image-oci): %w", err)
	}
	controller, err := cluster.Binary(ctx, "arc-controller", os.Stderr)
	if err != nil {
		return err
	}
	listener, err := cluster.Binary(ctx, "arc-listener", os.Stderr)
	if err != nil {
		return err
	}
	build := exec.CommandContext(ctx, "go", "build", "-o", sandbox.Dir+"/", "../cluster/containers/pause", "../cluster/containers/nothing")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		return fmt.Errorf("building pause and nothing: %w\n%s", err, out)
	}
	pause := filepath.Join(sandbox.Dir, "pause")
	_, version, _ := strings.Cut(image, ":")
	for image, programs := range map[string]map[string]string{
		containers.PauseImage: {"/pause": pause},
		"ghcr.io/actions/gha-runner-scale-set-controller:0.6.1": {"/manager": controller, "/github-runnerscaleset-listener": listener},
		nothing + ":" + version:                                 {"/nothing": filepath.Join(sandbox.Dir, "nothing")},
		// A runner that has no job only waits, too.
		"ghcr.io/actions/actions-runner:latest": {"/home/runner/run.sh": pause},
	} {
		if err := registry.Push(image, programs); err != nil {
			return fmt.Errorf("pushing %s: %w", image, err)
		}
	}
	return nil
}

// lab is one test's view of the shared cluster.
type lab struct {
	*testing.T
	ctx      context.Context
	client   kubernetes.Interface
	dynamic  dynamic.Interface
	metadata metadata.Interface
	before   map[harness.Object]bool

	mu   sync.Mutex
	pods map[types.UID]*corev1.Pod // the hook's, as they were last
}

// newLab gives the test both namespaces, which admit only restricted Pods.
func newLab(t *testing.T) *lab {
	t.Helper()
	config := shared.Config()
	l := &lab{
		T: t, ctx: t.Context(),
		client:   kubernetes.NewForConfigOrDie(config),
		dynamic:  dynamic.NewForConfigOrDie(config),
		metadata: metadata.NewForConfigOrDie(config),
		pods:     map[types.UID]*corev1.Pod{},
	}
	shared.GitHub().Reset()
	l.before = l.everything()
	for _, name := range []string{controllerNamespace, runnerNamespace} {
		_, err := l.client.CoreV1().Namespaces().Create(l.ctx, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{
			Name: name, Labels: map[string]string{"pod-security.kubernetes.io/enforce": "restricted"},
		}}, metav1.CreateOptions{})
		if err != nil && !apierrors.IsAlreadyExists(err) {
			l.Fatal(err)
		}
	}
	l.watchHook()
	t.Cleanup(func() {
		if t.Failed() {
			l.ctx = context.WithoutCancel(l.ctx)
			l.explain()
		}
	})
	return l
}

// watchHook remembers how each of the hook's Pods ended: Helm and Kubernetes
// delete them a moment later.
func (l *lab) watchHook() {
	l.Helper()
	w, err := l.client.CoreV1().Pods("").Watch(l.ctx, metav1.ListOptions{LabelSelector: hookLabel + ",batch.kubernetes.io/job-name"})
	if err != nil {
		l.Fatal(err)
	}
	go func() {
		for e := range w.ResultChan() {
			if pod, ok := e.Object.(*corev1.Pod); ok {
				l.mu.Lock()
				l.pods[pod.UID] = pod
				l.mu.Unlock()
			}
		}
	}()
}

// hookPods are all Pods of hooks so far, oldest first.
func (l *lab) hookPods() []*corev1.Pod {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.SortedFunc(maps.Values(l.pods), func(a, b *corev1.Pod) int {
		return a.CreationTimestamp.Compare(b.CreationTimestamp.Time)
	})
}

// hookPod is a hook's Pod as it was last.
func (l *lab) hookPod(uid types.UID) *corev1.Pod {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.pods[uid]
}

// hookEnded is how the only container of a hook's Pod ended.
func (l *lab) hookEnded(pod types.UID) *corev1.ContainerStateTerminated {
	l.Helper()
	var ended *corev1.ContainerStateTerminated
	l.eventually("the hook's container has ended", func() bool {
		if statuses := l.hookPod(pod).Status.ContainerStatuses; len(statuses) == 1 {
			ended = statuses[0].State.Terminated
		}
		return ended != nil
	})
	return ended
}

// explain shows why Pods are not what they should be.
func (l *lab) explain() {
	pods, err := l.client.CoreV1().Pods("").List(l.ctx, metav1.ListOptions{})
	if err != nil {
		l.Log(err)
		return
	}
	for _, p := range pods.Items {
		l.Logf("Pod %s/%s: %s %+v", p.Namespace, p.Name, p.Status.Phase, p.Status.ContainerStatuses)
		out, err := l.client.CoreV1().Pods(p.Namespace).GetLogs(p.Name, &corev1.PodLogOptions{TailLines: new(int64(30))}).DoRaw(l.ctx)
		l.Logf("%s %v", out, err)
	}
	events, err := l.client.CoreV1().Events("").List(l.ctx, metav1.ListOptions{FieldSelector: "type=Warning"})
	if err != nil {
		l.Log(err)
		return
	}
	for _, e := range events.Items {
		l.Logf("%s %s/%s: %s", e.InvolvedObject.Kind, e.InvolvedObject.Namespace, e.InvolvedObject.Name, e.Message)
	}
}

// helm runs Helm of a major version.
func (l *lab) helm(major int, args ...string) (string, error) {
	l.Helper()
	return harness.Run(l, fmt.Sprintf("helm%d", major), built.Helm(l.ctx, major, shared.Kubeconfig(), args...))
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
	return built.RunByHand(l.ctx, l, shared.Kubeconfig(), args...)
}

// postRenderer are the arguments which put the hook, with these values, into a
// release.
func postRenderer(major int, values ...string) []string {
	name := "arc-postrender"
	if major == 3 {
		name = built.Postrender
	}
	args := []string{"--post-renderer", name}
	for _, v := range values {
		args = append(args, "--post-renderer-args", "--set", "--post-renderer-args", v)
	}
	return args
}

// values are what a chart of ARC needs to make Pods that are admitted.
func (l *lab) values(text string) string {
	l.Helper()
	file := filepath.Join(l.TempDir(), "values.yaml")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		l.Fatal(err)
	}
	return file
}

const restrictedController = `
podSecurityContext: {runAsNonRoot: true, seccompProfile: {type: RuntimeDefault}}
securityContext: {allowPrivilegeEscalation: false, capabilities: {drop: [ALL]}}
`

const restrictedScaleSet = `
minRunners: 1
githubConfigSecret: {github_token: not-a-token}
controllerServiceAccount: {name: arc-gha-rs-controller, namespace: arc-systems}
listenerTemplate:
  spec:
    containers:
      - name: listener
        securityContext: &restricted
          runAsNonRoot: true
          seccompProfile: {type: RuntimeDefault}
          allowPrivilegeEscalation: false
          capabilities: {drop: [ALL]}
template:
  spec:
    containers:
      - name: runner
        image: ghcr.io/actions/actions-runner:latest
        command: [/home/runner/run.sh]
        securityContext: *restricted
`

// installController installs ARC's controller and waits until it runs.
func (l *lab) installController(major int, args ...string) {
	l.Helper()
	l.mustHelm(major, slices.Concat([]string{
		"install", "arc", built.ARCChart(harness.ControllerChart),
		"--namespace", controllerNamespace, "--values", l.values(restrictedController),
	}, args)...)
	l.eventually("the controller runs", func() bool {
		d, err := l.client.AppsV1().Deployments(controllerNamespace).Get(l.ctx, "arc-gha-rs-controller", metav1.GetOptions{})
		return err == nil && d.Status.ReadyReplicas == 1
	})
}

// installScaleSet installs a scale set and waits until it has a runner.
func (l *lab) installScaleSet(major int, args ...string) {
	l.Helper()
	if major == 4 {
		// This chart renders empty lists as null, which server-side apply refuses.
		args = append([]string{"--server-side=false"}, args...)
	}
	l.mustHelm(major, slices.Concat([]string{
		"install", "runners", built.ARCChart(harness.ScaleSetChart),
		"--namespace", runnerNamespace, "--values", l.values(restrictedScaleSet),
		"--set", "githubConfigUrl=" + shared.GitHub().ConfigURL(),
	}, args)...)
	for namespace, component := range map[string]string{runnerNamespace: "runner", controllerNamespace: "runner-scale-set-listener"} {
		l.eventually("a "+component+" runs", func() bool {
			pods, err := l.client.CoreV1().Pods(namespace).List(l.ctx, metav1.ListOptions{
				LabelSelector: "app.kubernetes.io/component=" + component, FieldSelector: "status.phase=Running",
			})
			return err == nil && len(pods.Items) > 0
		})
	}
}

// stopController leaves the release as it is, with nobody to do its work.
func (l *lab) stopController() {
	l.Helper()
	deployments := l.client.AppsV1().Deployments(controllerNamespace)
	scale, err := deployments.GetScale(l.ctx, "arc-gha-rs-controller", metav1.GetOptions{})
	if err != nil {
		l.Fatal(err)
	}
	scale.Spec.Replicas = 0
	if _, err := deployments.UpdateScale(l.ctx, scale.Name, scale, metav1.UpdateOptions{}); err != nil {
		l.Fatal(err)
	}
	l.eventually("no controller runs", func() bool {
		pods, err := l.client.CoreV1().Pods(controllerNamespace).List(l.ctx, metav1.ListOptions{LabelSelector: "app.kubernetes.io/part-of=gha-rs-controller"})
		return err == nil && len(pods.Items) == 0
	})
}

func (l *lab) eventually(what string, done func() bool) {
	l.Helper()
	harness.Eventually(l, time.Minute, what, done, func() string { return "" })
}

// everything lists every object of every kind in the cluster.
func (l *lab) everything() map[harness.Object]bool {
	l.Helper()
	found, err := harness.Inventory(l.ctx, shared.Config())
	if err != nil {
		l.Fatal(err)
	}
	return found
}

// nothingLeft fails unless the cluster is as it was, but for backups and the two
// namespaces.
func (l *lab) nothingLeft() {
	l.Helper()
	deadline := time.Now().Add(30 * time.Second) // Pods that Helm deleted need a moment
	for {
		var left []string
		for o := range l.everything() {
			if !l.before[o] && o.Resource != "namespaces" && !strings.HasPrefix(o.Name, "arc-cleanup-backup-") {
				left = append(left, o.String())
			}
		}
		if len(left) == 0 {
			return
		}
		if time.Now().After(deadline) {
			l.Fatalf("left:\n%s", strings.Join(left, "\n"))
		}
		time.Sleep(500 * time.Millisecond)
	}
}

// deleteNamespaces deletes both and waits until they are gone: nothing holds them.
func (l *lab) deleteNamespaces() {
	l.Helper()
	names := []string{controllerNamespace, runnerNamespace}
	for _, name := range names {
		if err := l.client.CoreV1().Namespaces().Delete(l.ctx, name, metav1.DeleteOptions{}); err != nil {
			l.Fatal(err)
		}
	}
	l.eventually("both namespaces are gone", func() bool {
		return !slices.ContainsFunc(names, func(name string) bool {
			_, err := l.client.CoreV1().Namespaces().Get(l.ctx, name, metav1.GetOptions{})
			return !apierrors.IsNotFound(err)
		})
	})
}
