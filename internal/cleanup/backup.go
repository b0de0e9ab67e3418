package cleanup

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/validation"
	"sigs.k8s.io/yaml"

	"github.com/arc-cleanup/arc-cleanup/internal/arc"
	"github.com/arc-cleanup/arc-cleanup/internal/kube"
)

const (
	// BackupKey is where a backup's Secret holds the AutoscalingRunnerSets, as
	// compressed YAML.
	BackupKey = "autoscalingrunnersets.yaml.gz"
	// backupBytes is less than a Secret may hold (k8s.io/api/core/v1, MaxSecretSize),
	// which is counted before base64.
	backupBytes = 1000 * 1024
	// unpackedBytes is more than any backup has, and no danger to memory: what is in a
	// Secret whoever may write there has packed.
	unpackedBytes = 32 << 20
	// backups is how many of one uninstall there may be: a Pod that was replaced
	// has made one already, which may miss what came since.
	backups = 9
)

// backUp plans a backup of what people wrote and will be gone, before anything else: the
// AutoscalingRunnerSets or, of legacy ARC, what nothing owns. The controller makes the other
// kinds of them, and an EphemeralRunner's status has held credentials. The hook of legacy
// ARC has no right to write a Secret.
func (p *planner) backUp() {
	if p.o.Backup.Name == "" || !p.o.ofController() || p.o.Scope == Legacy && p.o.Job != "" || len(p.plan.Phases) == 0 {
		return
	}
	for _, o := range p.reachable(p.s.Custom) {
		if isWritten(o) && !p.history.BackedUp[o.UID] && !p.isLeft(o) {
			p.plan.backup = append(p.plan.backup, o)
		}
	}
	if n := len(p.plan.backup); n > 0 {
		if _, terminating := p.s.Terminating[p.o.Backup.Namespace]; terminating {
			p.plan.Refusals = append(p.plan.Refusals, Refusal{
				Verdict: Refused,
				Message: fmt.Sprintf("the backup of %d AutoscalingRunnerSets would be in namespace %s, which is being deleted", n, p.o.Backup.Namespace),
				Do:      []string{"keep them yourself: kubectl get autoscalingrunnersets --all-namespaces --output yaml; then go without a backup: --backup=false"},
			})
		}
		secret := &Object{Target: kube.Target{Resource: secretResource, Namespace: p.o.Backup.Namespace, Name: p.o.Backup.Name}}
		step := Step{Create, secret, fmt.Sprintf("holds %d %s, see `arc-cleanup restore`", n, p.o.backedUp())}
		p.plan.Phases = slices.Insert(p.plan.Phases, 0, Phase{BackUp, [][]Step{{step}}})
	}
}

// isWritten reports whether an object is one that people write.
func isWritten(o *Object) bool {
	return o.Resource.Resource == arc.AutoscalingRunnerSets || o.Resource.Group == arc.LegacyGroup && o.Owner == ""
}

// backedUp is what a backup holds.
func (o Options) backedUp() string {
	if o.Scope == Legacy {
		return "objects of " + arc.LegacyGroup
	}
	return "AutoscalingRunnerSets"
}

// restorableKind returns the resource of what a backup may hold.
func restorableKind(u unstructured.Unstructured) (gvr schema.GroupVersionResource, is bool) {
	of := u.GroupVersionKind()
	for _, gvr := range append(arc.LegacyResources(), arc.Resource(arc.AutoscalingRunnerSets)) {
		if of.Group == gvr.Group && of.Version == gvr.Version && strings.ToLower(of.Kind)+"s" == gvr.Resource {
			return gvr, true
		}
	}
	return gvr, false
}

