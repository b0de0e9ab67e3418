package postrender

import (
	"bytes"
	"errors"
	"flag"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"sigs.k8s.io/kustomize/kyaml/kio"
	"sigs.k8s.io/kustomize/kyaml/yaml"

	"github.com/arc-cleanup/arc-cleanup/internal/chart"
	"github.com/arc-cleanup/arc-cleanup/internal/helm"
	"github.com/arc-cleanup/arc-cleanup/internal/manifest"
)

var update = flag.Bool("update", false, "write the golden files")

// named gives the image a name, as a user has to who has no release of arc-cleanup.
func named(o Options) Options {
	o.Values = chart.Merge(map[string]any{"image": map[string]any{"repository": "registry.example/arc-hookjob"}}, o.Values)
	return o
}

func inject(stream []byte, o Options) (Result, error) { return Inject(stream, named(o)) }

func copyTo(out io.Writer, in io.Reader, o Options) (string, error) { return Copy(out, in, named(o)) }

func testdata(t *testing.T, name string) []byte {
	t.Helper()
	data, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// largeSize is above the size below which detect.Find parses every document.
const largeSize = 1 << 20

// large puts documents before a stream, so that only some of it is parsed.
func large(stream []byte) []byte {
	return append(filler(largeSize), stream...)
}

func output(t *testing.T, r Result) string {
	t.Helper()
	var out bytes.Buffer
	n, err := r.WriteTo(&out)
	if err != nil || n != int64(out.Len()) {
		t.Fatalf("wrote %d of %d bytes: %v", n, out.Len(), err)
	}
	return out.String()
}

func TestInject(t *testing.T) {
	for _, name := range []string{"controller", "scale-set", "legacy"} {
		t.Run(name, func(t *testing.T) {
			input := testdata(t, name+".yaml")
			result, err := inject(input, Options{})
			if err != nil {
				t.Fatal(err)
			}
			if !strings.HasPrefix(output(t, result), string(input)) {
				t.Error("the output does not begin with the input")
			}
			file := filepath.Join("testdata", name+".golden")
			got := result.Explanation + "\n" + result.Added
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
		})
	}
}

// Every added document is a pre-delete hook that names its file.
func TestInjectAddsHooksOnly(t *testing.T) {
	result, err := inject(testdata(t, "controller-watch.yaml"), Options{})
	if err != nil {
		t.Fatal(err)
	}
	nodes, err := kio.ParseAll(result.Added)
	if err != nil || len(nodes) == 0 {
		t.Fatalf("got %d documents, %v", len(nodes), err)
	}
	for _, n := range nodes {
		if got := n.GetAnnotations()[helm.AnnotationHook]; got != "pre-delete" {
			t.Errorf("%s: hook %q", n.GetKind(), got)
		}
		if got := n.GetAnnotations()[manifest.FilenameAnnotation]; !strings.HasPrefix(got, "arc-cleanup/templates/") {
			t.Errorf("%s: file %q", n.GetKind(), got)
		}
	}
}

// The hook follows, whatever the input ends with.
func TestInjectSeparates(t *testing.T) {
	anchor := strings.TrimRight(string(testdata(t, "controller.yaml")), "\n")
	for name, input := range map[string]string{
		"final newline":    anchor + "\n",
		"none":             anchor,
		"CRLF":             strings.ReplaceAll(anchor, "\n", "\r\n") + "\r\n",
		"end marker":       anchor + "\n...\n",
		"bare end marker":  anchor + "\n...",
		"start marker":     anchor + "\n---",
		"comment":          anchor + "\n# the end",
		"byte order mark":  "\ufeff" + anchor,
		"blanks":           anchor + "\n  \n",
		"a comment alone":  anchor + "\n---\n# the end",
		"behind the end":   anchor + "\n...\n# the end",
		"a flow scalar":    anchor + "\n---\ndata: \"text\"",
		"a stripped block": anchor + "\n---\ndata: |-\n  text",
		"a block before":   anchor + "\n---\ndata: |\n  text\nx: y",
		"leading markers":  "---\n---\n" + anchor,
		"JSON at the end":  anchor + "\n---\n{\"a\": 1}",
		"anchors, aliases": anchor + "\n---\na: &x {b: 1}\nc: *x\n",
	} {
		t.Run(name, func(t *testing.T) {
			result, err := inject([]byte(input), Options{})
			if err != nil {
				t.Fatal(err)
			}
			got := output(t, result)
			if !strings.HasPrefix(got, input) {
				t.Error("the output does not begin with the input")
			}
			before, after := documents(t, input), documents(t, got)
			if len(after) != len(before)+3 {
				t.Errorf("%d documents in, %d out, want 3 more", len(before), len(after))
			}
		})
	}
}

// A line break after a block scalar would become part of it.
func TestInjectKeepsTheLastText(t *testing.T) {
	anchor := string(testdata(t, "controller.yaml"))
	for _, end := range []string{
		"data: |\n  text", "data: >\n  text", "data: |+\n  text", "data:\n  - |\n    text", "# x\ndata: |\n  text", "data: &x |\r\n  text",
	} {
		for size, before := range map[string]string{"small": "", "large": string(filler(largeSize))} {
			in := before + anchor + "---\n" + end
			var known *Error
			var out bytes.Buffer
			if _, err := copyTo(&out, strings.NewReader(in), Options{}); !errors.As(err, &known) || known.Class != BadInput || !strings.Contains(err.Error(), "block scalar") {
				t.Errorf("%q, %s: got %v", end, size, err)
			}
			if out.Len() > 0 {
				t.Errorf("%q, %s: %d of %d bytes went out", end, size, out.Len(), len(in))
			}
			out.Reset()
			if _, err := copyTo(&out, strings.NewReader(in+"\n"), Options{}); err != nil || !strings.HasPrefix(out.String(), in+"\n---\n") {
				t.Errorf("%q, %s, closed: %v", end, size, err)
			}
			// If nothing is added, nothing is changed.
			out.Reset()
			if _, err := copyTo(&out, strings.NewReader(before+"a: b\n---\n"+end), Options{}); err != nil || out.String() != before+"a: b\n---\n"+end {
				t.Errorf("%q, %s, not ARC: %v", end, size, err)
			}
		}
	}
}

// documents returns the documents that have content, as a YAML parser sees them.
func documents(t *testing.T, stream string) []*yaml.Node {
	t.Helper()
	var out []*yaml.Node
	decoder := yaml.NewDecoder(strings.NewReader(stream))
	for {
		var n yaml.Node
		if err := decoder.Decode(&n); err != nil {
			if err.Error() != "EOF" {
				t.Fatal(err)
			}
			return out
		}
		if n.Content[0].Tag != yaml.NodeTagNull {
			out = append(out, &n)
		}
	}
}

// Helm 4 has three strategies: separate (hooks and manifests apart), nohooks (manifests only) and combined. In
// each the hook is added once.
func TestInjectOnce(t *testing.T) {
	manifests := testdata(t, "controller.yaml")
	otherHook := []byte("apiVersion: batch/v1\nkind: Job\nmetadata:\n  name: test\n  annotations:\n    helm.sh/hook: test\n    postrenderer.helm.sh/postrender-filename: c/templates/test.yaml\n")

	injected, err := inject(manifests, Options{})
	if err != nil || injected.Added == "" {
		t.Fatalf("manifests: %v", err)
	}
	for name, stream := range map[string][]byte{
		"hooks of the strategy separate":  otherHook,
		"our own hook":                    []byte(injected.Added),
		"our own output":                  []byte(output(t, injected)),
		"our own output, large":           large([]byte(output(t, injected))),
		"the hook first, as a dependency": append([]byte(injected.Added+"---\n"), manifests...),
	} {
		result, err := inject(stream, Options{})
		if err != nil || result.Added != "" {
			t.Errorf("%s: added %d bytes, %v", name, len(result.Added), err)
		}
		if output(t, result) != string(stream) {
			t.Errorf("%s: changed", name)
		}
	}
	combined, err := inject(append(append(otherHook, "---\n"...), manifests...), Options{})
	if err != nil || combined.Added != injected.Added {
		t.Errorf("combined: %v\n%s", err, cmp.Diff(injected.Added, combined.Added))
	}
}

func TestInjectOptions(t *testing.T) {
	result, err := inject(testdata(t, "controller.yaml"), Options{
		Release: "other", Namespace: "elsewhere", HelmNamespace: "ignored",
		Values: map[string]any{"nodeSelector": map[string]any{"disk": "ssd"}, "tolerations": []any{}, "priorityClassName": "low"},
	})
	if err != nil {
		t.Fatal(err)
	}
	nodes, err := kio.ParseAll(result.Added)
	if err != nil {
		t.Fatal(err)
	}
	job := nodes[len(nodes)-1]
	type podSpec struct {
		Tolerations       []any          `yaml:"tolerations"`
		NodeSelector      map[string]any `yaml:"nodeSelector"`
		PriorityClassName string         `yaml:"priorityClassName"`
		ImagePullSecrets  []any          `yaml:"imagePullSecrets"`
	}
	var spec podSpec
	node, err := job.Pipe(yaml.Lookup("spec", "template", "spec"))
	if err != nil {
		t.Fatal(err)
	}
	if err := node.YNode().Decode(&spec); err != nil {
		t.Fatal(err)
	}
	if job.GetName() != "other-arc-cleanup" || job.GetNamespace() != "elsewhere" {
		t.Errorf("the Job is %s/%s", job.GetNamespace(), job.GetName())
	}
	want := podSpec{
		NodeSelector:      map[string]any{"kubernetes.io/os": "linux", "pool": "7", "disk": "ssd"},
		PriorityClassName: "low",
		ImagePullSecrets:  []any{map[string]any{"name": "pull"}},
	}
	if diff := cmp.Diff(want, spec); diff != "" {
		t.Error(diff)
	}

	for _, helm := range []Helm{Helm3, Helm4} {
		disabled, err := inject(testdata(t, "controller.yaml"), Options{Helm: helm, Values: map[string]any{"enabled": false}})
		if err != nil || disabled.Added != "" || disabled.Explanation != "Nothing to add: the hook is switched off (enabled=false).\n" {
			t.Errorf("switched off, Helm %s: %q, %q, %v", helm, disabled.Added, disabled.Explanation, err)
		}
	}
}

// The hook is for the release that the user names, or else for the one that ARC's objects and HELM_NAMESPACE
// name, if they agree.
func TestInjectTarget(t *testing.T) {
	replaced := func(file string, pairs ...string) string {
		return strings.NewReplacer(pairs...).Replace(string(testdata(t, file)))
	}
	old := replaced("controller-old.yaml")
	bare := replaced("controller-old.yaml", "  namespace: systems\n", "")
	umbrella := replaced("umbrella.yaml", "--watch-single-namespace=runners", "--v=1")
	labelled := func(label string) string {
		return replaced("controller-old.yaml", "app.kubernetes.io/instance: arc\n", "app.kubernetes.io/instance: "+label+"\n")
	}
	tests := map[string]struct {
		stream string
		o      Options
		want   string // the release
		values string // taken, as far as they depend on it
		err    string
	}{
		"ARC's objects say it":              {old, Options{}, "systems/arc", "", ""},
		"they agree":                        {old, Options{HelmNamespace: "systems"}, "systems/arc", "", ""},
		"they differ":                       {old, Options{HelmNamespace: "platform"}, "", "", "name systems, platform, as with namespaceOverride; give --namespace"},
		"they differ, it is said":           {old, Options{HelmNamespace: "platform", Namespace: "arc"}, "arc/arc", " controllerNamespaces (systems),", ""},
		"said":                              {old, Options{Namespace: "platform"}, "platform/arc", " controllerNamespaces (systems),", ""},
		"no namespace":                      {bare, Options{}, "", "", "no namespace; give --namespace, or set HELM_NAMESPACE"},
		"no namespace, Helm's":              {bare, Options{HelmNamespace: "platform"}, "platform/arc", "", ""},
		"no namespace, said":                {bare, Options{Namespace: "platform"}, "platform/arc", "", ""},
		"no namespace, both":                {bare, Options{Namespace: "platform", HelmNamespace: "x"}, "platform/arc", "", ""},
		"two namespaces":                    {umbrella, Options{}, "", "", "name runners, systems, as with namespaceOverride"},
		"two namespaces, one is Helm's":     {umbrella, Options{HelmNamespace: "systems"}, "", "", "name runners, systems, as with namespaceOverride"},
		"two namespaces, said":              {umbrella, Options{Namespace: "platform"}, "platform/arc", " controllerNamespaces (systems),", ""},
		"a set's":                           {replaced("scale-set.yaml"), Options{}, "runners/set", " controllerNamespaces (systems),", ""},
		"a set's, said":                     {replaced("scale-set.yaml"), Options{Namespace: "platform", Release: "gpu"}, "platform/gpu", " controllerNamespaces (systems), imagePullSecrets, runnerNamespaces (runners),", ""},
		"a set's, beside its controller":    {replaced("scale-set.yaml"), Options{Namespace: "systems"}, "systems/set", " imagePullSecrets, runnerNamespaces (runners),", ""},
		"a set's, they differ":              {replaced("scale-set.yaml"), Options{HelmNamespace: "platform"}, "", "", "name runners, platform"},
		"no release":                        {replaced("controller-old.yaml", "    app.kubernetes.io/instance: arc\n", ""), Options{}, "", "", "does not name its release; give --release"},
		"no release, said":                  {replaced("controller-old.yaml", "    app.kubernetes.io/instance: arc\n", ""), Options{Release: "arc"}, "systems/arc", "", ""},
		"an instance of a user's":           {labelled("Build Platform"), Options{}, "", "", `names its release "Build Platform", which Helm does not accept as a name; give --release`},
		"an instance of Argo CD's":          {labelled("argocd_apps"), Options{}, "", "", `"argocd_apps", which Helm does not accept`},
		"an instance that is too long":      {labelled(strings.Repeat("a", 54)), Options{}, "", "", "which Helm does not accept"},
		"an instance of a user's, said":     {labelled("Build Platform"), Options{Release: "arc"}, "systems/arc", "", ""},
		"an instance that may be a release": {labelled("build.platform"), Options{}, "systems/build.platform", "", ""},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			test.o.Helm = Helm4
			result, err := inject([]byte(test.stream), test.o)
			var known *Error
			if test.err != "" {
				if !errors.As(err, &known) || known.Class != BadTarget || !strings.Contains(err.Error(), test.err) {
					t.Errorf("got %v, want %q", err, test.err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			namespace, release, _ := strings.Cut(test.want, "/")
			if !strings.Contains(result.Explanation, "The hook of release "+release+" in namespace "+namespace+":") ||
				!strings.Contains(result.Added, "--release-namespace="+namespace+"\n") {
				t.Errorf("want %s:\n%s", test.want, result.Explanation)
			}
			if !strings.Contains(result.Explanation, "Values taken from ARC's objects:"+test.values) || test.values == "" && strings.Contains(result.Explanation, "Namespaces (") {
				t.Errorf("want the values%s of %s", test.values, result.Explanation)
			}
		})
	}
}

func TestInjectErrors(t *testing.T) {
	good := string(testdata(t, "controller.yaml"))
	broken := "---\nkind: ConfigMap\nmetadata:\n  annotations:\n    postrenderer.helm.sh/postrender-filename: 'c/templates/b.yaml'\ndata: {a: b: c}\n"
	brokenAnchor := strings.Replace(good, "      containers:", "     containers:", 1)
	for name, stream := range map[string]string{
		"after the anchor":   good + broken,
		"before the anchor":  broken + "---\n" + good,
		"without an anchor":  broken,
		"the anchor":         brokenAnchor,
		"the anchor, large":  string(large([]byte(brokenAnchor))),
		"after our own hook": string(testdata(t, "controller.yaml")) + "---\nmetadata: {labels: {app.kubernetes.io/name: arc-cleanup}, annotations: {helm.sh/hook: pre-delete}}\n" + broken,
	} {
		result, err := inject([]byte(stream), Options{})
		var syntax *manifest.SyntaxError
		if !errors.As(err, &syntax) || syntax.File == "" || syntax.Line < 2 {
			t.Errorf("%s: got %v, want a SyntaxError with file and line", name, err)
		}
		if got := output(t, result); got != "" {
			t.Errorf("%s: output %q with an error", name, got)
		}
	}
	// In a large stream, broken YAML that cannot be the anchor is left to Helm.
	if _, err := inject(append(large([]byte(good)), broken...), Options{}); err != nil {
		t.Errorf("large: %v", err)
	}

	if _, err := inject([]byte(good), Options{Values: map[string]any{"polcy": 1}}); err == nil {
		t.Error("no error for a value the chart does not have")
	}
	shape := strings.Replace(good, "      tolerations:", "      tolerations: none\n      other:", 1)
	if _, err := inject([]byte(shape), Options{}); err == nil || !strings.Contains(err.Error(), "Pod template") {
		t.Errorf("got %v, want an error about the Pod template", err)
	}
}

// filler returns a stream above a size. Another document can follow it.
func filler(size int) []byte {
	const document = "kind: ConfigMap\ndata: {x: 0123456789}\n---\n"
	return []byte(strings.Repeat(document, size/len(document)+1))
}
