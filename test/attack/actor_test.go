package attack

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"
	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/rest"
)

// keep is the label of objects that stay in the actor's namespace between runs.
const keep = "attack.test/keep"

// An actor is a ServiceAccount with some rights in one namespace. It acts with its own
// token, so RBAC decides what it may do.
type actor struct {
	who, rights string // for the table
	namespace   string
	account     string
	clusterRole string
	rules       []rbacv1.PolicyRule
}

var (
	admin = &actor{
		who: "administrator of a namespace", rights: "the ClusterRole `admin` in a namespace of its own",
		namespace: tenantNamespace, account: "admin", clusterRole: "admin",
	}
	podCreator = &actor{
		who: "creator of Pods", rights: "`create pods` in the namespace of the runners",
		namespace: runnerNamespace, account: "pod-creator",
		rules: []rbacv1.PolicyRule{{APIGroups: []string{""}, Resources: []string{"pods"}, Verbs: []string{"create"}}},
	}
	runnerAdmin = &actor{
		who: "administrator of a namespace with runners", rights: "as the first, and all of `actions.github.com` in its namespace",
		namespace: tenantNamespace, account: "runner-admin", clusterRole: "admin",
		rules: []rbacv1.PolicyRule{{APIGroups: []string{"actions.github.com"}, Resources: []string{"*"}, Verbs: []string{"*"}}},
	}
	actors = []*actor{admin, podCreator, runnerAdmin}
)

// settle creates the account.
func (a *actor) settle(ctx context.Context, l *lab) error {
	of := metav1.ObjectMeta{Name: a.account, Namespace: a.namespace, Labels: map[string]string{keep: ""}}
	_, err := l.client.CoreV1().ServiceAccounts(a.namespace).Create(ctx, &corev1.ServiceAccount{ObjectMeta: of}, metav1.CreateOptions{})
	if err != nil {
		return err
	}
	bind := func(name, kind, role string) error {
		of := of
		of.Name = name
		_, err := l.client.RbacV1().RoleBindings(a.namespace).Create(ctx, &rbacv1.RoleBinding{
			ObjectMeta: of,
			RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: kind, Name: role},
			Subjects:   []rbacv1.Subject{{Kind: "ServiceAccount", Name: a.account, Namespace: a.namespace}},
		}, metav1.CreateOptions{})
		return err
	}
	if a.clusterRole != "" {
		err = bind(a.account+"-cluster-role", "ClusterRole", a.clusterRole)
	}
	if err == nil && len(a.rules) > 0 {
		_, err = l.client.RbacV1().Roles(a.namespace).Create(ctx, &rbacv1.Role{ObjectMeta: of, Rules: a.rules}, metav1.CreateOptions{})
		err = errors.Join(err, bind(a.account+"-role", "Role", a.account))
	}
	return err
}

// connect returns a client with the actor's own token.
func (a *actor) connect(ctx context.Context, l *lab) (dynamic.Interface, error) {
	token, err := l.client.CoreV1().ServiceAccounts(a.namespace).CreateToken(ctx, a.account, &authenticationv1.TokenRequest{}, metav1.CreateOptions{})
	if err != nil {
		return nil, fmt.Errorf("asking for a token of %s: %w", a.account, err)
	}
	config := rest.AnonymousClientConfig(l.Config())
	config.BearerToken = token.Status.Token
	config.QPS = -1
	config.WarningHandler = rest.NoWarnings{}
	return dynamic.NewForConfig(config)
}

// workers is how many objects are created at the same time.
const (
	workers     = 8
	manyObjects = 50
)

// create creates the objects of the tries. It fails if RBAC does not decide as a try
// expects. It returns the objects that exist.
func create(t *testing.T, l *lab, tries []try, of facts) []*unstructured.Unstructured {
	t.Helper()
	ctx := t.Context()
	begun := time.Now()
	clients := map[*actor]dynamic.Interface{}
	var objects []*unstructured.Unstructured
	for _, x := range tries {
		if clients[x.by] == nil {
			c, err := x.by.connect(ctx, l)
			if err != nil {
				t.Fatal(err)
			}
			clients[x.by] = c
		}
		made := x.make(of)
		var g errgroup.Group
		g.SetLimit(1) // a RoleBinding comes after its Role
		if len(made) > manyObjects {
			g.SetLimit(workers)
		}
		for _, o := range made {
			if o.GetNamespace() == "" && !x.clusterScoped {
				o.SetNamespace(x.by.namespace)
			}
			g.Go(func() error {
				plural, _ := meta.UnsafeGuessKindToResource(o.GroupVersionKind())
				status, hasStatus := o.Object["status"]
				delete(o.Object, "status")
				r := clients[x.by].Resource(plural).Namespace(o.GetNamespace())
				created, err := r.Create(ctx, o, metav1.CreateOptions{})
				if err == nil && hasStatus {
					created.Object["status"] = status
					_, err = r.UpdateStatus(ctx, created, metav1.UpdateOptions{})
				}
				switch refused := apierrors.IsForbidden(err); {
				case x.outcome == forbidden && err == nil:
					return fmt.Errorf("%s may create %s %s/%s", x.by.who, o.GetKind(), o.GetNamespace(), o.GetName())
				case x.outcome == forbidden && refused:
					return nil
				case err != nil:
					return fmt.Errorf("%s creates %s %s/%s: %w", x.by.who, o.GetKind(), o.GetNamespace(), o.GetName(), err)
				}
				return nil
			})
		}
		if err := g.Wait(); err != nil {
			t.Errorf("try %q: %v", x.what, err)
		}
		if x.outcome != forbidden {
			objects = append(objects, made...)
		}
	}
	t.Logf("the actors created %d objects (%.1fs)", len(objects), time.Since(begun).Seconds())
	return objects
}
