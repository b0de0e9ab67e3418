package upgrade

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/arc-cleanup/arc-cleanup/internal/helm"
)

// What a release has and its chart does not render is noticed, and nothing else.
func TestExplain(t *testing.T) {
	set := func(labels map[string]any) kubeObject {
		o := setAt("", "set", "a", "runners")
		metadata(o)["labels"] = labels
		return o
	}
	secretNamed := func(name string, extra kubeObject) kubeObject { return kind("Secret", "", name, extra) }
	binding := kubeObject{"kind": "RoleBinding", "metadata": map[string]any{"name": "x-manager"}, "subjects": []any{map[string]any{"namespace": "arc-systems", "name": "arc.sa"}}}
	enroller := secretNamed("enroller", kubeObject{"labels": map[string]any{"app.kubernetes.io/name": "arc-cleanup", "app.kubernetes.io/component": "enroller"}})
	ourHookObject := secretNamed("hook", kubeObject{"labels": map[string]any{"app.kubernetes.io/name": "arc-cleanup"}, "annotations": map[string]any{"helm.sh/hook": "pre-delete"}})
	many := []kubeObject{set(nil)}
	for i := range 6 {
		many = append(many, secretNamed(fmt.Sprint("s", i), nil))
	}
	const is = "release runners in namespace a is not what its chart renders with its values: "
	const perhaps = is + "a post-renderer may have changed it, and would not be run: "
	tests := map[string]struct {
		record   []kubeObject
		rendered []kubeObject
		chart    string
		values   string
		revision int
		status   string
		renderer string
		fail     bool
		confirm  string
		note     string
		args     string // of helm template, after the common ones
	}{
		"the same":      {record: []kubeObject{set(nil)}, rendered: []kubeObject{set(nil)}},
		"our own":       {record: []kubeObject{set(nil), enroller, ourHookObject}, rendered: []kubeObject{set(nil)}},
		"an empty map":  {record: []kubeObject{set(nil)}, rendered: []kubeObject{set(map[string]any{"x": nil})}, confirm: perhaps + "AutoscalingRunnerSet a/set"},
		"null in both":  {record: []kubeObject{set(nil), secretNamed("x", kubeObject{"data": map[string]any{"l": []any{map[string]any{"y": nil}}, "m": map[string]any{"y": nil}}})}, rendered: []kubeObject{set(nil), secretNamed("x", kubeObject{"data": map[string]any{"l": []any{map[string]any{}}, "k": nil, "m": map[string]any{}}})}},
		"a label":       {record: []kubeObject{set(map[string]any{"team": "blue"})}, rendered: []kubeObject{set(nil)}, confirm: perhaps + "AutoscalingRunnerSet a/set"},
		"one is more":   {record: []kubeObject{set(nil), secretNamed("x", nil)}, rendered: []kubeObject{set(nil)}, confirm: perhaps + "Secret a/x"},
		"one is less":   {record: []kubeObject{set(nil)}, rendered: []kubeObject{set(nil), secretNamed("x", nil)}, confirm: perhaps + "Secret a/x"},
		"many":          {record: many, rendered: many[:1], confirm: perhaps + "Secret a/s0, Secret a/s1, Secret a/s2, Secret a/s3, Secret a/s4 and 1 more"},
		"five":          {record: many[:6], rendered: many[:1], confirm: perhaps + "Secret a/s0, Secret a/s1, Secret a/s2, Secret a/s3, Secret a/s4"},
		"another one":   {record: many[:2], rendered: many[:1], renderer: "kustomize", confirm: is + "another post-renderer than the given one may have changed it: Secret a/s0", args: "--post-renderer kustomize --post-renderer-args=-x"},
		"the right one": {record: many[:2], rendered: many[:2], renderer: "kustomize", args: "--post-renderer kustomize --post-renderer-args=-x"},
		"later":         {record: many[:1], rendered: many[:1], revision: 2, args: "--is-upgrade"},
		"not deployed":  {record: many[:2], rendered: many[:1], status: "failed", args: "none"},
		"looked up": {
			record: []kubeObject{set(nil), binding}, rendered: []kubeObject{set(nil), binding},
			args: "--set-string controllerServiceAccount.name=arc.sa --set-string controllerServiceAccount.namespace=arc-systems",
		},
		"not among these": {
			record: []kubeObject{
				set(nil),
				{"kind": "RoleBinding", "metadata": map[string]any{"name": "x-manager"}},
				{"kind": "Role", "metadata": map[string]any{"name": "x-manager"}, "subjects": []any{map[string]any{"namespace": "wrong", "name": "RoleBinding"}}},
				{"kind": "RoleBinding", "metadata": map[string]any{"name": "x-managers", "uid": "-manager"}, "subjects": []any{map[string]any{"namespace": "wrong", "name": "name"}}},
			},
			confirm: perhaps + "Role a/x-manager, RoleBinding a/x-manager, RoleBinding a/x-managers", rendered: []kubeObject{set(nil)},
		},
		"no object": {record: []kubeObject{set(nil), {"metadata": map[string]any{"name": "x"}}}, rendered: []kubeObject{set(nil)}},
		"among the values": {
			record: []kubeObject{set(nil), binding}, rendered: []kubeObject{set(nil), binding}, values: `{"controllerServiceAccount": {"name": "x"}}`,
		},
		"no name for an account": {
			record:   []kubeObject{set(nil), {"kind": "RoleBinding", "metadata": map[string]any{"name": "x-manager"}, "subjects": []any{map[string]any{"namespace": "a", "name": "a,b=c"}}}},
			rendered: []kubeObject{set(nil)}, confirm: perhaps + "RoleBinding a/x-manager",
		},
		"dependencies": {
			record: many[:2], rendered: many[:1], chart: `{"metadata": {"name": "scale-set", "version": "1", "dependencies": [{"name": "x"}]}}`, args: "none",
			note: "whether a post-renderer has changed release runners in namespace a is not known: its chart has dependencies, which Helm does not store",
		},
		"dependencies of another type": {
			record: many[:2], rendered: many[:1], chart: `{"metadata": {"name": "scale-set", "version": "1", "dependencies": 1}}`, args: "none",
			note: "is not known: reading the chart in its record",
		},
		"it does not render": {record: many[:2], rendered: many[:1], fail: true, note: "is not known: helm template runners: exit status 1 told to fail"},
		"a way out of the folder": {
			record: many[:2], rendered: many[:1], args: "none", note: "is not known: writing the chart in its record:",
			chart: `{"metadata": {"name": "scale-set", "version": "1"}, "templates": [{"name": "../../escaped", "data": ""}]}`,
		},
		"not a chart": {record: many[:1], chart: `{"metadata": {"name": "scale-set", "version": "1"}, "templates": 1}`, args: "none", note: "is not known: reading the chart in its record"},
	}
	for name, test := range tests {
		record := helmRecord{namespace: "a", name: "runners", objects: test.record, chart: test.chart, values: test.values, revision: test.revision, status: test.status}
		u, _, helm := upgradingWith(t, setAt("a", "set", "a", "runners"), record.object(t))
		u.Helm.Context = "here"
		if test.renderer != "" {
			u.Helm.PostRenderer, u.Helm.PostRendererArgs = test.renderer, []string{"-x"}
		}
		helm.renders("runners", test.rendered...)
		if test.fail {
			helm.write("fail.template.runners", "")
		}
		s, err := look(t.Context(), u.Client, "")
		if err != nil {
			t.Fatal(err)
		}
		if len(s.Found) != 1 {
			t.Fatalf("%s: %v", name, seen(s))
		}
		p := &Plan{}
		u.explain(t.Context(), s, p)
		confirm := ""
		for _, c := range p.Confirm {
			confirm += c.Message
		}
		if confirm != test.confirm || test.confirm != "" && !strings.Contains(p.Confirm[0].Do[0], "--post-renderer") {
			t.Errorf("%s: confirm %q, want %q", name, confirm, test.confirm)
		}
		if notes := strings.Join(p.Notes, "\n"); !strings.Contains(notes, test.note) || test.note == "" && notes != "" {
			t.Errorf("%s: notes %q, want %q", name, notes, test.note)
		}
		_, args, ran := strings.Cut(strings.TrimSpace(helm.read("log")), " --namespace a --values - --no-hooks --disable-openapi-validation")
		args, _, _ = strings.Cut(strings.TrimSpace(args), "--kube-context here")
		if ran == (test.args == "none") || ran && strings.TrimSpace(args) != test.args {
			t.Errorf("%s: helm %q, want %q", name, helm.read("log"), test.args)
		}
	}
}

