// Package attack tests arc-cleanup against people who are not administrators. An actor creates
// every object it may that looks like one of arc-cleanup, ARC or Helm. Then an administrator
// runs every command. The tests compare with the same run without the actor: every object
// outside the actor's namespace, the verdict, and the cost must be the same, and text that the
// actor wrote is printed in quotes only.
//
// To run one try, give a part of its description; to run each try alone after a difference,
// give -each:
//
//	cd test && go test ./attack -run TestHealthy -v -args -try bomb
//	cd test && go test ./attack -run TestHealthy -v -timeout 1h -args -each
package attack

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/kubernetes"

	"github.com/arc-cleanup/arc-cleanup/test/cluster"
	"github.com/arc-cleanup/arc-cleanup/test/harness"
)

var (
	only   = flag.String("try", "", "only the tries whose description has this text")
	each   = flag.Bool("each", false, "after a difference, play each try alone")
	update = flag.Bool("update", false, "write the table of docs/security.md")
)

const (
	controllerNamespace = "arc-systems"
	runnerNamespace     = "arc-runners"
	// tenantNamespace is the actor's own; neighbour belongs to a team that does not use
	// ARC.
	tenantNamespace = "tenant"
	neighbour       = "payments"

	nextVersion = "0.6.2"
)

// lab is the cluster that all tests share, with four namespaces and nothing of ARC.
type lab struct {
	*harness.Product
	*cluster.Cluster
	dir     string
	client  kubernetes.Interface
	dynamic dynamic.Interface
	// before holds the objects that exist between two tests.
	before map[harness.Object]bool
}

var shared *lab

func TestMain(m *testing.M) {
	flag.Parse()
	code := m.Run()
	if shared != nil {
		if err := errors.Join(shared.Stop(), os.RemoveAll(shared.dir)); err != nil {
			fmt.Fprintln(os.Stderr, "attack:", err)
			code = 1
		}
	}
	os.Exit(code)
}

// start starts the cluster for the first test that needs it.
func start(t *testing.T) *lab {
	t.Helper()
	if shared == nil {
		l, err := newLab(context.WithoutCancel(t.Context()))
		if err != nil {
			t.Fatal(err)
		}
		shared = l
	}
	return shared
}

// measured is the command that measures another one.
func (l *lab) measured() string { return filepath.Join(l.dir, "measure") }

// usage is the file for its results, of commands by hand or of hooks.
func (l *lab) usage(of string) string { return filepath.Join(l.dir, of+".usage") }

// chart returns the archive of a chart of ARC in the next version.
func (l *lab) chart(name string) string {
	return filepath.Join(l.dir, name+"-"+nextVersion+".tgz")
}

func newLab(ctx context.Context) (*lab, error) {
	l := &lab{}
	var err error
	if l.dir, err = os.MkdirTemp("", "arc-cleanup-attack-"); err != nil {
		return nil, err
	}
	if l.Product, err = harness.Build(ctx, l.dir, os.Stderr); err != nil {
		return nil, err
	}
	if err := l.LeaveOutPods(filepath.Join(l.dir, "arc-charts")); err != nil {
		return nil, err
	}
	build := exec.CommandContext(ctx, "go", "build", "-o", l.measured(), "./measure")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("building measure: %w\n%s", err, out)
	}
	for _, chart := range []string{harness.ControllerChart, harness.ScaleSetChart} {
		// Only the version changes: ARC's controller deletes every scale set of another appVersion.
		out, err := l.Helm(ctx, 4, "", "package", l.ARCChart(chart), "--version", nextVersion, "--destination", l.dir).CombinedOutput()
		if err != nil {
			return nil, fmt.Errorf("helm package: %w\n%s", err, out)
		}
	}
	images, err := l.Images(ctx, os.Stderr)
	if err != nil {
		return nil, err
	}
	images[harness.HookImage] = cluster.Image{Commands: map[string]cluster.Program{
		"": {Path: l.measured(), Args: []string{l.usage("hooks"), l.Hookjob}},
	}}
	if l.Cluster, err = cluster.Start(ctx, cluster.Options{Images: images, Progress: os.Stderr}); err != nil {
		return nil, err
	}
	if l.client, err = kubernetes.NewForConfig(l.Config()); err != nil {
		return nil, err
	}
	if l.dynamic, err = dynamic.NewForConfig(l.Config()); err != nil {
		return nil, err
	}
	if err := l.settle(ctx); err != nil {
		return nil, err
	}
	l.before, err = harness.Inventory(ctx, l.Config())
	return l, err
}

