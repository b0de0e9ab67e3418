// Command bench measures how fast arc-cleanup frees a stuck cluster: N EphemeralRunners whose
// controller is gone, from the start until the CRDs are gone. It compares this with the same number of
// bare finalizer patches by an ideal client, with kubectl get | xargs kubectl patch on a sample, and
// with client-go's default limit of 5 requests per second. It writes the ratios into
// docs/performance.md.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sync/errgroup"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/metadata"
	"k8s.io/client-go/rest"

	"github.com/arc-cleanup/arc-cleanup/test/bench/page"
	"github.com/arc-cleanup/arc-cleanup/test/cluster"
	"github.com/arc-cleanup/arc-cleanup/test/harness"
)

const (
	namespaces = 4
	workers    = 64
	// defaultQPS is client-go's own limit where none is set (rest.DefaultQPS).
	defaultQPS = 5
	// sample is how many runners are freed with kubectl.
	sample = 50
	// foreign is how many Deployments of others there are, each of foreignBytes: half
	// with Kubernetes' recommended label part-of, half with the marks of a controller.
	foreign, foreignBytes = 2000, 12_000
	// most is what arc-cleanup may take of memory, half of the hook's limit.
	most = 64 << 20
)

var (
	runners = schema.GroupVersionResource{Group: "actions.github.com", Version: "v1alpha1", Resource: "ephemeralrunners"}
	crds    = schema.GroupVersionResource{Group: "apiextensions.k8s.io", Version: "v1", Resource: "customresourcedefinitions"}
	spaces  = schema.GroupVersionResource{Version: "v1", Resource: "namespaces"}

	deployments = schema.GroupVersionResource{Group: "apps", Version: "v1", Resource: "deployments"}
)

func main() {
	flag.Usage = func() {
		fmt.Fprintln(flag.CommandLine.Output(), "usage: bench N...   (how many EphemeralRunners, one measurement each)")
	}
	flag.Parse()
	if err := run(context.Background(), flag.Args()); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

type bench struct {
	product  *harness.Product
	kubectl  string
	cluster  *cluster.Cluster
	dynamic  dynamic.Interface
	metadata metadata.Interface
}

func run(ctx context.Context, args []string) (err error) {
	var sizes []int
	for _, arg := range args {
		n, err := strconv.Atoi(arg)
		if err != nil || n < sample {
			return fmt.Errorf("%q: must be a number of at least %d", arg, sample)
		}
		sizes = append(sizes, n)
	}
	dir, err := os.MkdirTemp("", "arc-cleanup-bench-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir) //nolint:errcheck // a temporary folder
	b := &bench{}
	if b.product, err = harness.Build(ctx, dir, os.Stderr); err != nil {
		return err
	}
	if b.kubectl, err = cluster.Binary(ctx, "kubectl", os.Stderr); err != nil {
		return err
	}
	if b.cluster, err = cluster.Start(ctx, cluster.Options{Progress: os.Stderr}); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, b.cluster.Stop()) }()
	if err := b.connect(b.cluster.Config()); err != nil {
		return err
	}
	for i := range namespaces {
		ns := &unstructured.Unstructured{Object: map[string]any{"apiVersion": "v1", "kind": "Namespace", "metadata": map[string]any{"name": space(i)}}}
		if _, err := b.dynamic.Resource(spaces).Create(ctx, ns, metav1.CreateOptions{}); err != nil {
			return err
		}
	}

	if err := each(foreign, func(i int) error { return b.seedForeign(ctx, i) }); err != nil {
		return fmt.Errorf("making Deployments of others: %w", err)
	}

	byHand, err := b.timed(ctx, sample, b.withKubectl)
	if err != nil {
		return fmt.Errorf("kubectl: %w", err)
	}
	var results []result
	for _, n := range sizes {
		r := result{runners: n, kubectl: byHand * time.Duration(n) / sample}
		if err := b.measure(ctx, &r); err != nil {
			return fmt.Errorf("%d runners: %w", n, err)
		}
		results = append(results, r)
	}
	apiServer, err := cluster.Binary(ctx, "kube-apiserver", os.Stderr)
	if err != nil {
		return err
	}
	return page.Write(ctx, b.product.Root, table(results, "Kubernetes "+page.Version(apiServer)))
}