// A chart is unpacked as it is in its record.
func TestUnpackChart(t *testing.T) {
	t.Parallel()
	file := func(name, data string) map[string]any {
		return map[string]any{"name": name, "data": base64.StdEncoding.EncodeToString([]byte(data))}
	}
	chart, err := json.Marshal(map[string]any{
		"metadata": map[string]any{"name": "x", "version": "1"}, "values": map[string]any{"a": 1},
		"schema":    base64.StdEncoding.EncodeToString([]byte("{}")),
		"templates": []any{file("templates/deep/x.yaml", "x"), file("Chart.yaml", "an other")},
		"files":     []any{file("README.md", "read")},
	})
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	if err := unpackChart(chart, dir); err != nil {
		t.Fatal(err)
	}
	got := map[string]string{}
	for _, name := range []string{"templates/deep/x.yaml", "Chart.yaml", "README.md", "values.yaml", "values.schema.json"} {
		text, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			t.Error(err)
		}
		got[name] = string(text)
	}
	want := map[string]string{"templates/deep/x.yaml": "x", "Chart.yaml": `{"name":"x","version":"1"}`, "README.md": "read", "values.yaml": `{"a":1}`, "values.schema.json": "{}"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// A chart without a schema has none.
func TestUnpackChartWithoutASchema(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if err := unpackChart(json.RawMessage(`{"metadata": {"name": "x"}, "schema": null}`), dir); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(dir, "values.schema.json")); !os.IsNotExist(err) {
		t.Errorf("%v", err)
	}
}

