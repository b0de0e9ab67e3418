package sweep

import (
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/arc-cleanup/arc-cleanup/internal/object"
)

// namesIn returns the Secrets and ServiceAccounts that a spec names, wherever: as a volume, in the environment,
// to pull images or to reach GitHub, in a Pod or in a template of Pods. Every field whose key speaks of a
// secret counts. So a name too many may be returned, and a Secret be kept.
func namesIn(spec any) (names []string) {
	add := func(value any) {
		if name, is := value.(string); is && name != "" {
			names = append(names, name)
		}
	}
	switch v := spec.(type) {
	case map[string]any:
		for key, value := range v {
			switch key = strings.ToLower(key); {
			case strings.HasPrefix(key, "serviceaccount"):
				add(value)
			case strings.Contains(key, "secret"):
				add(value)
				elements, _ := value.([]any)
				for _, element := range append(elements, value) {
					if of, is := element.(map[string]any); is {
						add(of["name"])
					}
				}
			}
			names = append(names, namesIn(value)...)
		}
	case []any:
		for _, element := range v {
			names = append(names, namesIn(element)...)
		}
	}
	return names
}

// needy returns the namespaces in which something is to be freed. Only there it matters what is in use.
func (f *facts) needy() map[string]bool {
	needy := map[string]bool{}
	for _, t := range f.others {
		needy[t.Namespace] = true
	}
	for _, r := range f.rights {
		needy[r.Namespace] = needy[r.Namespace] || r.Deleting && len(protections(r.thing)) > 0
	}
	return needy
}

// readPods reads the Pods that run, or may still run, where a Secret or a ServiceAccount is to be freed.
func (l *looking) readPods() {
	places := map[string]bool{}
	for _, t := range l.others {
		places[t.Namespace] = true
	}
	for namespace := range places {
		err := l.c.EachPage(l.ctx, object.Pods, namespace, "", func(page []unstructured.Unstructured) error {
			for _, u := range page {
				switch phase, _, _ := unstructured.NestedString(u.Object, "status", "phase"); phase {
				case "Succeeded", "Failed":
				default:
					l.pods = append(l.pods, pod{namespace: namespace, name: u.GetName(), uses: namesIn(u.Object["spec"])})
				}
			}
			return nil
		})
		l.read(object.Pods.GroupResource().String(), err)
	}
}

// readNamespaces notes which namespaces in scope do not exist. It asks only about those without anything of ARC:
// a CronJob that is confined to namespaces may not ask.
func (l *looking) readNamespaces() {
	there := map[string]bool{}
	for _, s := range l.sets {
		there[s.Namespace] = true
	}
	for _, r := range l.rights {
		there[r.Namespace] = true
	}
	for _, namespace := range l.scope.Namespaces {
		if there[namespace] {
			continue
		}
		switch _, err := l.c.GetMetadata(l.ctx, object.Namespaces, "", namespace); {
		case apierrors.IsNotFound(err):
			l.absent = append(l.absent, namespace)
		case apierrors.IsForbidden(err):
		default:
			l.read("the namespace "+namespace, err)
		}
	}
}
