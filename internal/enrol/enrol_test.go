package enrol

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/arc-cleanup/arc-cleanup/internal/helm"

	"github.com/google/go-cmp/cmp"
	helm3 "helm.sh/helm/v3/pkg/release"

	"github.com/arc-cleanup/arc-cleanup/internal/chart"
	"github.com/arc-cleanup/arc-cleanup/internal/release"
)

// revision is a release whose manifest is one of the post-renderer's test data.
func revision(t *testing.T, file string) *helm.Record {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("..", "postrender", "testdata", file))
	if err != nil {
		t.Fatal(err)
	}
	return &helm.Record{Name: "rel", Namespace: "ns", Manifest: string(text)}
}

// hooks makes hooks of a record of manifests.
func hooks(t *testing.T, manifests ...string) []helm.Hook {
	t.Helper()
	all := []*helm3.Hook{}
	for _, m := range manifests {
		kind, _, _ := strings.Cut(strings.TrimPrefix(m, "kind: "), "\n")
		all = append(all, &helm3.Hook{Name: "job", Kind: kind, Manifest: m})
	}
	data, err := json.Marshal(all)
	if err != nil {
		t.Fatal(err)
	}
	out, err := parse(data)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

const (
	ours   = "kind: Job\nmetadata:\n  name: job\n  labels: {app.kubernetes.io/name: arc-cleanup}\n  annotations: {helm.sh/hook: pre-delete}\n"
	newer  = ours + "spec: {backoffLimit: 1}\n"
	theirs = "kind: Job\nmetadata:\n  name: job\n  annotations: {helm.sh/hook: pre-delete}\n"
	plain  = "kind: Job\nmetadata:\n  name: job\n  labels: {app.kubernetes.io/name: arc-cleanup}\n"
	broken = "kind: [\n"
)

func TestReplace(t *testing.T) {
	tests := map[string]struct{ before, ours, want []string }{
		"the first":            {nil, []string{ours}, []string{ours}},
		"beside others":        {[]string{theirs}, []string{ours}, []string{theirs, ours}},
		"in the place of ours": {[]string{ours, theirs, ours}, []string{newer}, []string{theirs, newer}},
		"out":                  {[]string{theirs, ours}, nil, []string{theirs}},
		"none of ours":         {[]string{theirs, plain, broken}, nil, []string{theirs, plain, broken}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			before := hooks(t, test.before...)
			var got []string
			for _, h := range replace(before, hooks(t, test.ours...)) {
				got = append(got, h.Manifest)
			}
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Error(diff)
			}
			for i, h := range before {
				if h.Manifest != test.before[i] {
					t.Error("the hooks given were changed")
				}
			}
		})
	}
}

func TestSame(t *testing.T) {
	account := strings.Replace(ours, "Job", "ServiceAccount", 1)
	relaid := `{"metadata": {"annotations": {"helm.sh/hook": "pre-delete"}, "labels": {"app.kubernetes.io/name": "arc-cleanup"}, "name": "job"}, "kind": "Job"}`
	tests := map[string]struct {
		a, b []string
		want bool
	}{
		"none":             {nil, nil, true},
		"the same":         {[]string{ours}, []string{ours}, true},
		"in another order": {[]string{account, ours}, []string{ours, account}, true},
		"another object":   {[]string{ours}, []string{newer}, false},
		"one more":         {[]string{ours}, []string{ours, account}, false},
		"no YAML":          {[]string{broken}, []string{broken}, false},
	}
	for name, test := range tests {
		if got := same(hooks(t, test.a...), hooks(t, test.b...)); got != test.want {
			t.Errorf("%s: %t, want %t", name, got, test.want)
		}
	}
	a, b := hooks(t, ours), hooks(t, ours)
	b[0].Manifest = relaid
	if !same(a, b) {
		t.Error("layout makes a difference")
	}
}

// named gives the image a name, as everybody has to who has no release.
var named = map[string]any{"image": map[string]any{"repository": "registry.example/arc-hookjob"}}