func TestDigest(t *testing.T) {
	t.Parallel()
	digests := map[string]string{}
	for name, files := range map[string]map[string]string{
		"one": {"Chart.yaml": "x", "templates/a": "y"}, "same": {"templates/a": "y", "Chart.yaml": "x"},
		"another content": {"Chart.yaml": "x", "templates/a": "z"}, "another name": {"Chart.yaml": "x", "templates/b": "y"},
		"moved": {"Chart.yaml": "xy", "templates/a": ""}, "more": {"Chart.yaml": "x", "templates/a": "y", "z": ""},
	} {
		dir := filepath.Join(t.TempDir(), "chart")
		for file, text := range files {
			path := filepath.Join(dir, file)
			if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		var err error
		if digests[name], err = digest(dir); err != nil || len(digests[name]) != len("sha256:")+64 {
			t.Errorf("%s: %q, %v", name, digests[name], err)
		}
	}
	if digests["one"] != digests["same"] {
		t.Error("the order matters")
	}
	empty := t.TempDir()
	before, err := digest(empty)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(filepath.Join(empty, "folder"), 0o700); err != nil {
		t.Fatal(err)
	}
	if after, err := digest(empty); err != nil || after != before {
		t.Errorf("a folder without files counts: %v", err)
	}
	delete(digests, "same")
	if distinct := slices.Compact(slices.Sorted(maps.Values(digests))); len(distinct) != len(digests) {
		t.Errorf("%v", digests)
	}
	archive := filepath.Join(t.TempDir(), "x.tgz")
	if err := os.WriteFile(archive, []byte("abc"), 0o600); err != nil {
		t.Fatal(err)
	}
	// FIPS 180-2, B.1
	if got, err := digest(archive); err != nil || got != "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad" {
		t.Errorf("%s, %v", got, err)
	}
	if _, err := digest(archive + "x"); err == nil {
		t.Error("of no file")
	}
}

// A fetched chart has its metadata and the digest that Helm printed.
func TestFetch(t *testing.T) {
	const sum = "sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
	pulls := func(where string) string {
		return `case "$1" in pull) : > "$4/x-2.tgz"; echo "Pulled: r/x:2" ` + where + `; echo "Digest: ` + sum + `" ` + where + ` ;; show) printf 'name: x\nversion: "2"\nappVersion: "3"\n' ;; esac`
	}
	for _, where := range []string{"", ">&2"} {
		h := &Helm{Binary: script(t, pulls(where))}
		c, err := h.fetchChart(t.Context(), Chart{Ref: "oci://r/x"}, t.TempDir())
		if err != nil || c.Digest != sum || c.Version != "2" || c.Metadata.AppVersion != "3" || filepath.Base(c.path) != "x-2.tgz" {
			t.Errorf("%q: %+v, %v", where, c, err)
		}
	}
	dir := t.TempDir()
	h := &Helm{Binary: script(t, pulls(""))}
	want, err := digest(dir)
	if err != nil {
		t.Fatal(err)
	}
	if c, err := h.fetchChart(t.Context(), Chart{Ref: dir}, t.TempDir()); err != nil || c.Digest != want || c.path != dir || c.Version != "" {
		t.Errorf("%+v, %v", c, err)
	}
	if _, err := h.fetchChart(t.Context(), Chart{Ref: dir + "x"}, t.TempDir()); err == nil || !strings.Contains(err.Error(), "reading the chart") {
		t.Errorf("%v", err)
	}
	h = &Helm{Binary: script(t, "true")}
	if _, err := h.fetchChart(t.Context(), Chart{Ref: "oci://r/x"}, t.TempDir()); err == nil || !strings.Contains(err.Error(), "wrote 0 archives") {
		t.Errorf("%v", err)
	}
}

// A tenant's values decide how much Helm prints.
func TestOutputIsBounded(t *testing.T) {
	h := &Helm{Binary: script(t, "yes "+strings.Repeat("x", 4000))}
	if _, err := h.run(t.Context(), helmTime, nil, "", "template"); err == nil || !strings.Contains(err.Error(), "it writes more than 67108864 bytes") {
		t.Errorf("%v", err)
	}
}

// The digest follows links as Helm does. A folder that cannot be read has none.
func TestDigestOfWhatIsOdd(t *testing.T) {
	t.Parallel()
	at := func(t *testing.T) (dir string, link func(name, to string)) {
		t.Helper()
		dir = t.TempDir()
		return dir, func(name, to string) {
			t.Helper()
			if err := os.Symlink(to, filepath.Join(dir, name)); err != nil {
				t.Fatal(err)
			}
		}
	}
	dir, link := at(t)
	link("nowhere", "none")
	if got, err := digest(dir); err == nil {
		t.Errorf("a link to nowhere: %s", got)
	}
	dir, link = at(t)
	link("folder", t.TempDir())
	one, err := digest(dir)
	if err != nil {
		t.Errorf("a link to a folder: %v", err)
	}
	dir, link = at(t)
	link("another", t.TempDir())
	if two, err := digest(dir); err != nil || one == two {
		t.Errorf("its name does not count: %s, %v", two, err)
	}
	if os.Getuid() == 0 {
		return // who may read everything
	}
	if err := os.Chmod(dir, 0o000); err != nil {
		t.Fatal(err)
	}
	if got, err := digest(dir); err == nil {
		t.Errorf("a folder that may not be read: %s", got)
	}
}

func TestFetchBoth(t *testing.T) {
	dir := t.TempDir()
	log := filepath.Join(dir, "log")
	h := &Helm{Binary: script(t, `echo "$@" >> `+log+`; case "$1" in pull) : > "$4/x.tgz" ;; show) echo 'version: "2"' ;; esac`)}
	both := Target{Chart{Ref: "oci://r/c", Version: "2"}, Chart{Ref: "oci://r/s"}}
	got, err := h.fetch(t.Context(), both, t.TempDir())
	if err != nil || got.Controller.Version != "2" || got.ScaleSets.Version != "2" || got.ScaleSets.path == got.Controller.path {
		t.Errorf("%+v, %v", got, err)
	}
	said, err := os.ReadFile(log)
	if err != nil {
		t.Fatal(err)
	}
	if text := string(said); !strings.Contains(text, "pull oci://r/c --destination") || strings.Count(text, " --version 2") != 1 || strings.Count(text, "pull ") != 2 {
		t.Error(text)
	}
	if got, err := h.fetch(t.Context(), Target{Controller: both.Controller}, t.TempDir()); err != nil || got.ScaleSets.path != "" {
		t.Errorf("%+v, %v", got, err)
	}
	for text, want := range map[string]string{
		`[ "$1" != pull ]`: "fetching the chart oci://r/c --version 2: helm pull oci://r/c: exit status 1",
		`case "$1" in pull) : > "$4/x.tgz" ;; *) exit 1 ;; esac`:                                                     "helm show chart: exit status 1",
		`case "$1" in pull) : > "$4/x.tgz" ;; show) echo ': [' ;; esac`:                                              "reading the metadata of the chart oci://r/c",
		`case "$1$2" in pulloci://r/c) : > "$4/x.tgz" ;; show*) echo 'version: "2"' ;; *) echo "$2"; exit 1 ;; esac`: "helm pull oci://r/s",
	} {
		h := &Helm{Binary: script(t, text)}
		if _, err := h.fetch(t.Context(), both, t.TempDir()); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", text, err, want)
		}
	}
	if _, err := (&Helm{Binary: "helm"}).fetch(t.Context(), both, filepath.Join(dir, "none")); err == nil || !strings.Contains(err.Error(), "making a folder") {
		t.Errorf("%v", err)
	}
}

