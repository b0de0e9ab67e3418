package workflows

import (
	"os/exec"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"sigs.k8s.io/yaml"
)

// notUpdated are modules that Dependabot leaves alone, each with the reason.
var notUpdated = map[string]string{
	"/test/cluster/modules/arc":             "its charts and its controller have to be of one version, which test/cluster says",
	"/test/cluster/modules/argocd":          "with Kubernetes of the version that Argo CD is released with, by replace directives, which Dependabot does not write",
	"/test/cluster/modules/helm-controller": "with Helm and Kubernetes of the versions that Flux releases it with",
	"/test/cluster/modules/kubernetes-1.34": "an old version on purpose",
}

type update struct {
	Ecosystem   string `json:"package-ecosystem"`
	Directories []string
	Schedule    struct{ Interval string }
	Allow       []struct {
		Name string `json:"dependency-name"`
	}
}

// allows reports whether an update raises a package, which it names, or whose module.
func (u *update) allows(pkg string) bool {
	for _, a := range u.Allow {
		if module := strings.TrimSuffix(a.Name, "/*"); pkg == module || strings.HasPrefix(pkg, module+"/") {
			return true
		}
	}
	return len(u.Allow) == 0
}

// pins are the tools of a module, and the modules that it requires itself.
func pins(module string) (out []string) {
	for _, directive := range []string{"tool", "require"} {
		for _, m := range regexp.MustCompile(`(?ms)^`+directive+` (?:\((.*?)^\)|([^\n(]+)$)`).FindAllStringSubmatch(module, -1) {
			for line := range strings.Lines(m[1] + m[2]) {
				if name := strings.Fields(line); len(name) > 0 && !strings.Contains(line, "// indirect") {
					out = append(out, name[0])
				}
			}
		}
	}
	return out
}

// updates are those of dependabot.yml for an ecosystem.
func updates(t *testing.T, ecosystem string) []update {
	t.Helper()
	var config struct{ Updates []update }
	if err := yaml.Unmarshal([]byte(read(t, filepath.Join(root, ".github", "dependabot.yml"))), &config); err != nil {
		t.Fatal(err)
	}
	out := slices.DeleteFunc(config.Updates, func(u update) bool { return u.Ecosystem != ecosystem })
	if len(out) == 0 || slices.ContainsFunc(out, func(u update) bool { return u.Schedule.Interval != "weekly" }) {
		t.Errorf("dependabot.yml for %s: %+v", ecosystem, out)
	}
	return out
}

// TestDependabot: each module is kept up to date, or has a reason; and each program by its name.
func TestDependabot(t *testing.T) {
	gomod := updates(t, "gomod")
	out, err := exec.CommandContext(t.Context(), "git", "-C", root, "ls-files", "go.mod", "*/go.mod").Output()
	if err != nil {
		t.Fatal(err)
	}
	for file := range strings.FieldsSeq(string(out)) {
		dir := path.Clean("/" + path.Dir(file))
		i := slices.IndexFunc(gomod, func(u update) bool { return slices.Contains(u.Directories, dir) })
		if _, left := notUpdated[dir]; (i >= 0) == left {
			t.Errorf("%s: in dependabot.yml: %t, has a reason not to be: %t", dir, i >= 0, left)
		}
		if i < 0 {
			continue
		}
		pinned := pins(read(t, filepath.Join(root, file)))
		if len(pinned) == 0 {
			t.Errorf("%s: pins nothing", file)
		}
		for _, pkg := range pinned {
			if !gomod[i].allows(pkg) {
				t.Errorf("dependabot.yml does not name the module of %s, which %s pins: without a name, Dependabot updates none of a tool", pkg, file)
			}
		}
	}
}

// TestDependabotActions: the workflows' actions, and those of this repository's own actions.
func TestDependabotActions(t *testing.T) {
	u := updates(t, "github-actions")[0]
	for file := range all(t) {
		dir := "/" // stands for .github/workflows
		if filepath.Base(file) == "action.yml" {
			dir = "/" + strings.TrimPrefix(path.Dir(file), root+"/")
		}
		if !slices.ContainsFunc(u.Directories, func(d string) bool { ok, err := path.Match(d, dir); return ok && err == nil }) {
			t.Errorf("dependabot.yml does not look at the actions that %s uses: %q", file, u.Directories)
		}
	}
}

// TestIssueForms: they are what GitHub takes, and ask for what helps.
func TestIssueForms(t *testing.T) {
	files, err := filepath.Glob(filepath.Join(root, ".github", "ISSUE_TEMPLATE", "*.yml"))
	if err != nil || len(files) < 3 {
		t.Fatalf("%v, %v", files, err)
	}
	for _, file := range files {
		if filepath.Base(file) == "config.yml" {
			continue
		}
		var form struct {
			Name, Description string
			Labels            []string
			Body              []struct {
				Type, ID   string
				Attributes struct {
					Label, Description, Value, Render string
					Options                           []string
				}
				Validations struct{ Required bool }
			}
		}
		text := read(t, file)
		if err := yaml.UnmarshalStrict([]byte(text), &form); err != nil {
			t.Errorf("%s: %v", file, err)
		}
		var ids []string
		for _, field := range form.Body {
			a := field.Attributes
			switch field.Type {
			case "markdown":
				if a.Value == "" {
					t.Errorf("%s: a text without a value", file)
				}
				continue
			case "textarea", "input":
			case "dropdown":
				if len(a.Options) < 2 {
					t.Errorf("%s: %s has no options", file, field.ID)
				}
			default:
				t.Errorf("%s: no field is of type %q", file, field.Type)
			}
			if field.ID == "" || slices.Contains(ids, field.ID) || a.Label == "" {
				t.Errorf("%s: want an ID of its own, and a label: %+v", file, field)
			}
			ids = append(ids, field.ID)
		}
		if form.Name == "" || form.Description == "" || !strings.Contains(text, "`arc-cleanup status --all-namespaces --output json`") {
			t.Errorf("%s: no name, no description, or it does not ask for the status", file)
		}
	}
}