// measure measures how long the runners take, and prints it.
func (b *bench) measure(ctx context.Context, r *result) error {
	n := r.runners
	// Before ours and after it: what slows the API server down for a while should not
	// count for one side only.
	bareBefore, err := b.timed(ctx, n, b.bare)
	if err != nil {
		return fmt.Errorf("the ideal client: %w", err)
	}
	cheapestBefore, err := b.timed(ctx, n, b.cheapest)
	if err != nil {
		return fmt.Errorf("the ideal client, cheapest patches: %w", err)
	}
	r.ours, err = b.timed(ctx, n, func(ctx context.Context, _ int) error { return b.hookjob(ctx, r) })
	if err != nil {
		return fmt.Errorf("arc-cleanup: %w", err)
	}
	cheapestAfter, err := b.timed(ctx, n, b.cheapest)
	if err != nil {
		return fmt.Errorf("the ideal client, cheapest patches: %w", err)
	}
	bareAfter, err := b.timed(ctx, n, b.bare)
	if err != nil {
		return fmt.Errorf("the ideal client: %w", err)
	}
	r.bare, r.cheapest = (bareBefore+bareAfter)/2, (cheapestBefore+cheapestAfter)/2
	fmt.Printf("\n%d EphemeralRunners in %d namespaces, %d cores, API server and client on one machine\n\n", n, namespaces, runtime.NumCPU())
	row := func(what string, took time.Duration) {
		fmt.Printf("%-64s %9.1f s   %6.2f x\n", what, took.Seconds(), float64(took)/float64(r.ours))
	}
	row("arc-cleanup run, from start to CRDs gone", r.ours)
	row(fmt.Sprintf("ideal client, finalizer patches only (%.1f and %.1f s)", bareBefore.Seconds(), bareAfter.Seconds()), r.bare)
	row(fmt.Sprintf("ideal client, the cheapest patches only (%.1f and %.1f s)", cheapestBefore.Seconds(), cheapestAfter.Seconds()), r.cheapest)
	row(fmt.Sprintf("kubectl get | xargs kubectl patch, patches only (from %d)", sample), r.kubectl)
	row("client-go's default limit, patches only (calculated)", atDefaultLimit(n))
	fmt.Printf("\n%.2f of the ideal client's rate, %.2f with the cheapest patches; memory of arc-cleanup at most %d MiB, beside %d Deployments of others\n",
		float64(r.bare)/float64(r.ours), float64(r.cheapest)/float64(r.ours), r.memory>>20, foreign)
	if r.memory > most {
		return fmt.Errorf("arc-cleanup took %d MiB of memory, and may take %d", r.memory>>20, most>>20)
	}
	return nil
}

func (b *bench) connect(config *rest.Config) (err error) {
	if b.dynamic, err = dynamic.NewForConfig(config); err != nil {
		return err
	}
	b.metadata, err = metadata.NewForConfig(config)
	return err
}

func space(i int) string { return fmt.Sprintf("bench-%d", i%namespaces) }

// timed gives do a cluster with n stuck runners, and takes the CRDs away after it.
func (b *bench) timed(ctx context.Context, n int, do func(context.Context, int) error) (time.Duration, error) {
	if err := b.installCRDs(ctx); err != nil {
		return 0, err
	}
	if err := each(n, func(i int) error { return b.seed(ctx, i) }); err != nil {
		return 0, err
	}
	start := time.Now()
	if err := do(ctx, n); err != nil {
		return 0, err
	}
	took := time.Since(start)
	return took, b.removeCRDs(ctx)
}

func each(n int, do func(int) error) error {
	var g errgroup.Group
	g.SetLimit(workers)
	for i := range n {
		g.Go(func() error { return do(i) })
	}
	return g.Wait()
}

func (b *bench) installCRDs(ctx context.Context) error {
	found, err := b.product.CRDs(harness.ControllerChart)
	if err != nil {
		return err
	}
	for _, crd := range found {
		if _, err := b.dynamic.Resource(crds).Create(ctx, crd, metav1.CreateOptions{}); err != nil {
			return err
		}
	}
	// Served a moment later.
	for range 100 {
		if err = b.seed(ctx, -1); err == nil {
			return b.patch(ctx, -1)
		}
		time.Sleep(100 * time.Millisecond)
	}
	return err
}

// seedForeign makes a Deployment of somebody else.
func (b *bench) seedForeign(ctx context.Context, i int) error {
	labels := map[string]any{"app": "web", "app.kubernetes.io/part-of": "shop"}
	if i%2 == 0 {
		labels["actions.github.com/controller-service-account-name"] = "web"
	}
	d := &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "apps/v1", "kind": "Deployment",
		"metadata": map[string]any{"name": fmt.Sprintf("web-%d", i), "labels": labels, "annotations": map[string]any{"example.com/notes": strings.Repeat("x", foreignBytes)}},
		"spec": map[string]any{
			"replicas": int64(0), "selector": map[string]any{"matchLabels": map[string]any{"app": "web"}},
			"template": map[string]any{
				"metadata": map[string]any{"labels": map[string]any{"app": "web"}},
				"spec":     map[string]any{"containers": []any{map[string]any{"name": "web", "image": "web", "args": []any{"--auto-scaling-runner-set-only"}}}},
			},
		},
	}}
	_, err := b.dynamic.Resource(deployments).Namespace(space(i)).Create(ctx, d, metav1.CreateOptions{})
	return err
}

