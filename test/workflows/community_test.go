package workflows

import (
	"os/exec"
	"path"
	"path/filepath"
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

type allowed struct {
	Name string `json:"dependency-name"`
}

// TestDependabot: each module is kept up to date, or has a reason; and each program by its name.
func TestDependabot(t *testing.T) {
	var config struct {
		Updates []struct {
			Ecosystem   string `json:"package-ecosystem"`
			Directories []string
			Allow       []allowed
		}
	}
	if err := yaml.Unmarshal([]byte(read(t, filepath.Join(root, ".github", "dependabot.yml"))), &config); err != nil {
		t.Fatal(err)
	}
	out, err := exec.CommandContext(t.Context(), "git", "-C", root, "ls-files", "go.mod", "*/go.mod").Output()
	if err != nil {
		t.Fatal(err)
	}
	for file := range strings.FieldsSeq(string(out)) {
		dir := path.Clean("/" + path.Dir(file))
		var updated bool
		for _, u := range config.Updates {
			if u.Ecosystem != "gomod" || !slices.Contains(u.Directories, dir) {
				continue
			}
			updated = true
			module := read(t, filepath.Join(root, file))
			if strings.Contains(module, "\ntool ") && !slices.ContainsFunc(u.Allow, func(a allowed) bool { return strings.Contains(module, strings.TrimSuffix(a.Name, "*")) }) {
				t.Errorf("dependabot.yml names no module that %s pins: without a name, Dependabot updates none of a tool", file)
			}
		}
		if _, left := notUpdated[dir]; updated == left {
			t.Errorf("%s: in dependabot.yml: %t, has a reason not to be: %t", dir, updated, left)
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
