package cluster

import (
	"os"
	"regexp"
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
