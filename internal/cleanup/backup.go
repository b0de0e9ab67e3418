package cleanup

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/arc-cleanup/arc-cleanup/internal/gzip"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/validation"
	"sigs.k8s.io/yaml"

	"github.com/arc-cleanup/arc-cleanup/internal/arc"
	"github.com/arc-cleanup/arc-cleanup/internal/kube"
	"github.com/arc-cleanup/arc-cleanup/internal/object"
	"github.com/arc-cleanup/arc-cleanup/internal/plan"
)

const (
	// backupKey is the key of the AutoscalingRunnerSets in a backup's Secret, as compressed YAML.
	backupKey = "autoscalingrunnersets.yaml.gz"
	// backupBytes is less than a Secret may hold (k8s.io/api/core/v1, MaxSecretSize). The limit
	// applies before base64.
	backupBytes = 1000 * 1024
	// unpackedBytes is larger than any backup, and small enough for memory: anyone who may write
	// the Secret decides what it unpacks to.
	unpackedBytes = 32 << 20
	// backups limits the backups of one uninstall. There can be several because an earlier Pod of
	// the Job may have made one, which may lack later objects.
	backups = 9
)

// restorableKind returns the resource of an object that a backup may contain.
func restorableKind(u unstructured.Unstructured) (gvr schema.GroupVersionResource, is bool) {
	of := u.GroupVersionKind()
	for _, gvr := range append(arc.LegacyResources(), arc.Resource(arc.AutoscalingRunnerSets)) {
		if of.Group == gvr.Group && of.Version == gvr.Version && strings.ToLower(of.Kind)+"s" == gvr.Resource {
			return gvr, true
		}
	}
	return gvr, false
}