// What a chart renders that is no manifest, or nothing of ARC.
func TestRender(t *testing.T) {
	r := installed("a", "runners", "").Release
	h := &Helm{Binary: script(t, "echo 'kind: Pod'")}
	if got, err := h.render(t.Context(), r, Chart{}); err != nil || !reflect.DeepEqual(got, rendered{}) {
		t.Errorf("%+v, %v", got, err)
	}
	h = &Helm{Binary: script(t, "echo 'kind: ['")}
	if _, err := h.render(t.Context(), r, Chart{Ref: "x"}); err == nil || !strings.Contains(err.Error(), "the rendered chart x") {
		t.Errorf("%v", err)
	}
	if _, err := strays(r, []byte("kind: [")); err == nil {
		t.Error("no manifest")
	}
	t.Setenv("HELM_NAMESPACE", "elsewhere")
	h = &Helm{Binary: script(t, `echo "$HELM_NAMESPACE,$HELM_DRIVER"`)}
	if out, err := h.run(t.Context(), helmTime, nil, "configmap", "x"); err != nil || string(out) != ",configmap\n" {
		t.Errorf("%q, %v", out, err)
	}
}

// A folder has one version: another --version is a mistake, and not "nothing to do". A range is for a registry.
func TestAVersionThatAFolderDoesNotHave(t *testing.T) {
	of := func(ref, path, version string) Chart {
		return Chart{Ref: ref, path: path, Metadata: helm.Chart{Version: version}}
	}
	for name, test := range map[string]struct {
		version string
		target  Target
		want    string
	}{
		"the same":         {"2", Target{of("/c", "/c", "2"), of("/s", "/s", "2")}, ""},
		"another":          {"3", Target{of("/c", "/c", "3"), of("/s", "/s", "2")}, "--version 3: the chart /s has version 2"},
		"none was given":   {"", Target{of("/c", "/c", "2"), Chart{}}, ""},
		"no scale sets":    {"2", Target{of("/c", "/c", "2"), Chart{}}, ""},
		"from a registry":  {"~2", Target{of("oci://r/c", "/tmp/c", "2.1.0"), of("oci://r/s", "/tmp/s", "2.1.0")}, ""},
		"from both places": {"3", Target{of("oci://r/c", "/tmp/c", "3"), of("/s", "/s", "2")}, "--version 3: the chart /s has version 2"},
	} {
		t.Run(name, func(t *testing.T) {
			got := ""
			if err := (Request{Version: test.version}).contradicts(test.target); err != nil {
				got = err.Error()
			}
			if got != test.want {
				t.Errorf("got %q, want %q", got, test.want)
			}
		})
	}
}
