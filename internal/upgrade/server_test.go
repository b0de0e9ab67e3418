package upgrade

import (
	"strings"
	"testing"

	"github.com/arc-cleanup/arc-cleanup/internal/arc"
	"github.com/arc-cleanup/arc-cleanup/internal/kube"
	"github.com/arc-cleanup/arc-cleanup/internal/kube/kubetest"
)

// api is the API server in memory, with objects as tests of this package have them.
type api struct{ *kubetest.Server }

// kubeObject is a Kubernetes object, as a test has it.
type kubeObject = map[string]any

func metadata(o kubeObject) map[string]any { return o["metadata"].(map[string]any) }

// newAPI starts a server with these objects, and the CRDs of those of ARC. Only the ServiceAccount
// arc-systems:arc has a controller's rights.
func newAPI(t *testing.T, objects ...kubeObject) (*api, *kube.Client) {
	t.Helper()
	server, c := kubetest.New(t)
	a := &api{server}
	a.May = map[string]bool{"arc-systems:arc": true}
	for _, o := range objects {
		a.put(o)
	}
	return a, c
}

func (a *api) put(o kubeObject) {
	it := kubetest.Stored(o)[0]
	if crd := it.Resource.GroupResource().String(); it.Resource.Group == arc.Group && a.Get("crd "+crd) == nil {
		a.Put(kubetest.Whole(kubetest.Object("crd " + crd))[0])
	}
	a.Put(it)
}

func (a *api) get(o kubeObject) kubeObject { return a.Get(refOf(o)) }

func (a *api) take(o kubeObject) { a.Take(refOf(o)) }

// refOf is how the server names an object.
func refOf(o kubeObject) string { return kubetest.Ref(kubetest.Stored(o)[0].Object) }

// reviews counts the questions for the rights of ServiceAccounts.
func (a *api) reviews() (n int) {
	a.Mu.Lock()
	defer a.Mu.Unlock()
	for _, r := range a.Reviews {
		if strings.HasPrefix(r, "system:serviceaccount:") {
			n++
		}
	}
	return n
}
