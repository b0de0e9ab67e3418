package chart

import (
	"fmt"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/api/validation"
	utilvalidation "k8s.io/apimachinery/pkg/util/validation"
	"sigs.k8s.io/yaml"
)

// nasty returns release names that Helm accepts, of up to 53 characters.
func nasty() []string {
	long := strings.Repeat("abcdefghi-", 6)
	out := []string{
		"arc", "a", "0", "a.b", "a-b", "a.b.c", "a-b.c", "a--b", "a-.b", "arc-scale-set", "arc-arc-cleanup", "arc-legacy", "arc-arc-cleanup-scale-set",
		"ci-runners-eu-west-1-production-blue-build-platfor.a1",
		strings.Repeat("a.", 26) + "a", strings.Repeat("a-", 26) + "a", "a" + strings.Repeat("-", 51) + "a",
	}
	// Two of each length around every cut, which differ in the last character; with a
	// dash and with a dot where it may be cut.
	for _, n := range []int{20, 21, 22, 23, 24, 25, 31, 32, 40, 41, 42, 43, 44, 45, 50, 51, 52, 53} {
		out = append(out, long[:n-1]+"x", long[:n-1]+"y", strings.ReplaceAll(long[:n-1], "-", ".")+"x")
	}
	var names []string
	for _, name := range out {
		if IsReleaseName(name) {
			names = append(names, name)
		}
	}
	return names
}

// For every release name that Helm accepts, and in every scope, the objects' names are valid, and no two
// releases share one.
func TestNames(t *testing.T) {
	for _, override := range []string{"", strings.Repeat("n", 31)} {
		owners := map[string]string{}
		for _, name := range nasty() {
			for _, scope := range []string{"controller", "scale-set", "legacy"} {
				release := Release{Name: name, Namespace: "arc-systems"}
				values := map[string]any{"scope": scope, "nameOverride": override, "storageNamespace": "flux-system"}
				hooks, err := Render(release, values)
				if err != nil {
					t.Fatalf("%s, %s: %v", name, scope, err)
				}
				enroller, err := Enroller(release, values, hooks)
				if err != nil {
					t.Fatalf("%s, %s: %v", name, scope, err)
				}
				var objects []Object
				for _, h := range hooks {
					for _, o := range h.Objects {
						objects = append(objects, Object{Kind: o.Kind, Name: o.Name, Manifest: h.Manifest})
					}
				}
				for _, o := range append(objects, enroller...) {
					if problems := invalid(t, o); len(problems) > 0 {
						t.Errorf("%s, %s: %s %q: %v", name, scope, o.Kind, o.Name, problems)
					}
					key, owner := o.Kind+" "+o.Name, name+" "+scope
					if other, taken := owners[key]; taken && other != owner {
						t.Errorf("%s belongs to %s and to %s", key, other, owner)
					}
					owners[key] = owner
				}
			}
		}
	}
}

// invalid returns what Kubernetes' own validation objects to in an object's name and labels.
func invalid(t *testing.T, o Object) (out []string) {
	t.Helper()
	switch o.Kind {
	case "Role", "RoleBinding", "ClusterRole", "ClusterRoleBinding":
		// A segment of a path (k8s.io/kubernetes pkg/apis/rbac/validation).
		if strings.ContainsAny(o.Name, "/%") || strings.Trim(o.Name, ".") == "" {
			out = []string{"no name of a path's segment"}
		}
	case "ServiceAccount":
		out = validation.ValidateServiceAccountName(o.Name, false)
	case "Job":
		// Its Pods' label job-name.
		out = append(validation.NameIsDNSSubdomain(o.Name, false), utilvalidation.IsValidLabelValue(o.Name)...)
	default:
		out = validation.NameIsDNSSubdomain(o.Name, false)
	}
	var object struct {
		Metadata struct{ Labels map[string]string }
	}
	if err := yaml.Unmarshal([]byte(o.Manifest), &object); err != nil { // a List has its items' labels
		t.Fatal(err)
	}
	for key, value := range object.Metadata.Labels {
		for _, problem := range utilvalidation.IsValidLabelValue(value) {
			out = append(out, fmt.Sprintf("label %s: %s", key, problem))
		}
	}
	return out
}

// The names in the documentation, and others.
func TestNamesAre(t *testing.T) {
	tests := map[string]struct {
		release string
		values  map[string]any
		want    string
	}{
		"a controller's":            {"arc", nil, "arc-arc-cleanup"},
		"a scale set's":             {"arc", map[string]any{"scope": "scale-set"}, "arc-arc-cleanup-scale-set"},
		"a legacy controller's":     {"arc", map[string]any{"scope": "legacy"}, "arc-arc-cleanup-legacy"},
		"another word":              {"arc", map[string]any{"nameOverride": "sweep"}, "arc-sweep"},
		"another word, a scale set": {"arc", map[string]any{"nameOverride": "sweep", "scope": "scale-set"}, "arc-sweep-scale-set"},
		"another name":              {"arc", map[string]any{"fullnameOverride": "sweep", "scope": "scale-set"}, "sweep"},
		"a dot":                     {"a.b", nil, "a-b-2e7336dc-arc-cleanup"},
		"the longest that stays":    {strings.Repeat("a", 51), nil, strings.Repeat("a", 51) + "-arc-cleanup"},
		"the shortest that is cut":  {strings.Repeat("a", 52), nil, strings.Repeat("a", 42) + "-6c1b3dc7-arc-cleanup"},
	}
	for name, test := range tests {
		hooks, err := Render(Release{Name: test.release, Namespace: "arc-systems"}, test.values)
		if err != nil {
			t.Fatal(err)
		}
		if got := hooks[len(hooks)-1].Name; got != test.want || len(got) > 63 {
			t.Errorf("%s: %s (%d characters), want %s", name, got, len(got), test.want)
		}
	}
}