func name(i int) string { return fmt.Sprintf("set-runner-%d", i) }

// seed makes a runner that hangs in its deletion.
func (b *bench) seed(ctx context.Context, i int) error {
	runner := &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "actions.github.com/v1alpha1", "kind": "EphemeralRunner",
		"metadata": map[string]any{
			"name": name(i), "labels": map[string]any{"actions.github.com/scale-set-name": "set"},
			"finalizers": []any{"ephemeralrunner.actions.github.com/finalizer", "ephemeralrunner.actions.github.com/runner-registration-finalizer"},
		},
		"spec": map[string]any{
			"githubConfigUrl": "https://github.com/acme", "githubConfigSecret": "s", "runnerScaleSetId": int64(1),
			"spec": map[string]any{"containers": []any{map[string]any{"name": "runner", "image": "runner"}}},
		},
	}}
	r := b.dynamic.Resource(runners).Namespace(space(i + namespaces))
	if _, err := r.Create(ctx, runner, metav1.CreateOptions{}); err != nil {
		return err
	}
	return r.Delete(ctx, name(i), metav1.DeleteOptions{})
}

// bare and cheapest know every object beforehand and do nothing but the patches:
// bare as anybody would, cheapest with the one that costs the API server least.
func (b *bench) bare(ctx context.Context, n int) error {
	return each(n, func(i int) error { return b.patch(ctx, i) })
}

func (b *bench) cheapest(ctx context.Context, n int) error {
	return each(n, func(i int) error {
		return b.patch(ctx, i, `,{"op":"add","path":"/metadata/managedFields","value":[{}]}`)
	})
}

func (b *bench) patch(ctx context.Context, i int, more ...string) error {
	_, err := b.metadata.Resource(runners).Namespace(space(i+namespaces)).
		Patch(ctx, name(i), types.JSONPatchType, []byte(`[{"op":"remove","path":"/metadata/finalizers"}`+strings.Join(more, "")+`]`), metav1.PatchOptions{})
	return err
}

// withKubectl is what is found everywhere as the cure.
func (b *bench) withKubectl(ctx context.Context, _ int) error {
	const cure = `kubectl get ephemeralrunners -A --no-headers -o custom-columns=NS:.metadata.namespace,NAME:.metadata.name |
		xargs -n 2 sh -c 'kubectl patch ephemeralrunner -n "$0" "$1" --type merge -p "{\"metadata\":{\"finalizers\":null}}"'`
	cmd := exec.CommandContext(ctx, "sh", "-ec", strings.ReplaceAll(cure, "kubectl ", `"$KUBECTL" `))
	cmd.Env = append(os.Environ(), "KUBECTL="+b.kubectl, "KUBECONFIG="+b.cluster.Kubeconfig())
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%w\n%s", err, out)
	}
	left, err := b.metadata.Resource(runners).List(ctx, metav1.ListOptions{})
	if err == nil && len(left.Items) > 0 {
		err = fmt.Errorf("it left %d runners", len(left.Items))
	}
	return err
}

// hookjob runs arc-cleanup by hand. It adds the parts of its time, and its peak memory.
func (b *bench) hookjob(ctx context.Context, r *result) error {
	cmd := b.product.ByHand(ctx, b.cluster.Kubeconfig(), "run", "--all-namespaces", "--yes", "--log-format", "console", "--output", "json")
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		return err
	}
	var report struct {
		Phases []struct {
			Name    string
			Seconds float64
		}
	}
	if err := json.Unmarshal(out, &report); err != nil {
		return fmt.Errorf("reading the report: %w", err)
	}
	r.phases = map[string]time.Duration{}
	for _, p := range report.Phases {
		r.phases[p.Name] += time.Duration(p.Seconds * float64(time.Second))
	}
	usage, ok := cmd.ProcessState.SysUsage().(*syscall.Rusage)
	if !ok {
		return errors.New("this system does not say how much memory a process used")
	}
	r.memory = usage.Maxrss << 10 // Linux counts in KiB
	return nil
}

func (b *bench) removeCRDs(ctx context.Context) error {
	list, err := b.metadata.Resource(crds).List(ctx, metav1.ListOptions{})
	if err != nil {
		return err
	}
	for _, crd := range list.Items {
		if err := b.metadata.Resource(crds).Delete(ctx, crd.Name, metav1.DeleteOptions{}); err != nil && !apierrors.IsNotFound(err) {
			return err
		}
	}
	for {
		list, err := b.metadata.Resource(crds).List(ctx, metav1.ListOptions{})
		if err != nil || len(list.Items) == 0 {
			return err
		}
		time.Sleep(200 * time.Millisecond)
	}
}