// backUp writes the sets into a Secret, and returns it.
func backUp(ctx context.Context, c *kube.Client, name types.NamespacedName, sets []*Object) (*Object, error) {
	var items []unstructured.Unstructured
	for _, o := range sets {
		var u *unstructured.Unstructured
		err := kube.Retry(ctx, func(ctx context.Context) (err error) {
			u, err = c.Dynamic.Resource(o.Resource).Namespace(o.Namespace).Get(ctx, o.Name, metav1.GetOptions{})
			return err
		})
		if apierrors.IsNotFound(err) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("reading %s: %w", o, err)
		}
		items = append(items, restorable(u))
	}
	data, err := pack(items)
	if err != nil {
		return nil, err
	}
	if len(data) > backupBytes {
		return nil, fmt.Errorf("%d objects are %d bytes compressed, more than a Secret can hold", len(items), len(data))
	}
	object := &Object{Target: kube.Target{Resource: secretResource, Namespace: name.Namespace, Name: name.Name}}
	for n := 2; ; n++ {
		secret := &unstructured.Unstructured{Object: map[string]any{
			"apiVersion": "v1", "kind": "Secret", "type": "Opaque",
			"metadata": map[string]any{
				"name": object.Name, "namespace": object.Namespace,
				"labels": map[string]any{"app.kubernetes.io/name": "arc-cleanup", "app.kubernetes.io/component": "backup"},
			},
			"data": map[string]any{BackupKey: base64.StdEncoding.EncodeToString(data)},
		}}
		err := kube.Retry(ctx, func(ctx context.Context) error {
			created, err := c.Dynamic.Resource(secretResource).Namespace(object.Namespace).Create(ctx, secret, c.Creating())
			if err == nil {
				object.UID = created.GetUID()
			}
			return err
		})
		switch {
		case err == nil:
			return object, nil
		case !apierrors.IsAlreadyExists(err) || n > backups:
			return nil, fmt.Errorf("creating %s: %w", object, err)
		}
		there, err := readBackup(ctx, c, object.Namespace, object.Name)
		if err != nil {
			return nil, err
		}
		if !slices.ContainsFunc(items, func(u unstructured.Unstructured) bool { return !holds(there, u) }) {
			return object, nil
		}
		object.Name = fmt.Sprintf("%s-%d", name.Name, n)
	}
}

func holds(items []unstructured.Unstructured, one unstructured.Unstructured) bool {
	return slices.ContainsFunc(items, func(u unstructured.Unstructured) bool {
		return u.GetKind() == one.GetKind() && u.GetNamespace() == one.GetNamespace() && u.GetName() == one.GetName()
	})
}

// restorable is the object as it would be made anew: without its status, its
// identity, its finalizers, and its id at GitHub, which is another one then.
func restorable(u *unstructured.Unstructured) unstructured.Unstructured {
	annotations := u.GetAnnotations()
	delete(annotations, arc.AnnotationRunnerScaleSetID)
	delete(annotations, arc.AnnotationWake)
	delete(annotations, "kubectl.kubernetes.io/last-applied-configuration")
	out := unstructured.Unstructured{Object: map[string]any{"spec": u.Object["spec"]}}
	out.SetAPIVersion(u.GetAPIVersion())
	out.SetKind(u.GetKind())
	out.SetNamespace(u.GetNamespace())
	out.SetName(u.GetName())
	out.SetLabels(u.GetLabels())
	out.SetAnnotations(annotations)
	return out
}

// pack is a list that kubectl can apply, compressed.
func pack(items []unstructured.Unstructured) ([]byte, error) {
	list := unstructured.UnstructuredList{Object: map[string]any{"apiVersion": "v1", "kind": "List"}, Items: items}
	text, err := yaml.Marshal(list.UnstructuredContent())
	if err != nil {
		return nil, err
	}
	var packed bytes.Buffer
	// The same sets give the same bytes: gzip's header has no time unless told.
	z, err := gzip.NewWriterLevel(&packed, gzip.BestCompression)
	if err != nil {
		return nil, err
	}
	if _, err := z.Write(text); err != nil {
		return nil, err
	}
	err = z.Close()
	return packed.Bytes(), err
}