// settle creates the namespaces, the neighbour's release, and the actors' accounts with their
// rights.
func (l *lab) settle(ctx context.Context) error {
	for _, name := range []string{controllerNamespace, runnerNamespace, tenantNamespace, neighbour} {
		_, err := l.client.CoreV1().Namespaces().Create(ctx, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name}}, metav1.CreateOptions{})
		if err != nil {
			return err
		}
	}
	owned := metav1.ObjectMeta{
		Name: "payments-db", Namespace: neighbour,
		Labels:      map[string]string{"app.kubernetes.io/managed-by": "Helm"},
		Annotations: map[string]string{"meta.helm.sh/release-name": neighbour, "meta.helm.sh/release-namespace": neighbour},
	}
	if _, err := l.client.CoreV1().Secrets(neighbour).Create(ctx, &corev1.Secret{ObjectMeta: owned}, metav1.CreateOptions{}); err != nil {
		return err
	}
	if _, err := l.client.CoreV1().ServiceAccounts(neighbour).Create(ctx, &corev1.ServiceAccount{ObjectMeta: owned}, metav1.CreateOptions{}); err != nil {
		return err
	}
	if _, err := l.client.RbacV1().Roles(neighbour).Create(ctx, &rbacv1.Role{ObjectMeta: owned}, metav1.CreateOptions{}); err != nil {
		return err
	}
	if _, err := l.client.RbacV1().RoleBindings(neighbour).Create(ctx, &rbacv1.RoleBinding{
		ObjectMeta: owned, RoleRef: rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "Role", Name: owned.Name},
	}, metav1.CreateOptions{}); err != nil {
		return err
	}
	for _, a := range actors {
		if err := a.settle(ctx, l); err != nil {
			return fmt.Errorf("making the account of %s: %w", a.who, err)
		}
	}
	return nil
}

// clear restores the cluster for the next run.
func (l *lab) clear(t *testing.T) {
	t.Helper()
	l.GitHub().Reset()
	l.emptyTenant(t)
	if err := harness.Clear(context.WithoutCancel(t.Context()), l.Config(), l.before); err != nil {
		t.Error(err)
	}
}

// emptyTenant deletes everything that actors created in their own namespace, also objects with
// finalizers, many at the same time.
func (l *lab) emptyTenant(t *testing.T) {
	t.Helper()
	ctx := context.WithoutCancel(t.Context())
	eventually(t, "the actor's namespace is empty", func() (bool, error) {
		kinds, err := harness.Kinds(l.Config())
		if err != nil {
			return false, err
		}
		empty := true
		for _, k := range kinds {
			if !k.Namespaced {
				continue
			}
			r := l.dynamic.Resource(k.GroupVersionResource).Namespace(tenantNamespace)
			actors := metav1.ListOptions{LabelSelector: "!" + keep}
			list, err := r.List(ctx, actors)
			if apierrors.IsNotFound(err) {
				continue // its CRD went meanwhile
			}
			if err != nil {
				return false, err
			}
			list.Items = slices.DeleteFunc(list.Items, func(o unstructured.Unstructured) bool { return harness.InEvery(k.Resource, o.GetName()) })
			if len(list.Items) == 0 {
				continue
			}
			empty = false
			if err := r.DeleteCollection(ctx, metav1.DeleteOptions{GracePeriodSeconds: new(int64)}, actors); err != nil {
				return false, err
			}
			for _, o := range list.Items {
				if len(o.GetFinalizers()) == 0 {
					continue
				}
				_, err := r.Patch(ctx, o.GetName(), types.MergePatchType, []byte(`{"metadata":{"finalizers":null}}`), metav1.PatchOptions{})
				if err != nil && !apierrors.IsNotFound(err) {
					return false, err
				}
			}
		}
		return empty, nil
	})
}

// eventually waits until a condition holds that the test needs.
func eventually(t *testing.T, what string, done func() (bool, error)) {
	t.Helper()
	const patience = time.Minute
	deadline := time.Now().Add(patience)
	for {
		ok, err := done()
		if ok && err == nil {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("not within %s: %s (last error: %v)", patience, what, err)
		}
		time.Sleep(100 * time.Millisecond)
	}
}

// indented returns a text indented below a line.
func indented(text string) string {
	return "    " + strings.ReplaceAll(strings.TrimSpace(text), "\n", "\n    ")
}
