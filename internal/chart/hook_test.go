package chart

import (
	"flag"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "write the golden files")

const chartDir = "../../charts/arc-cleanup"

// TestMain names an image, without which a chart that was not released renders nothing.
func TestMain(m *testing.M) {
	c, err := prepared()
	if err != nil {
		panic(err)
	}
	c.defaults = withImage(c.defaults)
	os.Exit(m.Run())
}

func withImage(values map[string]any) map[string]any {
	return Merge(values, map[string]any{"image": map[string]any{"repository": "registry.example/arc-hookjob"}})
}

var arcRelease = Release{Name: "arc", Namespace: "arc-systems"}

// TestRender renders every variant of the chart's values.
func TestRender(t *testing.T) {
	for name, values := range variants(t) {
		t.Run(name, func(t *testing.T) {
			got := documents(t, values)
			golden(t, name, got)
			if again := documents(t, values); again != got {
				t.Errorf("rendered twice it differs:\n%s", cmp.Diff(got, again))
			}
		})
	}
}

func documents(t *testing.T, values map[string]any) string {
	t.Helper()
	hooks, err := Render(arcRelease, values)
	if err != nil {
		t.Fatal(err)
	}
	var out strings.Builder
	for _, h := range hooks {
		out.WriteString("---\n# Source: " + h.Path + "\n" + h.Manifest + "\n")
	}
	return out.String()
}

// variants returns the values in the chart's folder ci, by file name, but for those with the sweep, which
// only Helm itself can install.
func variants(t *testing.T) map[string]map[string]any {
	t.Helper()
	return maps.Collect(func(yield func(string, map[string]any) bool) {
		for name, values := range allVariants(t) {
			if !strings.HasPrefix(name, "sweep") && !yield(name, values) {
				return
			}
		}
	})
}

