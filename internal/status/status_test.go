package status

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/arc-cleanup/arc-cleanup/internal/helm"
)

// An object that a tenant has labelled or broken hides nothing else, and makes nothing else uncertain.
func TestOneBadRecord(t *testing.T) {
	t.Parallel()
	good := record{name: "arc", namespace: "ns", status: helm.Deployed, manifest: set}
	tests := map[string]struct {
		bad  record
		fail map[string]int
		want string
		err  bool
	}{
		"unreadable": {record{name: "bad", namespace: "tenant", status: helm.Deployed, broken: true}, nil, "not in Helm's format", false},
		"no YAML":    {record{name: "bad", namespace: "tenant", status: helm.Deployed, manifest: set + "---\nkind: [\n"}, nil, "the manifest of release bad in namespace tenant", false},
		"forbidden":  {record{name: "bad", namespace: "tenant", status: helm.Deployed}, map[string]int{"GET secret tenant/sh.helm.release.v1.bad.v1": 403}, "reading secrets/sh.helm.release.v1.bad.v1 in namespace tenant", true},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d, err := Read(t.Context(), serve(t, test.fail, test.bad, good), Query{Options: options})
			if (err != nil) != test.err || len(d.Unknown) != 1 || !strings.Contains(d.Unknown[0], test.want) {
				t.Errorf("%v, unknown: %v", err, d.Unknown)
			}
			if len(d.Releases) != 1 || d.Releases[0].Name != "arc" {
				t.Errorf("%+v", d.Releases)
			}
		})
	}
	t.Run("not to be listed", func(t *testing.T) {
		t.Parallel()
		d, err := Read(t.Context(), serve(t, map[string]int{"LIST secret": 403}, good), Query{Options: options})
		if err == nil || len(d.Releases) != 0 || !slices.ContainsFunc(d.Unknown, func(u string) bool { return strings.HasPrefix(u, "listing secrets in all namespaces") }) {
			t.Errorf("%+v, %v", d, err)
		}
	})
}

func TestQuery(t *testing.T) {
	t.Parallel()
	c := serve(t, nil,
		record{name: "b", namespace: "ns", status: helm.Deployed, manifest: set},
		record{name: "a", namespace: "ns", status: helm.Deployed, manifest: set},
		record{name: "a", namespace: "other", status: helm.Deployed, manifest: set},
		record{name: "web", namespace: "other", status: helm.Deployed, manifest: "kind: Pod\n"},
	)
	for q, want := range map[[2]string][]string{
		{"", ""}:    {"ns/a", "ns/b", "other/a"},
		{"ns", ""}:  {"ns/a", "ns/b"},
		{"", "a"}:   {"ns/a", "other/a"},
		{"ns", "a"}: {"ns/a"},
	} {
		d, err := Read(t.Context(), c, Query{Namespace: q[0], Release: q[1], Options: options})
		var got []string
		for _, r := range d.Releases {
			got = append(got, r.Namespace+"/"+r.Name)
		}
		if diff := cmp.Diff(want, got); diff != "" || err != nil {
			t.Errorf("%v %s", err, diff)
		}
	}
}

// A kind that cannot be listed does not count as absent.
func TestNotToBeListed(t *testing.T) {
	t.Parallel()
	for request, want := range map[string]string{
		"LIST ars":  "listing autoscalingrunnersets.actions.github.com in all namespaces: ",
		"LIST er":   "listing ephemeralrunners.actions.github.com in all namespaces",
		"LIST ns":   "listing namespaces",
		"LIST role": "could not read roles.rbac.authorization.k8s.io",
	} {
		d, err := Read(t.Context(), serve(t, map[string]int{request: 403}), Query{Options: options})
		if err == nil || !slices.ContainsFunc(d.Unknown, func(u string) bool { return strings.HasPrefix(u, want) }) {
			t.Errorf("%s: %v, %v", request, d.Unknown, err)
		}
	}
}

// A scale set is a release's when it names it, and the record in that release's
// namespace has it. One of the two alone proves nothing.
func TestAReleaseIsNamedWhereItsRecordHasTheSet(t *testing.T) {
	t.Parallel()
	names := func(name, namespace, release, of string) map[string]any {
		return map[string]any{"kind": "AutoscalingRunnerSet", "apiVersion": "actions.github.com/v1alpha1", "metadata": map[string]any{
			"name": name, "namespace": namespace, "uid": namespace + name,
			"annotations": map[string]any{"meta.helm.sh/release-name": release, "meta.helm.sh/release-namespace": of},
		}}
	}
	elsewhere := strings.Replace(set, "name: set", "name: set, namespace: tenant", 1)
	c := serveMore(t, nil, []map[string]any{
		names("set", "ns", "rel", "ns"),
		names("set", "tenant", "payments", "payments"), // no record of payments has it
		names("old", "tenant", "rel", "ns"),            // nor has the one of rel
		names("set", "flux", "stored", "flux"),         // anybody might store one anywhere
		names("set", "gone", "uninstalled", "gone"),
		names("set", "mute", "", ""),
	},
		record{name: "rel", namespace: "ns", status: helm.Deployed, manifest: set},
		record{name: "payments", namespace: "payments", storage: "tenant", status: helm.Deployed, manifest: elsewhere},
		record{name: "claims", namespace: "tenant", status: helm.Deployed, manifest: elsewhere},
		record{name: "stored", namespace: "flux", storage: "flux-system", status: helm.Deployed, manifest: set},
		record{name: "uninstalled", namespace: "gone", status: helm.Uninstalled, manifest: set},
		record{name: "mute", namespace: "mute", status: helm.Deployed, manifest: set},
	)
	d, err := Read(t.Context(), c, Query{Options: options})
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]string{}
	for _, s := range d.ScaleSets {
		got[s.Namespace+"/"+s.Name] = s.ReleaseNamespace + "/" + s.Release
	}
	if diff := cmp.Diff(map[string]string{
		"ns/set": "ns/rel", "tenant/set": "/", "tenant/old": "/", "flux/set": "/", "gone/set": "/", "mute/set": "/",
	}, got); diff != "" {
		t.Error(diff)
	}
}
