// Package kubetest is an API server in memory, for errors that a real one does not produce on
// demand, with short names for its objects.
package kubetest

import (
	"encoding/json"
	"fmt"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"

	"github.com/arc-cleanup/arc-cleanup/internal/arc"
	"github.com/arc-cleanup/arc-cleanup/internal/kube"
	"github.com/arc-cleanup/arc-cleanup/internal/object"
)

// Server is an API server in memory. It implements finalizers, deletion, UIDs, watches and CRDs.
type Server struct {
	Mu      sync.Mutex
	version int
	Objects map[string]*Item
	Streams map[chan string]Stream
	Writes  []string
	Reads   []string // "GET secret ns/a", "LIST secret ns", "WATCH pod ns", with selectors
	Reviews []string // the rights that were asked for
	// URL is where the server listens.
	URL string
	// PageSize is the largest number of objects of a page of a list, which then has to be asked for in
	// pages. Without it, a list is one page.
	PageSize int

	// Ahead is how far the server's clock is ahead of the client's.
	Ahead time.Duration

	// Fault may answer a request ("DELETE er runners/a") in place of the server.
	Fault func(request string) (status int)
	// DeniedRights holds the writes ("patch secrets") that an access review denies.
	DeniedRights map[string]bool
	// May holds the ServiceAccounts ("ns:name") that have every right. Without it, all have.
	May map[string]bool
	// Admission holds the messages with which a policy rejects a request ("DELETE er runners/a"),
	// dry-run or not, or only its dry run ("DRY DELETE er runners/a").
	Admission map[string]string
	// Claimed holds the resources that discovery names, whether or not the server knows them.
	Claimed map[string]bool
	// Unknown holds further resources that discovery names, by group.
	Unknown map[string][]string
	// React is called after each write, without the lock.
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
	a.URL = server.URL
	c, err := kube.New(&rest.Config{Host: server.URL})
	if err != nil {
		t.Fatal(err)
	}
	return a, c
}

func (a *Server) Put(it Item) {
	a.Mu.Lock()
	defer a.Mu.Unlock()
	event := "ADDED"
	if a.Objects[Ref(it.Object)] != nil {
		event = "MODIFIED"
	}
	a.Objects[Ref(it.Object)] = &it
	a.changed(&it, event)
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

// ClaimServed makes discovery name these resources, whether or not they have CRDs.
func (a *Server) ClaimServed(resources ...string) {
	a.Mu.Lock()
	defer a.Mu.Unlock()
	a.Claimed = map[string]bool{}
	for _, r := range resources {
		a.Claimed[r] = true
	}
}

// Get returns an object as the API has it, or nil.
func (a *Server) Get(ref string) map[string]any {
	a.Mu.Lock()
	defer a.Mu.Unlock()
	it := a.Objects[ref]
	if it == nil {
		return nil
	}
	data, _ := json.Marshal(a.json(it, false))
	var out map[string]any
	_ = json.Unmarshal(data, &out)
	return out
}

// EndWatches ends every watch; clients have to start new ones.
func (a *Server) EndWatches() {
	a.Mu.Lock()
	defer a.Mu.Unlock()
	for events := range a.Streams {
		close(events)
	}
	clear(a.Streams)
}

// Left returns the references of all objects except CRDs.
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

// InOrder returns the writes in the order of their arrival.
func (a *Server) InOrder() []string {
	a.Mu.Lock()
	defer a.Mu.Unlock()
	return slices.Clone(a.Writes)
}

// served reports whether the server knows the resource.
func (a *Server) served(s string) bool {
	if group := Short[s].Group; group != arc.Group && group != arc.LegacyGroup {
		return true
	}
	return a.Objects["crd "+Short[s].GroupResource().String()] != nil
}

// delete removes an object without finalizers, and marks any other. It needs the lock.
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
	// A CRD that is being deleted is removed with the last of its objects.
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

// changed sends an event to the watches. It needs the lock.
func (a *Server) changed(it *Item, kind string) {
	a.version++
	it.version = a.version
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
		OwnerReferences: it.Owners, Finalizers: it.Finalizers, DeletionTimestamp: it.Deleted, ResourceVersion: fmt.Sprint(it.version),
		CreationTimestamp: it.Created,
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

// Parse parses /apis/GROUP/VERSION/namespaces/NS/RESOURCE/NAME/SUBRESOURCE.
func Parse(path string) (s, namespace, name, sub string) {
	parts := strings.Split(strings.TrimPrefix(path, "/"), "/")
	group := ""
	switch {
	case parts[0] == "apis" && len(parts) > 3:
		group, parts = parts[1], parts[3:]
	case parts[0] == "api" && len(parts) > 2:
		parts = parts[2:]
	default:
		return "", "", "", ""
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
	if len(parts) > 2 {
		sub = parts[2]
	}
	return s, namespace, name, sub
}
