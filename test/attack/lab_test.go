// Package attack holds the engine against people who are not administrators. An
// actor creates all it may that looks like ours, ARC's or Helm's; then an
// administrator runs every command. Nothing outside the actor's namespace may differ
// from the same run without the actor, object by object in the whole cluster, nor the
// verdict, nor what it costs; and what the actor wrote is printed in quotes only.
//
// One try alone, by a part of its description, and, after a difference, each of them
// alone:
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
	// tenantNamespace is the actor's own, and neighbour that of a team which has
	// nothing to do with ARC.
	tenantNamespace = "tenant"
	neighbour       = "payments"

	nextVersion = "0.6.2"
)

// lab is what all tests share: one cluster, with four namespaces and nothing of ARC.
type lab struct {
	*harness.Product
	*cluster.Cluster
	dir     string
	client  kubernetes.Interface
	dynamic dynamic.Interface
	// before is what is there between two tests.
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

// measured is the command that tells what another took.
func (l *lab) measured() string { return filepath.Join(l.dir, "measure") }

// usage is where it tells, of commands by hand or of hooks.
func (l *lab) usage(of string) string { return filepath.Join(l.dir, of+".usage") }

// chart is a chart of ARC in the next version: an archive.
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
	build := exec.CommandContext(ctx, "go", "build", "-o", l.measured(), "./measure")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("building measure: %w\n%s", err, out)
	}
	for _, chart := range []string{harness.ControllerChart, harness.ScaleSetChart} {
		// The version only: of another appVersion, ARC's controller deletes every scale set.
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

// settle makes the namespaces, the neighbour's release, and the accounts of the
// actors with their rights.
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

// clear gives the next run the cluster as it was, whatever this one left.
func (l *lab) clear(t *testing.T) {
	t.Helper()
	l.GitHub().Reset()
	l.emptyTenant(t)
	if err := harness.Clear(context.WithoutCancel(t.Context()), l.Config(), l.before); err != nil {
		t.Error(err)
	}
}

// emptyTenant takes away all that actors made in their own namespace, held by
// finalizers or not: many at a time, where there is nothing to look at.
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

// eventually waits for what a test needs before it can go on.
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

// indented is a text under a line of a message.
func indented(text string) string {
	return "    " + strings.ReplaceAll(strings.TrimSpace(text), "\n", "\n    ")
}