// TestTheSweepIsNoHook: neither the post-renderer nor an enrolment can add it.
func TestTheSweepIsNoHook(t *testing.T) {
	for _, name := range []string{"sweep", "sweep-watch"} {
		if _, err := Render(arcRelease, allVariants(t)[name]); err == nil || !strings.Contains(err.Error(), "the post-renderer and enrol add hooks only") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func allVariants(t *testing.T) map[string]map[string]any {
	t.Helper()
	const suffix = "-values.yaml"
	files, err := filepath.Glob(filepath.Join(chartDir, "ci", "*"+suffix))
	if err != nil || len(files) == 0 {
		t.Fatalf("no values in %s/ci: %v", chartDir, err)
	}
	out := map[string]map[string]any{}
	for _, file := range files {
		values, err := Values([]string{file}, nil, nil)
		if err != nil {
			t.Fatal(err)
		}
		out[strings.TrimSuffix(filepath.Base(file), suffix)] = values
	}
	return out
}

func golden(t *testing.T, name, got string) {
	t.Helper()
	file := filepath.Join("testdata", name+".golden.yaml")
	if *update {
		if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("%s differs, run with -update if that is right:\n%s", file, diff)
	}
}

// The defaults are read once, and rendering does not change them.
func TestDefaultsStay(t *testing.T) {
	for name, values := range variants(t) {
		documents(t, values)
		c, err := prepared()
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(fmt.Sprint(withImage(chartValues(t))), fmt.Sprint(c.defaults)); diff != "" {
			t.Fatalf("after %s:\n%s", name, diff)
		}
	}
}

// Every object is a pre-delete hook. The Job is the last: everything else has a lower weight.
func TestRenderOrder(t *testing.T) {
	hooks, err := Render(arcRelease, map[string]any{"watchNamespaces": []any{"runners"}})
	if err != nil {
		t.Fatal(err)
	}
	job := hooks[len(hooks)-1]
	if job.Kind != "Job" {
		t.Errorf("the last hook is a %s, want the Job", job.Kind)
	}
	for i, h := range hooks {
		if diff := cmp.Diff([]string{"pre-delete"}, h.Events); diff != "" {
			t.Errorf("%s %s: %s", h.Kind, h.Name, diff)
		}
		if i < len(hooks)-1 && h.Weight >= job.Weight {
			t.Errorf("%s %s has weight %d, the Job %d", h.Kind, h.Name, h.Weight, job.Weight)
		}
	}
	// Helm creates hooks one after the other. If the namespace rejects the ServiceAccount, no rights are given.
	// Roles come before bindings: only an administrator may bind a role that does not exist yet.
	var kinds []string
	for _, o := range slices.Concat(hooks[0].Objects, hooks[1].Objects) {
		kinds = append(kinds, o.Kind)
	}
	want := []string{"ServiceAccount", "ClusterRole", "Role", "Role", "ClusterRoleBinding", "RoleBinding", "RoleBinding"}
	if diff := cmp.Diff(want, kinds); diff != "" || len(hooks) != 3 || hooks[0].Weight >= hooks[1].Weight {
		t.Errorf("%d hooks, of weights %d and %d, the first two of which have: %s", len(hooks), hooks[0].Weight, hooks[1].Weight, diff)
	}
}

func TestRenderDisabled(t *testing.T) {
	hooks, err := Render(arcRelease, map[string]any{"enabled": false})
	if err != nil || len(hooks) != 0 {
		t.Errorf("got %d hooks, %v", len(hooks), err)
	}
}

func TestRenderRefuses(t *testing.T) {
	tests := map[string]struct {
		release Release
		values  map[string]any
		want    string
	}{
		"no release name": {Release{Namespace: "x"}, nil, `release name ""`},
		"bad name":        {Release{Name: "Arc_1", Namespace: "x"}, nil, `release name "Arc_1"`},
		"unknown key":     {arcRelease, map[string]any{"imag": map[string]any{}}, `chart arc-cleanup: it has no value "imag"`},
		"wrong type":      {arcRelease, map[string]any{"backoffLimit": "3"}, `value "3" of backoffLimit: must be of type integer, and is of type string`},
		"wrong form":      {arcRelease, map[string]any{"policy": map[string]any{"grace": "5x"}}, `value "5x" of policy.grace: must be a time such as 90s, 5m or 1h30m`},
		"wrong word":      {arcRelease, map[string]any{"policy": map[string]any{"scaleSets": "keep"}}, `value "keep" of policy.scaleSets: must be one of refuse, uninstall, delete`},
		"leave, alone":    {arcRelease, map[string]any{"policy": map[string]any{"busyRunners": "leave"}}, `value "leave" of policy.busyRunners: must be one of wait, refuse, force`},
		"leave, legacy":   {arcRelease, map[string]any{"scope": "legacy", "policy": map[string]any{"busyRunners": "leave"}}, `value "leave" of policy.busyRunners: must be one of wait, refuse, force`},
		"legacy releases": {arcRelease, map[string]any{"scope": "legacy", "policy": map[string]any{"scaleSets": "uninstall"}}, `value "uninstall" of policy.scaleSets: must be one of refuse, delete`},
		"no such policy":  {arcRelease, map[string]any{"policy": map[string]any{"github": "remove"}}, `value "remove" of policy.github: must be one of keep, deregister`},
		"legacy, GitHub":  {arcRelease, map[string]any{"scope": "legacy", "policy": map[string]any{"github": "deregister"}}, `value "deregister" of policy.github: must be one of keep`},
		"legacy runners":  {arcRelease, map[string]any{"scope": "legacy", "runnerNamespaces": []any{"ci"}}, `runnerNamespaces must be empty with this scope`},
		"legacy apart":    {arcRelease, map[string]any{"scope": "legacy", "controllerNamespaces": []any{"ci"}}, `controllerNamespaces must be empty with this scope`},
		"a long word":     {arcRelease, map[string]any{"nameOverride": strings.Repeat("a", 32)}, `" of nameOverride: must have at most 31 characters`},
		"no scale set":    {arcRelease, map[string]any{"scaleSetNames": []any{"a/b/c"}}, `value "a/b/c" of scaleSetNames: must match ^(`},
		"no namespace":    {arcRelease, map[string]any{"watchNamespaces": []any{"A"}}, `value "A" of watchNamespaces: must match ^[a-z`},
		"one, no list":    {arcRelease, map[string]any{"watchNamespaces": "ci"}, `value "ci" of watchNamespaces: must be of type array, and is of type string`},
		"a deep key":      {arcRelease, map[string]any{"policy": map[string]any{"gracePeriod": "1m"}}, `policy has no value "gracePeriod"`},
		"a tag":           {arcRelease, map[string]any{"image": map[string]any{"repository": "registry.example/x:0.1.0"}}, `value "registry.example/x:0.1.0" of image.repository: must be the name of an image, without https:// and without a tag`},
		"an address":      {arcRelease, map[string]any{"image": map[string]any{"repository": "https://registry.example/x"}}, `of image.repository: must be the name of an image`},
		"a digest":        {arcRelease, map[string]any{"image": map[string]any{"repository": "registry.example/x@sha256:0"}}, `of image.repository: must be the name of an image`},
		"an empty image":  {arcRelease, map[string]any{"image": map[string]any{"repository": ""}}, `image.repository must not be empty`},
		"a number":        {arcRelease, map[string]any{"policy": map[string]any{"grace": 2}}, `value "2" of policy.grace: must be a time such as 90s, 5m or 1h30m`},
		"no time":         {arcRelease, map[string]any{"policy": map[string]any{"grace": ""}}, `value "" of policy.grace: must be a time`},
		"too small":       {arcRelease, map[string]any{"backoffLimit": -1}, `value -1 of backoffLimit: must be 0 or more`},
		"one twice":       {arcRelease, map[string]any{"watchNamespaces": []any{"a", "a"}}, `watchNamespaces has an item twice`},
		"no name":         {arcRelease, map[string]any{"imagePullSecrets": []any{map[string]any{}}}, `imagePullSecrets needs "name"`},
		"an empty name":   {arcRelease, map[string]any{"imagePullSecrets": []any{map[string]any{"name": ""}}}, `imagePullSecrets.name must not be empty`},
		"template":        {arcRelease, map[string]any{"activeDeadlineSeconds": 301}, "must fit into Helm's timeout"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			hooks, err := Render(test.release, test.values)
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("got %v, want an error with %q", err, test.want)
			}
			if hooks != nil {
				t.Errorf("got hooks with an error")
			}
		})
	}
}