// The hook is the one the post-renderer adds, under the release's own name.
func TestRender(t *testing.T) {
	tests := map[string]struct {
		file   string
		values map[string]any
		want   []string // arguments of the Job
		err    string
	}{
		"a controller":  {"controller.yaml", nil, []string{"--scope=controller", "--release-namespace=ns", "--job=rel-arc-cleanup", "--controller-namespace=systems"}, ""},
		"one namespace": {"controller-watch.yaml", nil, []string{"--watch-namespace=runners"}, ""},
		"a scale set": {
			"scale-set.yaml",
			map[string]any{"policy": map[string]any{"grace": "7s"}},
			[]string{"--scope=scale-set", "--controller-namespace=systems", "--grace=7s"},
			"",
		},
		"not ARC":        {"not-arc.yaml", nil, nil, "release rel in namespace ns installs neither ARC's controller nor a scale set; nothing was written"},
		"switched off":   {"controller.yaml", map[string]any{"enabled": false}, nil, "enabled=false"},
		"values refused": {"controller.yaml", map[string]any{"x": 1}, nil, "it has no value \"x\""},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			got, err := render(revision(t, test.file), chart.Merge(named, test.values))
			if test.err != "" {
				if err == nil || !strings.Contains(err.Error(), test.err) {
					t.Errorf("error %v, want %q in it", err, test.err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if len(Ours(got)) != len(got) {
				t.Error("not all of it is recognised as ours")
			}
			job := got[len(got)-1]
			if job.Kind != "Job" || !strings.HasPrefix(job.Name, "rel-arc-cleanup") {
				t.Errorf("the last is %s %s", job.Kind, job.Name)
			}
			for _, want := range test.want {
				if !strings.Contains(job.Manifest, "- "+want+"\n") {
					t.Errorf("the Job has no argument %s:\n%s", want, job.Manifest)
				}
			}
		})
	}
	broken := &helm.Record{Manifest: "a: b: c"}
	if _, err := render(broken, nil); err == nil || errors.As(err, new(release.Unfit)) {
		t.Errorf("a manifest that is no YAML: %v", err)
	}
}

// The hook that the post-renderer packs into the manifest can be read from it again.
func TestCarried(t *testing.T) {
	target := chart.Release{Name: "arc", Namespace: "ns"}
	rendered, err := chart.Render(target, named)
	if err != nil {
		t.Fatal(err)
	}
	objects, err := chart.Enroller(target, named, rendered)
	if err != nil {
		t.Fatal(err)
	}
	text := "---\nkind: ConfigMap\nmetadata: {name: other}\ndata: {x: arc-arc-cleanup-enrol hooks.json}\n"
	for _, o := range objects {
		text += "---\n# Source: x\n" + o.Manifest + "\n"
	}
	got, err := carried(text, "arc-arc-cleanup-enrol")
	if err != nil || len(got) != len(rendered) {
		t.Fatalf("%d hooks, want %d; %v", len(got), len(rendered), err)
	}
	for i, h := range got {
		if h.Name != rendered[i].Name || h.Manifest != rendered[i].Manifest {
			t.Errorf("%s %s is not what was rendered", h.Kind, h.Name)
		}
	}
	if got, err := carried(text, "other"); len(got) > 0 || err == nil && got != nil {
		t.Errorf("another ConfigMap carries %d hooks, %v", len(got), err)
	}
	if got, err := carried("a: b: c\n--- \nkind: Pod", "arc-arc-cleanup-enrol"); len(got) > 0 || err != nil {
		t.Errorf("nothing carries %d hooks, %v", len(got), err)
	}
}

// Large hooks of others in a record are not parsed, whatever their names are.
func TestLargeIsNotOurs(t *testing.T) {
	t.Parallel()
	small := hooks(t, ours+"spec: {a: "+strings.Repeat("x", helm.MaxObject-len(ours)-len("spec: {a: }\n"))+"}\n")
	large := hooks(t, ours+"spec: {a: "+strings.Repeat("x", helm.MaxObject-len(ours)-len("spec: {a: }\n")+1)+"}\n")
	if len(Ours(small)) != 1 || len(Ours(large)) != 0 {
		t.Errorf("small: %d, large: %d", len(Ours(small)), len(Ours(large)))
	}
	const enroller = "kind: ConfigMap\nmetadata: {name: e, labels: {app.kubernetes.io/name: arc-cleanup, app.kubernetes.io/component: enroller}}\ndata: {hooks.json: '[]'"
	for _, test := range []struct {
		more int
		want string
	}{{0, "ns/e"}, {1, "/"}} {
		text := enroller + ", a: " + strings.Repeat("x", helm.MaxObject-len(enroller)-len(", a: }\n")+test.more) + "}\n"
		got, err := Enroller(&helm.Record{Namespace: "ns", Manifest: text})
		if err != nil || got.String() != test.want {
			t.Errorf("%d more: %q, %v", test.more, got, err)
		}
	}
	elsewhere := strings.Replace(enroller, "name: e,", "name: e, namespace: other,", 1) + "}\n"
	if got, err := Enroller(&helm.Record{Namespace: "ns", Manifest: elsewhere}); err != nil || got.String() != "other/e" {
		t.Errorf("elsewhere: %q, %v", got, err)
	}
}

const unreadable = "kind: ConfigMap\nmetadata: {name: arc-cleanup\ndata: {hooks.json: [}\n"

// The hook of a revision is the one in its record, else the one its enroller brings.
func TestOf(t *testing.T) {
	t.Parallel()
	target := chart.Release{Name: "arc", Namespace: "ns"}
	rendered, err := chart.Render(target, named)
	if err != nil {
		t.Fatal(err)
	}
	objects, err := chart.Enroller(target, named, rendered)
	if err != nil {
		t.Fatal(err)
	}
	var with strings.Builder
	for _, o := range objects {
		with.WriteString("---\n" + o.Manifest + "\n")
	}
	tests := map[string]struct {
		r    helm.Record
		want int
		err  bool
	}{
		"in the record":   {helm.Record{Hooks: hooks(t, theirs, ours), Manifest: with.String()}, 1, false},
		"by the enroller": {helm.Record{Hooks: hooks(t, theirs), Manifest: with.String()}, len(rendered), false},
		"none":            {helm.Record{Hooks: hooks(t, theirs), Manifest: "kind: Pod\n"}, 0, false},
		"unreadable":      {helm.Record{Manifest: unreadable}, 0, true},
	}
	for name, test := range tests {
		got, err := Of(&test.r)
		if len(got) != test.want || (err != nil) != test.err {
			t.Errorf("%s: %d, %v", name, len(got), err)
		}
	}
	if _, err := Enroller(&helm.Record{Manifest: unreadable}); err == nil {
		t.Error("Enroller: no error")
	}
}

func TestParse(t *testing.T) {
	t.Parallel()
	text := func(manifests ...string) string {
		data, err := json.Marshal(hooks(t, manifests...))
		if err != nil {
			t.Fatal(err)
		}
		return string(data)
	}
	for text, want := range map[string]string{
		text(ours, newer):  "",
		text(ours, theirs): "it is not a hook of arc-cleanup",
		text():             "it is not a hook of arc-cleanup",
		"{}":               "reading the hook: json",
		"[":                "reading the hook: unexpected end",
	} {
		got, err := Parse([]byte(text))
		if want == "" && (err != nil || len(got) != 2) || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("%s: %d, %v", text, len(got), err)
		}
	}
}
