package postrender

import (
	"errors"
	"strings"
	"testing"

	"github.com/arc-cleanup/arc-cleanup/internal/manifest"
)

// asHelm3 makes of a stream as Helm 4 hands it over one as Helm 3 does.
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

// unmarked makes one that tells no Helm.
func unmarked(stream string) string {
	return strings.ReplaceAll(asHelm3(stream), "# Source: chart/templates/x.yaml\n", "")
}

func TestInjectHelm(t *testing.T) {
	helm4 := string(testdata(t, "controller.yaml"))
	both := "# Source: x.yaml\n" + strings.ReplaceAll(helm4, "---\n", "---\n# Source: x.yaml\n")
	inText := asHelm3(helm4) + "---\n# Source: chart/templates/notes.yaml\nkind: ConfigMap\ndata:\n  note: postrenderer.helm.sh/postrender-filename\n"
	errAny := errors.New("any")
	tests := map[string]struct {
		stream string
		told   Helm
		want   error // nil: the hook is added
	}{
		"Helm 4":                       {helm4, HelmUnknown, nil},
		"Helm 4, told so":              {helm4, Helm4, nil},
		"Helm 4, told Helm 3":          {helm4, Helm3, errHelm3},
		"Helm 3":                       {asHelm3(helm4), HelmUnknown, errHelm3},
		"Helm 3, told so":              {asHelm3(helm4), Helm3, errHelm3},
		"Helm 3, told Helm 4":          {asHelm3(helm4), Helm4, errNotHelm4},
		"Helm 3, the annotation in it": {inText, HelmUnknown, errHelm3},
		"unmarked":                     {unmarked(helm4), HelmUnknown, errHelmUnknown},
		"unmarked, told Helm 3":        {unmarked(helm4), Helm3, errHelm3},
		"unmarked, told Helm 4":        {unmarked(helm4), Helm4, nil},
		"both marks":                   {both, HelmUnknown, errHelmUnknown},
		"both marks, told Helm 4":      {both, Helm4, errNotHelm4},
		"told something else":          {helm4, "5", errAny},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			result, err := Inject([]byte(test.stream), Options{Helm: test.told})
			if (err == nil) != (test.want == nil) || !errors.Is(test.want, errAny) && !errors.Is(err, test.want) {
				t.Errorf("got %v, want %v", err, test.want)
			}
			if added := result.Added != ""; added != (test.want == nil) {
				t.Errorf("added %v", added)
			}
		})
	}
}

// A check may be told Helm 4 of what "helm template" printed with the marks of
// Helm 3: it explains, and nothing leaves.
func TestInjectCheck(t *testing.T) {
	stream := []byte(asHelm3(string(testdata(t, "controller.yaml"))))
	result, err := Inject(stream, Options{Helm: Helm4, Check: true})
	if err != nil {
		t.Fatal(err)
	}
	if result.Added != "" || !strings.Contains(result.Explanation, "Job arc-arc-cleanup") {
		t.Errorf("added %q, explained %q", result.Added, result.Explanation)
	}
	if _, err := Inject(stream, Options{Check: true}); !errors.Is(err, errHelm3) {
		t.Errorf("without a word on Helm: %v, want %v", err, errHelm3)
	}
}

// Nothing under any anchor, told whatever, adds a hook to what Helm 3 rendered;
// and what has no ARC in it is no business of ours on any Helm.
func TestNoHookUnderHelm3(t *testing.T) {
	for _, file := range []string{
		"controller.yaml", "controller-old.yaml", "controller-watch.yaml", "controller-experimental.yaml",
		"scale-set.yaml", "scale-set-experimental.yaml", "umbrella.yaml", "list.yaml",
	} {
		stream := []byte(asHelm3(string(testdata(t, file))))
		for _, told := range []Helm{HelmUnknown, Helm3, Helm4} {
			result, err := Inject(stream, Options{Helm: told})
			if err == nil || result.Added != "" || len(result.Input) > 0 {
				t.Errorf("%s, told %q: %v, added %q", file, told, err, result.Added)
			}
		}
	}
	for _, told := range []Helm{HelmUnknown, Helm3, Helm4} {
		stream := asHelm3(string(testdata(t, "not-arc.yaml")))
		result, err := Inject([]byte(stream), Options{Helm: told})
		if err != nil || output(t, result) != stream {
			t.Errorf("not ARC, told %q: %v", told, err)
		}
	}
}