func readBackup(ctx context.Context, c *kube.Client, namespace, name string) ([]unstructured.Unstructured, error) {
	var secret *unstructured.Unstructured
	err := kube.Retry(ctx, func(ctx context.Context) (err error) {
		secret, err = c.Dynamic.Resource(secretResource).Namespace(namespace).Get(ctx, name, metav1.GetOptions{})
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("reading Secret %s/%s: %w", namespace, name, err)
	}
	items, err := unpack(secret)
	if err != nil {
		return nil, fmt.Errorf("secret %s/%s is not a backup of arc-cleanup: %w", namespace, name, err)
	}
	return items, nil
}

func unpack(secret *unstructured.Unstructured) ([]unstructured.Unstructured, error) {
	encoded, found, err := unstructured.NestedString(secret.Object, "data", BackupKey)
	if err != nil {
		return nil, err
	}
	if !found {
		return nil, fmt.Errorf("it has no key %s", BackupKey)
	}
	data, err := base64.StdEncoding.DecodeString(encoded)
	if err != nil {
		return nil, err
	}
	z, err := gzip.NewReader(bytes.NewReader(data))
	if err != nil {
		return nil, err
	}
	text, err := io.ReadAll(io.LimitReader(z, unpackedBytes+1))
	if err != nil {
		return nil, err
	}
	if len(text) > unpackedBytes {
		return nil, fmt.Errorf("unpacked it has more than %d bytes", unpackedBytes)
	}
	var list map[string]any
	if err := yaml.Unmarshal(text, &list); err != nil {
		return nil, err
	}
	parsed, err := (&unstructured.Unstructured{Object: list}).ToList()
	if err != nil {
		return nil, err
	}
	return parsed.Items, nil
}

// Restored is what became of one object of a backup.
type Restored struct {
	// Resource is what kubectl calls it.
	Resource, Namespace, Name string
	// Existed says that there was one of that name already, which is left alone.
	Existed bool
}

// ErrElsewhere is a backup that holds objects of other namespaces than
// its own, for which whoever can have written it may not speak. Nothing was written.
var ErrElsewhere = errors.New("it holds scale sets of other namespaces than its own, and whoever may write Secrets there can have put them in")

// Restore makes the objects of a backup that do not exist anew. The
// Roles and Secrets of their Helm releases are not in it. Those of other namespaces
// than the backup's are made only with trusted, and else the error is ErrElsewhere.
func Restore(ctx context.Context, c *kube.Client, namespace, name string, trusted bool) ([]Restored, error) {
	items, err := readBackup(ctx, c, namespace, name)
	if err != nil {
		return nil, err
	}
	var elsewhere []string
	for _, u := range items {
		if problems := slices.Concat(validation.IsDNS1123Subdomain(u.GetName()), validation.IsDNS1123Label(u.GetNamespace())); len(problems) > 0 {
			return nil, fmt.Errorf("secret %s/%s: %q in namespace %q is no name of an object: %s", namespace, name, u.GetName(), u.GetNamespace(), problems[0])
		}
		if _, is := restorableKind(u); !is {
			return nil, fmt.Errorf("secret %s/%s: %q %s/%s: a backup holds nothing but AutoscalingRunnerSets and objects of legacy ARC", namespace, name, u.GetKind(), u.GetNamespace(), u.GetName())
		}
		if ns := u.GetNamespace(); ns != namespace && !slices.Contains(elsewhere, ns) {
			elsewhere = append(elsewhere, ns)
		}
	}
	if len(elsewhere) > 0 && !trusted {
		return nil, fmt.Errorf("secret %s/%s: %w: %s", namespace, name, ErrElsewhere, strings.Join(elsewhere, ", "))
	}
	var (
		restored []Restored
		errs     []error
	)
	for _, u := range items {
		gvr, _ := restorableKind(u) // see above
		err := kube.Retry(ctx, func(ctx context.Context) error {
			_, err := c.Dynamic.Resource(gvr).Namespace(u.GetNamespace()).Create(ctx, &u, metav1.CreateOptions{})
			return err
		})
		if err == nil || apierrors.IsAlreadyExists(err) {
			restored = append(restored, Restored{strings.ToLower(u.GetKind()) + "." + gvr.Group, u.GetNamespace(), u.GetName(), err != nil})
		} else {
			errs = append(errs, fmt.Errorf("creating %s %s/%s: %w", u.GetKind(), u.GetNamespace(), u.GetName(), err))
		}
	}
	return restored, errors.Join(errs...)
}
