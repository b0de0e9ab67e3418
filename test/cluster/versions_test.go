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

// TestOneVersionOfWhatIsShared: the same packages in two versions would be compiled twice, which takes minutes. Argo CD and
// Flux's helm-controller are of one older Kubernetes; ARC is of another one and shares nothing.
func TestOneVersionOfWhatIsShared(t *testing.T) {
	t.Parallel()
	for _, builds := range []map[string][]string{
		{
			"kubernetes":  {"modules/kubernetes", "k8s.io/kubernetes/cmd/kube-apiserver", "k8s.io/kubernetes/cmd/kube-controller-manager"},
			"etcd":        {"modules/etcd", "go.etcd.io/etcd/server/v3"},
			"kubectl":     {"modules/kubectl", "k8s.io/kubernetes/cmd/kubectl"},
			"helm3":       {"modules/helm3", "helm.sh/helm/v3/cmd/helm"},
			"helm4":       {"modules/helm4", "helm.sh/helm/v4/cmd/helm"},
			"the demo":    {"..", "./demo"},
			"the SDKs":    {"../helmsdk", "helm.sh/helm/v3/pkg/action", "helm.sh/helm/v4/pkg/action"},
			"arc-cleanup": {"../..", "./cmd/hookjob", "./cmd/postrender"},
		},
		{
			"argocd":          {"modules/argocd", "."},
			"helm-controller": {"modules/helm-controller", fluxModule},
		},
	} {
		shared := map[string]map[string]string{} // the versions of a module, by who uses it
		for user, build := range builds {
			for module, version := range versionsIn(t, build[0], build[1:]) {
				if shared[module] == nil {
					shared[module] = map[string]string{}
				}
				shared[module][user] = version
			}
		}
		for module, users := range shared {
			if different := slices.Compact(slices.Sorted(maps.Values(users))); len(different) > 1 {
				t.Errorf("%s has several versions, raise it where it is older: %v", module, users)
			}
		}
		if users := shared["golang.org/x/net"]; len(users) != len(builds) {
			t.Errorf("golang.org/x/net is used by %v", users)
		}
	}
}

// versionsIn returns which version of each module the packages are compiled with.
func versionsIn(t *testing.T, dir string, packages []string) map[string]string {
	t.Helper()
	const format = `{{with .Module}}{{if not .Main}}{{.Path}} {{with .Replace}}{{.Version}}{{else}}{{.Version}}{{end}}{{end}}{{end}}`
	out, err := goCommand(t.Context(), dir, append([]string{"list", "-deps", "-f", format}, packages...)...)
	if err != nil {
		t.Fatal(err)
	}
	versions := map[string]string{}
	for line := range strings.Lines(out) {
		if module, version, ok := strings.Cut(strings.TrimSpace(line), " "); ok && version != "" { // a folder of this repository has none
			versions[module] = version
		}
	}
	return versions
}
