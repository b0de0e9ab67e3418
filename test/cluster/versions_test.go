package cluster

import (
	"maps"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// TestReadmeNamesTheVersions: the README says with which versions the tests run, and the modules pin them.
func TestReadmeNamesTheVersions(t *testing.T) {
	readme, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	tested := regexp.MustCompile(`(?s)\nTested with .*?\n\n`).FindString(string(readme))
	if !strings.Contains(tested, "ARC "+arcVersion+" ") {
		t.Errorf("ARC %s is not in %q", arcVersion, tested)
	}
	for module, path := range map[string]string{
		"helm3": "helm.sh/helm/v3", "helm4": "helm.sh/helm/v4", "kubernetes": "k8s.io/kubernetes", "kubernetes-1.34": "k8s.io/kubernetes",
		"arc": "github.com/actions/actions-runner-controller",
	} {
		text, err := os.ReadFile("modules/" + module + "/go.mod")
		if err != nil {
			t.Fatal(err)
		}
		pinned := regexp.MustCompile(`(?m)^(?:require)?\s*` + regexp.QuoteMeta(path) + ` v(\S+)`).FindSubmatch(text)
		if pinned == nil {
			t.Fatalf("%s pins no %s", module, path)
		}
		if !regexp.MustCompile(`\b` + regexp.QuoteMeta(string(pinned[1])) + `\b`).MatchString(tested) {
			t.Errorf("%s %s is not in %q", path, pinned[1], tested)
		}
	}
}

// TestOneVersionOfWhatIsShared: of what the demo builds, the same packages in two versions would be compiled twice, which
// takes minutes. ARC is of an older Kubernetes and shares nothing.
func TestOneVersionOfWhatIsShared(t *testing.T) {
	t.Parallel()
	versions := map[string]map[string]string{} // by module and by who uses it
	for user, build := range map[string][]string{
		"kubernetes":  {"modules/kubernetes", "k8s.io/kubernetes/cmd/kube-apiserver", "k8s.io/kubernetes/cmd/kube-controller-manager"},
		"etcd":        {"modules/etcd", "go.etcd.io/etcd/server/v3"},
		"helm4":       {"modules/helm4", "helm.sh/helm/v4/cmd/helm"},
		"the demo":    {"..", "./demo"},
		"arc-cleanup": {"../..", "./cmd/hookjob", "./cmd/postrender"},
	} {
		const format = `{{with .Module}}{{if not .Main}}{{.Path}} {{.Version}}{{end}}{{end}}`
		out, err := goCommand(t.Context(), build[0], append([]string{"list", "-deps", "-f", format}, build[1:]...)...)
		if err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(out) {
			module, version, ok := strings.Cut(strings.TrimSpace(line), " ")
			// Kubernetes has no version of its own parts, and replaces them: three packages of them are compiled twice.
			if !ok || version == "v0.0.0" || strings.HasPrefix(module, "github.com/arc-cleanup/") {
				continue
			}
			if versions[module] == nil {
				versions[module] = map[string]string{}
			}
			versions[module][user] = version
		}
	}
	for module, users := range versions {
		if different := slices.Compact(slices.Sorted(maps.Values(users))); len(different) > 1 {
			t.Errorf("%s has several versions, raise it where it is older: %v", module, users)
		}
	}
	if len(versions["golang.org/x/net"]) != 5 {
		t.Errorf("golang.org/x/net is used by %v", versions["golang.org/x/net"])
	}
}
