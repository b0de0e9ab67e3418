// Package kubetest is an API server in memory, for the errors that a real one does not
// produce on demand, and short names for the objects in it.
package kubetest

import (
	"encoding/json"
	"fmt"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"

	"github.com/arc-cleanup/arc-cleanup/internal/arc"
	"github.com/arc-cleanup/arc-cleanup/internal/kube"
	"github.com/arc-cleanup/arc-cleanup/internal/object"
)

// Server is an API server in memory, as far as finalizers, deletion, UIDs, watches
// and CRDs go.
type Server struct {
	Mu      sync.Mutex
	version int
	Objects map[string]*Item
	Streams map[chan string]Stream
	Writes  []string

	// Fault may answer a request ("DELETE er runners/a") instead of the server.
	Fault func(request string) (status int)
	// Denied holds the writes ("patch secrets") an access review says no to.
	Denied map[string]bool
	// Says holds what admission answers to a request ("DELETE er runners/a"), dry or not,
	// and only dry ("DRY DELETE er runners/a"), with the code of a policy.
	Says map[string]string
	// Claimed holds the resources that are served, by what the server says of itself.
	Claimed map[string]bool
	// Unknown are resources of a group that are served, and which nobody here knows.
	Unknown map[string][]string
	// React is called, without the lock, after each write.
	React func(a *Server, request string)
}

type Stream struct{ short, namespace string }

func New(t *testing.T, items ...Item) (*Server, *kube.Client) {
	t.Helper()
	a := &Server{Objects: map[string]*Item{}, Streams: map[chan string]Stream{}}
	for _, it := range items {
		a.Put(it)
	}
	server := httptest.NewServer(a)
	t.Cleanup(func() {
		server.CloseClientConnections()
		server.Close()
	})
	c, err := kube.New(&rest.Config{Host: server.URL})
	if err != nil {
		t.Fatal(err)
	}
	return a, c
}

func (a *Server) Put(it Item) {
	a.Mu.Lock()
	defer a.Mu.Unlock()
	a.Objects[Ref(it.Object)] = &it
	a.changed(&it, "ADDED")
}

// Take removes objects, as a controller or the garbage collector would.
func (a *Server) Take(refs ...string) {
	a.Mu.Lock()
	defer a.Mu.Unlock()
	for _, r := range refs {
		if it := a.Objects[r]; it != nil {
			it.Finalizers = nil
			a.delete(it)
		}
	}
}

// Claim says which resources are served, whether there are CRDs or not.
func (a *Server) Claim(resources ...string) {
	a.Mu.Lock()
	defer a.Mu.Unlock()
	a.Claimed = map[string]bool{}
	for _, r := range resources {
		a.Claimed[r] = true
	}
}

// Left names what there is, CRDs apart.
func (a *Server) Left() (out []string) {
	a.Mu.Lock()
	defer a.Mu.Unlock()
	for r := range a.Objects {
		out = append(out, r)
	}
	slices.Sort(out)
	return out
}

func (a *Server) Written() []string {
	a.Mu.Lock()
	defer a.Mu.Unlock()
	out := slices.Clone(a.Writes)
	slices.Sort(out)
	return out
}

// InOrder are the writes as they came.
func (a *Server) InOrder() []string {
	a.Mu.Lock()
	defer a.Mu.Unlock()
	return slices.Clone(a.Writes)
}

// served reports whether the API server knows the resource.
func (a *Server) served(s string) bool {
	if group := Short[s].Group; group != arc.Group && group != arc.LegacyGroup {
		return true
	}
	return a.Objects["crd "+Short[s].GroupResource().String()] != nil
}

// delete removes what no finalizer holds, and marks the rest; with the lock.
func (a *Server) delete(it *Item) {
	name := Ref(it.Object)
	if it.Resource == object.CRDs {
		for _, r := range slices.Sorted(keys(a.Objects)) {
			if o := a.Objects[r]; o != nil && o.Resource.GroupResource().String() == it.Name {
				a.delete(o)
			}
		}
		for _, o := range a.Objects {
			if o.Resource.GroupResource().String() == it.Name {
				it.Finalizers = []string{"customresourcecleanup.apiextensions.k8s.io"}
				break
			}
		}
	}
	if len(it.Finalizers) > 0 {
		if it.Deleted == nil {
			now := metav1.Now()
			it.Deleted = &now
			a.changed(it, "MODIFIED")
		}
		return
	}
	delete(a.Objects, name)
	a.changed(it, "DELETED")
	// The CRD goes with the last of its objects.
	if crd := a.Objects["crd "+it.Resource.GroupResource().String()]; crd != nil && crd.Deleted != nil {
		crd.Finalizers = nil
		a.delete(crd)
	}
}

func keys(m map[string]*Item) func(func(string) bool) {
	return func(yield func(string) bool) {
		for k := range m {
			if !yield(k) {
				return
			}
		}
	}
}

// changed tells whoever watches; with the lock.
func (a *Server) changed(it *Item, kind string) {
	a.version++
	for c, s := range a.Streams {
		if Short[s.short] == it.Resource && (s.namespace == "" || s.namespace == it.Namespace) {
			body, _ := json.Marshal(map[string]any{"type": kind, "object": a.json(it, true)})
			c <- string(body)
		}
	}
}

func (a *Server) json(it *Item, onlyMetadata bool) map[string]any {
	m := metav1.ObjectMeta{
		Name: it.Name, Namespace: it.Namespace, UID: it.UID, Labels: it.Labels, Annotations: it.Annotations,
		OwnerReferences: it.Owners, Finalizers: it.Finalizers, DeletionTimestamp: it.Deleted, ResourceVersion: fmt.Sprint(a.version),
	}
	if onlyMetadata {
		return map[string]any{"apiVersion": "meta.k8s.io/v1", "kind": "PartialObjectMetadata", "metadata": m}
	}
	out := map[string]any{"apiVersion": it.Resource.GroupVersion().String(), "kind": "Kind", "metadata": m}
	for k, v := range it.Rest {
		out[k] = v
	}
	return out
}

// Parse reads /apis/GROUP/VERSION/namespaces/NS/RESOURCE/NAME.
func Parse(path string) (s, namespace, name string) {
	parts := strings.Split(strings.TrimPrefix(path, "/"), "/")
	group := ""
	if parts[0] == "apis" {
		group, parts = parts[1], parts[3:]
	} else {
		parts = parts[2:]
	}
	if parts[0] == "namespaces" && len(parts) > 2 {
		namespace, parts = parts[1], parts[2:]
	}
	for candidate, gvr := range Short {
		if gvr.Group == group && gvr.Resource == parts[0] {
			s = candidate
		}
	}
	if len(parts) > 1 {
		name = parts[1]
	}
	return s, namespace, name
}
