package release

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/arc-cleanup/arc-cleanup/internal/helm"

	helm3 "helm.sh/helm/v3/pkg/release"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

func TestByHookJob(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		records []*helm3.Release
		want    string // release and revision
		err     string
	}{
		"the release with the Job": {[]*helm3.Release{
			revision("a", 1, helm3.StatusDeployed, "a-hook"), revision("b", 1, helm3.StatusUninstalling, "b-hook", "hook"),
		}, "b 1", ""},
		"an uninstalling release whose hook Job has another name is no proof": {[]*helm3.Release{
			revision("a", 1, helm3.StatusUninstalling, "another"),
		}, "", `no Helm release found: none in namespace "ns" has a hook Job "hook"`},
		"nor beside the one that is meant": {[]*helm3.Release{
			revision("a", 1, helm3.StatusUninstalling, "another"), revision("b", 1, helm3.StatusDeployed, "hook"), revision("c", 1, helm3.StatusUninstalling, "another"),
		}, "b 1", ""},
		"a rollback copies hooks": {[]*helm3.Release{
			revision("a", 1, helm3.StatusSuperseded, "hook"), revision("a", 2, helm3.StatusSuperseded), revision("a", 3, helm3.StatusUninstalling, "hook"),
		}, "a 3", ""},
		"only the newest revision counts": {[]*helm3.Release{
			revision("a", 1, helm3.StatusUninstalling, "hook"), revision("a", 2, helm3.StatusDeployed),
		}, "", `no Helm release found: none in namespace "ns" has a hook Job "hook"`},
		"an uninstalling release wins": {[]*helm3.Release{
			revision("a", 1, helm3.StatusDeployed, "hook"), revision("b", 1, helm3.StatusUninstalling, "hook"), revision("c", 1, helm3.StatusDeployed, "hook"),
		}, "b 1", ""},
		"of those that are not, the first": {[]*helm3.Release{
			revision("a", 1, helm3.StatusDeployed, "hook"), revision("b", 1, helm3.StatusFailed, "hook"),
		}, "a 1", ""},
		"two that are being uninstalled": {[]*helm3.Release{
			revision("a", 1, helm3.StatusUninstalling, "hook"), revision("b", 1, helm3.StatusDeployed, "hook"), revision("c", 4, helm3.StatusUninstalling, "hook"),
		}, "", `more than one Helm release: a (secrets/sh.helm.release.v1.a.v1 in namespace ns) and c (secrets/sh.helm.release.v1.c.v4 in namespace ns) are being uninstalled in namespace "ns", and each has a hook Job "hook"`},
		"a hook of another kind": {[]*helm3.Release{
			{Name: "a", Namespace: "ns", Version: 1, Info: &helm3.Info{Status: helm3.StatusUninstalling}, Hooks: []*helm3.Hook{{Name: "hook", Kind: "Pod"}}},
		}, "", "no Helm release found"},
		"no release": {nil, "", "no Helm release found"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var records []*unstructured.Unstructured
			for _, r := range test.records {
				records = append(records, secret(r))
			}
			_, c := serve(t, records...)
			r, err := ByHookJob(t.Context(), c, here, "hook")
			check(t, err, test.err)
			if errors.Is(err, ErrAmbiguous) != strings.HasPrefix(name, "two") {
				t.Errorf("error %v", err)
			}
			got := ""
			if r != nil {
				if r.Manifest != "" || len(r.Hooks) > 0 {
					t.Error("a record kept beside others keeps its texts")
				}
				got = fmt.Sprintf("%s %d", r.Name, r.Revision)
			}
			if got != test.want {
				t.Errorf("got %q, want %q", got, test.want)
			}
		})
	}
}

// Somebody else's record that nobody can read blocks no uninstall, unless it may be
// the one in question: one that is being uninstalled.
func TestUnreadable(t *testing.T) {
	t.Parallel()
	broken := func(status helm3.Status) *unstructured.Unstructured {
		return secret(revision("broken", 1, status, "hook"), data("!"))
	}
	mine := secret(revision("mine", 1, helm3.StatusUninstalling, "hook"))
	_, c := serve(t, broken(helm3.StatusDeployed), mine)
	if r, err := ByHookJob(t.Context(), c, here, "hook"); err != nil || r.Name != "mine" {
		t.Errorf("got %v, %v", r, err)
	}
	_, c = serve(t, broken(helm3.StatusUninstalling), mine)
	if _, err := ByHookJob(t.Context(), c, here, "hook"); !errors.Is(err, ErrUnreadable) {
		t.Errorf("got %v", err)
	}
	if _, err := Get(t.Context(), c, here, "broken"); !errors.Is(err, ErrUnreadable) {
		t.Errorf("Get: %v", err)
	}
	n := 0
	if err := Each(t.Context(), c, "", "", func(r *helm.Record, err error) {
		if n++; (err != nil) == (r != nil) || err != nil && !errors.Is(err, ErrUnreadable) {
			t.Errorf("got %v, %v", r, err)
		}
	}); err != nil || n != 2 {
		t.Errorf("Each: %d, %v", n, err)
	}
}

// Any of a release's records can prove that it installed an object, as long as Helm wrote the record. A record
// that may not be read proves nothing.
func TestInstalling(t *testing.T) {
	t.Parallel()
	isSet := func(o helm.Object) bool { return o.Name == "set" }
	deployed := secret(revision("arc", 1, helm3.StatusDeployed))
	inConfigMap := configMap(revision("arc", 1, helm3.StatusDeployed))
	tests := map[string]struct {
		objects []*unstructured.Unstructured
		fail    map[string]int
		is      func(helm.Object) bool
		want    bool
	}{
		"in a Secret":                         {[]*unstructured.Unstructured{deployed}, nil, isSet, true},
		"in a ConfigMap":                      {[]*unstructured.Unstructured{inConfigMap}, nil, isSet, true},
		"another object":                      {[]*unstructured.Unstructured{deployed}, nil, func(o helm.Object) bool { return o.Name == "web" }, false},
		"another release":                     {[]*unstructured.Unstructured{secret(revision("web", 1, helm3.StatusDeployed))}, nil, isSet, false},
		"uninstalled":                         {[]*unstructured.Unstructured{secret(revision("arc", 1, helm3.StatusUninstalled))}, nil, isSet, false},
		"of another namespace":                {[]*unstructured.Unstructured{secret(&helm3.Release{Name: "arc", Namespace: "other", Version: 1, Info: &helm3.Info{Status: helm3.StatusDeployed}, Manifest: manifest}, in("ns"))}, nil, isSet, false},
		"not to be read":                      {[]*unstructured.Unstructured{deployed}, map[string]int{"GET secret ns/sh.helm.release.v1.arc.v1": http.StatusForbidden}, isSet, false},
		"Secrets not to be listed":            {[]*unstructured.Unstructured{inConfigMap}, map[string]int{"LIST secret ns": http.StatusForbidden}, isSet, true},
		"Secrets alone, and not to be listed": {[]*unstructured.Unstructured{deployed}, map[string]int{"LIST secret ns": http.StatusForbidden}, isSet, false},
		"none":                                {nil, nil, isSet, false},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s, c := serve(t, test.objects...)
			s.fail(test.fail)
			if got := Installing(t.Context(), c, here, "arc", test.is) != nil; got != test.want {
				t.Errorf("got %t", got)
			}
		})
	}
}
