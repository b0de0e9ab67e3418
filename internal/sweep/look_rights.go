package sweep

import (
	"fmt"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"

	"github.com/arc-cleanup/arc-cleanup/internal/arc"
	"github.com/arc-cleanup/arc-cleanup/internal/object"
)

// readRights reads in full the Roles and RoleBindings that something may be decided about.
func (l *looking) readRights() {
	type fields struct {
		Rules   []arc.Rule `json:"rules"`
		RoleRef struct {
			Kind string `json:"kind"`
			Name string `json:"name"`
		} `json:"roleRef"`
		Subjects []struct {
			Kind      string `json:"kind"`
			Namespace string `json:"namespace"`
			Name      string `json:"name"`
		} `json:"subjects"`
	}
	kept := l.rights[:0]
	for _, r := range l.rights {
		if len(protections(r.thing)) == 0 && l.exists(r.listener) {
			continue // of a listener that lives
		}
		t, f, found := whole[fields](l, r.Object)
		if !found {
			continue
		}
		r.thing, r.asListener = t, arc.IsListenerRole(f.Rules)
		if f.RoleRef.Kind == "Role" {
			r.role, r.asListener = f.RoleRef.Name, l.bindsListenerRole(r, f.RoleRef.Name)
		}
		for _, s := range f.Subjects {
			account := types.NamespacedName{Namespace: s.Namespace, Name: s.Name}
			if s.Kind != "ServiceAccount" {
				account = types.NamespacedName{Name: fmt.Sprintf("%s %s", s.Kind, s.Name)}
			}
			r.accounts = append(r.accounts, account)
		}
		kept = append(kept, r)
	}
	l.rights = kept
}

// readBindings adds the other RoleBindings of Roles that may be freed: those of users have no finalizer and
// no label of ARC.
func (l *looking) readBindings() {
	known, places := map[types.UID]bool{}, map[string]bool{}
	for _, r := range l.rights {
		known[r.UID] = true
		if r.Resource == object.Roles && r.Deleting && len(protections(r.thing)) > 0 {
			places[r.Namespace] = true
		}
	}
	type fields struct {
		RoleRef struct {
			Kind string `json:"kind"`
			Name string `json:"name"`
		} `json:"roleRef"`
	}
	for namespace := range places {
		list(l, object.RoleBindings, namespace, func(t thing, f fields) {
			if f.RoleRef.Kind == "Role" && !known[t.UID] {
				l.rights = append(l.rights, rights{thing: t, role: f.RoleRef.Name})
			}
		})
	}
}

// bindsListenerRole reports whether the Role that a RoleBinding binds grants what a listener needs, or is
// gone.
func (l *looking) bindsListenerRole(r rights, role string) bool {
	at := object.Object{Resource: object.Roles, Namespace: r.Namespace, Name: role}
	u, err := l.c.Get(l.ctx, at.Resource, at.Namespace, at.Name)
	if apierrors.IsNotFound(err) {
		return true
	}
	var fields struct {
		Rules []arc.Rule `json:"rules"`
	}
	if err == nil {
		err = runtime.DefaultUnstructuredConverter.FromUnstructured(u.Object, &fields)
	}
	return l.read(at.String(), err) && arc.IsListenerRole(fields.Rules)
}