// backUp writes the sets into a Secret, and returns the Secret.
func backUp(ctx context.Context, c *kube.Client, name types.NamespacedName, sets []*object.Object) (*object.Object, error) {
	var items []unstructured.Unstructured
	for _, o := range sets {
		u, err := c.Get(ctx, o.Resource, o.Namespace, o.Name)
		if apierrors.IsNotFound(err) {
			continue
		}
		if err != nil {
			return nil, err
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
	kept := &object.Object{Resource: object.Secrets, Namespace: name.Namespace, Name: name.Name}
	for n := 2; ; n++ {
		secret := &unstructured.Unstructured{Object: map[string]any{
			"apiVersion": "v1", "kind": "Secret", "type": "Opaque",
			"metadata": map[string]any{
				"name": kept.Name, "namespace": kept.Namespace,
				"labels": map[string]any{"app.kubernetes.io/name": "arc-cleanup", "app.kubernetes.io/component": "backup"},
			},
			"data": map[string]any{backupKey: base64.StdEncoding.EncodeToString(data)},
		}}
		created, err := c.Create(ctx, object.Secrets, secret)
		switch {
		case err == nil:
			kept.UID = created.GetUID()
			return kept, nil
		case !apierrors.IsAlreadyExists(err) || n > backups:
			return nil, err
		}
		there, err := readBackup(ctx, c, kept.Namespace, kept.Name)
		if err != nil {
			return nil, err
		}
		if !slices.ContainsFunc(items, func(u unstructured.Unstructured) bool { return !holds(there, u) }) {
			return kept, nil
		}
		kept.Name = fmt.Sprintf("%s-%d", name.Name, n)
	}
}

func holds(items []unstructured.Unstructured, one unstructured.Unstructured) bool {
	return slices.ContainsFunc(items, func(u unstructured.Unstructured) bool {
		return u.GetKind() == one.GetKind() && u.GetNamespace() == one.GetNamespace() && u.GetName() == one.GetName()
	})
}

// restorable returns the object in the form in which it can be created again: without its status,
// its identity, its finalizers, and its ID at GitHub, which will be a new one.
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

// pack returns a compressed list that kubectl can apply.
func pack(items []unstructured.Unstructured) ([]byte, error) {
	list := unstructured.UnstructuredList{Object: map[string]any{"apiVersion": "v1", "kind": "List"}, Items: items}
	text, err := yaml.Marshal(list.UnstructuredContent())
	if err != nil {
		return nil, err
	}
	return gzip.Pack(text), nil
}

func readBackup(ctx context.Context, c *kube.Client, namespace, name string) ([]unstructured.Unstructured, error) {
	secret, err := c.Get(ctx, object.Secrets, namespace, name)
	if err != nil {
		return nil, err
	}
	items, err := unpack(secret)
	if err != nil {
		return nil, fmt.Errorf("secret %s/%s is not a backup of arc-cleanup: %w", namespace, name, err)
	}
	return items, nil
}

func unpack(secret *unstructured.Unstructured) ([]unstructured.Unstructured, error) {
	encoded, found, err := unstructured.NestedString(secret.Object, "data", backupKey)
	if err != nil {
		return nil, err
	}
	if !found {
		return nil, fmt.Errorf("it has no key %s", backupKey)
	}
	data, err := base64.StdEncoding.DecodeString(encoded)
	if err != nil {
		return nil, err
	}
	text, err := gzip.Unpack(data, unpackedBytes)
	if err != nil {
		return nil, err
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

// Restored says what happened to one object of a backup.
type Restored struct {
	// Resource is kubectl's name for the kind.
	Resource, Namespace, Name string
	// Existed says that an object of that name exists already. It is left alone.
	Existed bool
}

// ErrElsewhere says that a backup holds objects of other namespaces than its own, so that those who
// may write the backup may not be entitled to write the objects. Nothing was written.
var ErrElsewhere = errors.New("it holds scale sets of other namespaces, and anyone who may write Secrets in its namespace can have added them")

// Restore creates the objects of a backup that do not exist. The backup does not contain the Roles
// and Secrets of their Helm releases. Without trusted, it fails with ErrElsewhere if the backup
// holds objects of other namespaces than its own.
func Restore(ctx context.Context, c *kube.Client, namespace, name string, trusted bool) ([]Restored, error) {
	items, err := readBackup(ctx, c, namespace, name)
	if err != nil {
		return nil, err
	}
	var elsewhere []string
	for _, u := range items {
		if problems := slices.Concat(validation.IsDNS1123Subdomain(u.GetName()), validation.IsDNS1123Label(u.GetNamespace())); len(problems) > 0 {
			return nil, fmt.Errorf("secret %s/%s: %q in namespace %q is not the name of an object: %s", namespace, name, u.GetName(), u.GetNamespace(), problems[0])
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
		gvr, _ := restorableKind(u) // it was checked above
		_, err := c.Create(ctx, gvr, &u)
		switch {
		case err == nil || apierrors.IsAlreadyExists(err):
			restored = append(restored, Restored{strings.ToLower(u.GetKind()) + "." + gvr.Group, u.GetNamespace(), u.GetName(), err != nil})
		case apierrors.IsNotFound(err):
			errs = append(errs, fmt.Errorf("%w; ARC's CRDs and namespace %s have to exist first", err, u.GetNamespace()))
		default:
			errs = append(errs, err)
		}
	}
	return restored, errors.Join(errs...)
}

// writeBefore executes the backup phase.
func (r *run) writeBefore(ctx context.Context, p *plan.Plan) error {
	if len(p.Backup) > 0 {
		if err := r.backUp(ctx, p.Backup); err != nil {
			return err
		}
	}
	if len(p.ToRecord) > 0 {
		return r.writeDown(ctx, p.ToRecord)
	}
	return nil
}

// backUp writes the backup.
func (r *run) backUp(ctx context.Context, sets []*object.Object) error {
	secret, err := backUp(ctx, r.client, r.options.Backup, sets)
	if err != nil {
		return fmt.Errorf("backing up: %w (without a backup: --backup=false, or policy.backup: false)", err)
	}
	for _, o := range sets {
		r.history.BackedUp[o.UID] = true
	}
	r.log.Debug().Str("phase", string(plan.PhaseBackUp)).Stringer("object", secret).Int("sets", len(sets)).Msg("backed up; see arc-cleanup restore")
	r.report.Done = append(r.report.Done, plan.Step{Action: plan.Create, Object: secret})
	return nil
}
