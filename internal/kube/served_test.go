package kube

import (
	"net/http"
	"testing"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// discovered answers by path; anything else is not found.
type discovered map[string]reply

func (d discovered) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if answer, ok := d[r.URL.Path]; ok {
		respond(w, answer)
		return
	}
	respond(w, notFound)
}

func TestServed(t *testing.T) {
	t.Parallel()
	const group = "/apis/example.com"
	versions := func(names ...string) reply {
		g := metav1.APIGroup{Name: "example.com"}
		for _, v := range names {
			g.Versions = append(g.Versions, metav1.GroupVersionForDiscovery{GroupVersion: "example.com/" + v, Version: v})
		}
		return reply{code: http.StatusOK, body: g}
	}
	resources := func(names ...string) reply {
		var l metav1.APIResourceList
		for _, name := range names {
			l.APIResources = append(l.APIResources, metav1.APIResource{Name: name})
		}
		return reply{code: http.StatusOK, body: l}
	}
	tests := map[string]struct {
		replies discovered
		served  map[string][]string
		want    string // in the error
	}{
		"no such group": {nil, nil, ""},
		"each in its versions": {
			discovered{group: versions("v2", "v1"), group + "/v2": resources("things"), group + "/v1": resources("things", "others")},
			map[string][]string{"things": {"v2", "v1"}, "others": {"v1"}},
			"",
		},
		"a version that has just gone": {
			discovered{group: versions("v2", "v1"), group + "/v1": resources("things")}, map[string][]string{"things": {"v1"}}, "",
		},
		"a group that may not be asked for":   {discovered{group: forbidden}, nil, "asking the API server for /apis/example.com: "},
		"a version that may not be asked for": {discovered{group: versions("v1"), group + "/v1": forbidden}, nil, "asking the API server for /apis/example.com/v1: "},
		"an answer that is no JSON":           {discovered{group: {code: http.StatusOK, body: "x"}}, nil, "asking the API server for /apis/example.com: json: "},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			served, err := connect(t, test.replies).Served(t.Context(), "example.com")
			check(t, err, test.want)
			if diff := cmp.Diff(test.served, served); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func TestResourceOf(t *testing.T) {
	t.Parallel()
	replies := discovered{
		"/api/v1":              {code: http.StatusOK, body: metav1.APIResourceList{APIResources: []metav1.APIResource{{Name: "pods/status", Kind: "Pod"}, {Name: "pods", Kind: "Pod", Namespaced: true}}}},
		"/apis/example.com/v1": {code: http.StatusOK, body: metav1.APIResourceList{APIResources: []metav1.APIResource{{Name: "things", Kind: "Thing"}}}},
		"/apis/example.com/v2": forbidden,
	}
	tests := map[string]struct {
		apiVersion, kind, resource string
		namespaced                 bool
		want                       string // in the error
	}{
		"of the core":          {"v1", "Pod", "pods", true, ""},
		"of a group":           {"example.com/v1", "Thing", "things", false, ""},
		"an unknown kind":      {"example.com/v1", "Other", "", false, ""},
		"a version not served": {"example.com/v3", "Thing", "", false, ""},
		"an invalid version":   {"a/b/c", "Thing", "", false, ""},
		"what cannot be asked": {"example.com/v2", "Thing", "", false, "asking the API server for /apis/example.com/v2"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			gvr, namespaced, err := connect(t, replies).ResourceOf(t.Context(), test.apiVersion, test.kind)
			check(t, err, test.want)
			if gvr.Resource != test.resource || namespaced != test.namespaced {
				t.Errorf("%v, %v", gvr, namespaced)
			}
		})
	}
}
