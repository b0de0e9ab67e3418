package postrender

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"helm.sh/helm/v3/pkg/releaseutil"
	"sigs.k8s.io/kustomize/kyaml/kio"
	sigsyaml "sigs.k8s.io/yaml"

	"github.com/arc-cleanup/arc-cleanup/internal/helm"
	"github.com/arc-cleanup/arc-cleanup/internal/manifest"
)

// asHelm3 converts a stream of Helm 4 into one of Helm 3.
func asHelm3(stream string) string {
	var out []string
	for _, line := range strings.Split(stream, "\n") {
		switch {
		case strings.Contains(line, manifest.FilenameAnnotation):
			continue
		case line == "---":
			out = append(out, "---", "# Source: chart/templates/x.yaml")
		default:
			out = append(out, line)
		}
	}
	return "---\n# Source: chart/templates/x.yaml\n" + strings.Join(out, "\n")
}

// unmarked converts a stream of Helm 4 into one without the marks of any Helm.
func unmarked(stream string) string {
	return strings.ReplaceAll(asHelm3(stream), "# Source: chart/templates/x.yaml\n", "")
}

func TestInjectHelm(t *testing.T) {
	helm4 := string(testdata(t, "controller.yaml"))
	both := "# Source: x.yaml\n" + strings.ReplaceAll(helm4, "---\n", "---\n# Source: x.yaml\n")
	inText := asHelm3(helm4) + "---\n# Source: chart/templates/notes.yaml\nkind: ConfigMap\ndata:\n  note: postrenderer.helm.sh/postrender-filename\n"
	errAny := errors.New("any")
	const hooks, enroller = "arc-arc-cleanup", "arc-arc-cleanup-enrol"
	tests := map[string]struct {
		stream string
		told   Helm
		added  string // the name of what is added
		want   error
	}{
		"Helm 4":                       {helm4, HelmUnknown, hooks, nil},
		"Helm 4, told so":              {helm4, Helm4, hooks, nil},
		"Helm 4, told Helm 3":          {helm4, Helm3, enroller, nil},
		"Helm 3":                       {asHelm3(helm4), HelmUnknown, enroller, nil},
		"Helm 3, told so":              {asHelm3(helm4), Helm3, enroller, nil},
		"Helm 3, told Helm 4":          {asHelm3(helm4), Helm4, "", errNotHelm4},
		"Helm 3, the annotation in it": {inText, HelmUnknown, enroller, nil},
		"unmarked":                     {unmarked(helm4), HelmUnknown, "", errHelmUnknown},
		"unmarked, told Helm 3":        {unmarked(helm4), Helm3, enroller, nil},
		"unmarked, told Helm 4":        {unmarked(helm4), Helm4, hooks, nil},
		"both marks":                   {both, HelmUnknown, "", errHelmUnknown},
		"both marks, told Helm 4":      {both, Helm4, "", errNotHelm4},
		"told something else":          {helm4, "5", "", errAny},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			result, err := inject([]byte(test.stream), Options{Helm: test.told})
			if (err == nil) != (test.want == nil) || !errors.Is(test.want, errAny) && !errors.Is(err, test.want) {
				t.Errorf("got %v, want %v", err, test.want)
			}
			if (test.added == "") != (result.Added == "") || test.added != "" && !strings.Contains(result.Added, "\n  name: "+test.added+"\n") {
				t.Errorf("%q is not what was added:\n%s", test.added, result.Added)
			}
			if test.added == enroller {
				noHook(t, result.Added)
			}
		})
	}
}

// noHook fails if a stream has a hook, for a YAML parser or for Helm 3.
func noHook(t *testing.T, stream string) {
	t.Helper()
	nodes, err := kio.ParseAll(stream)
	if err != nil {
		t.Fatal(err)
	}
	for _, n := range nodes {
		if got := n.GetAnnotations()[helm.AnnotationHook]; got != "" {
			t.Errorf("%s %s is a hook: %s", n.GetKind(), n.GetName(), got)
		}
	}
	for _, text := range releaseutil.SplitManifests(stream) {
		var head releaseutil.SimpleHead
		if err := sigsyaml.Unmarshal([]byte(text), &head); err != nil {
			t.Errorf("Helm 3 cannot read it: %v\n%s", err, text)
		}
		if head.Metadata != nil && head.Metadata.Annotations[helm.AnnotationHook] != "" {
			t.Errorf("Helm 3 takes it for a hook:\n%s", text)
		}
	}
}

// With Check, the user may say Helm 4 of a stream of "helm template", which has the marks of Helm 3: nothing is
// written.
func TestInjectCheck(t *testing.T) {
	stream := []byte(asHelm3(string(testdata(t, "controller.yaml"))))
	for told, want := range map[Helm]string{Helm4: "Helm 4 reads the output", HelmUnknown: "Deployment arc-arc-cleanup-enrol"} {
		result, err := inject(stream, Options{Helm: told, Check: true})
		if err != nil {
			t.Fatal(err)
		}
		if enrols := "These objects are added, and put the hook into the release's record once it is deployed:\n  ServiceAccount arc-arc-cleanup-enrol"; strings.Contains(result.Explanation, enrols) != (told == HelmUnknown) {
			t.Errorf("told %q: explained %q", told, result.Explanation)
		}
		if result.Added != "" || !strings.Contains(result.Explanation, want) || !strings.Contains(result.Explanation, "Job arc-arc-cleanup\n") {
			t.Errorf("told %q: added %q, explained %q", told, result.Added, result.Explanation)
		}
	}
}

// Whatever the anchor is and the user says, no hook is added to a stream of Helm 3. What is added is the same at
// every rendering. A stream without ARC stays as it is, under every Helm.
func TestNoHookUnderHelm3(t *testing.T) {
	for _, file := range []string{
		"controller.yaml", "controller-old.yaml", "controller-watch.yaml", "controller-experimental.yaml",
		"scale-set.yaml", "scale-set-experimental.yaml", "umbrella.yaml", "list.yaml",
	} {
		stream := []byte(asHelm3(string(testdata(t, file))))
		for _, told := range []Helm{HelmUnknown, Helm3} {
			result, err := inject(stream, Options{Helm: told, Namespace: "systems"})
			if err != nil || result.Added == "" {
				t.Fatalf("%s, told %q: %v", file, told, err)
			}
			noHook(t, output(t, result))
			again, err := inject(stream, Options{Helm: told, Namespace: "systems"})
			if diff := cmp.Diff(result, again); err != nil || diff != "" {
				t.Errorf("%s, told %q: %v, rendered twice it differs:\n%s", file, told, err, diff)
			}
			twice, err := inject([]byte(output(t, result)), Options{Helm: told})
			if err != nil || twice.Added != "" {
				t.Errorf("%s, told %q: its own output got %q added, %v", file, told, twice.Added, err)
			}
		}
		result, err := inject(stream, Options{Helm: Helm4})
		if !errors.Is(err, errNotHelm4) || result.Added != "" || len(result.Input) > 0 {
			t.Errorf("%s, told Helm 4: %v, added %q", file, err, result.Added)
		}
	}
	for _, told := range []Helm{HelmUnknown, Helm3, Helm4} {
		stream := asHelm3(string(testdata(t, "not-arc.yaml")))
		result, err := inject([]byte(stream), Options{Helm: told})
		if err != nil || output(t, result) != stream {
			t.Errorf("not ARC, told %q: %v", told, err)
		}
	}
}
