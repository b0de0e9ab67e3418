package helm

import (
	"encoding/base64"
	"fmt"
	"runtime"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/arc-cleanup/arc-cleanup/internal/gzip"
)

func TestObjects(t *testing.T) {
	t.Parallel()
	x := Object{"v1", "X", "here", "me", false}
	tests := map[string]struct {
		manifest string
		want     []Object
	}{
		"as usual":                   {"apiVersion: v1\nkind: X\nmetadata:\n  name: me\nspec:\n  kind: Y\n", []Object{x}},
		"its namespace":              {"apiVersion: v1\nkind: X\nmetadata:\n  namespace: there\n  name: me\n", []Object{{"v1", "X", "there", "me", false}}},
		"in any order":               {"spec: {a: b}\nmetadata:\n# a comment\n\n  name: me\nstatus: {}\nkind: X\nfoo: bar\napiVersion: v1\n", []Object{x}},
		"to be kept":                 {"apiVersion: v1\nkind: X\nmetadata:\n  name: me\n  annotations: {a: 1, helm.sh/resource-policy: ' Keep'}\n", []Object{{"v1", "X", "here", "me", true}}},
		"with CRLF":                  {"apiVersion: v1\r\nkind: X\r\nmetadata:\r\n  name: me\r\n---\r\napiVersion: v1\r\nkind: X\r\nmetadata: {name: me}\r\n", []Object{x, x}},
		"quoted keys":                {"\"apiVersion\": v1\n'kind': \"X\"\nmetadata : {name: me}\n", []Object{x}},
		"a byte order mark":          {"\ufeffapiVersion: v1\nkind: X\nmetadata: {name: me}\n", []Object{x}},
		"JSON":                       {"{\"apiVersion\": \"v1\",\n\"spec\": {},\n\"kind\": \"X\", \"metadata\": {\"name\": \"me\"}\n}", []Object{x}},
		"on the separator's line":    {"---   {apiVersion: v1, kind: X, metadata: {name: me}}\n--- # c\napiVersion: v1\nkind: X\nmetadata: {name: me}", []Object{x, x}},
		"an alias":                   {"metadata: &m\n  name: me\n  labels: *l\nother: &l {a: b}\nkind: X\napiVersion: v1\n", nil},
		"an alias of what was above": {"other: &n me\napiVersion: v1\nkind: X\nmetadata: {name: *n}\n", []Object{x}},
		"a list above":               {"a:\n- kind: Y\nkind: X\napiVersion: v1\nmetadata: {name: me}\n", []Object{x}},
		"a text that looks like one": {"data: |\n  kind: Y\n  metadata: {name: m}\napiVersion: v1\nkind: X\nmetadata: {name: me}\n", []Object{x}},
		"no name":                    {"kind: X\n", []Object{{"", "X", "here", "", false}}},
		"no kind":                    {"apiVersion: v1\nmetadata: {name: me}\n", nil},
		"nothing":                    {"---\n---\n# c\n--- \n", nil},
		"an unreadable document":     {"kind: [\n---\napiVersion: v1\nkind: X\nmetadata: {name: me}\n", []Object{x}},
		"another type":               {"kind: {a: b}\n---\nkind: X\nmetadata: [me]\n", nil},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, err := objects(test.manifest, "here")
			if diff := cmp.Diff(test.want, got); diff != "" || err != nil {
				t.Errorf("%v %s", err, diff)
			}
		})
	}
}

// What a tenant writes into a record of theirs costs no more than what Helm writes
// into a large one: some 16 MiB that are read, and what is made of them.
func TestRecordsAreBounded(t *testing.T) {
	body := func(field, value string) string {
		return `{"name": "arc", "namespace": "ns", "version": 1, "info": {"status": "deployed"}, "` + field + `": ` + value + `}`
	}
	tests := map[string]struct{ raw, err string }{
		"a manifest":                {body("manifest", `"`+strings.Repeat("a", maxRaw)+`"`), "unpacked it has more than 16 MiB"},
		"spaces":                    {strings.Repeat(" ", 64<<20), "unpacked it has more than 16 MiB"},
		"hooks":                     {body("hooks", "["+strings.Repeat("{},", maxRaw/4)+"{}]"), "it has more hooks than 10000"},
		"documents":                 {body("manifest", `"`+strings.Repeat(`kind: a\n---\n`, maxRaw/16)+`"`), "its manifest has more objects than 10000"},
		"a document":                {body("manifest", `"kind: a\nspec: [`+strings.Repeat("1,", maxRaw/4)+`]"`), ""},
		"a name":                    {body("manifest", `"kind: a\nmetadata: {name: [`+strings.Repeat("1,", maxRaw/4)+`]}"`), ""},
		"a document in JSON's form": {body("manifest", `"{kind: a, spec: [`+strings.Repeat("1,", maxRaw/4)+`]}"`), ""},
		"of which nothing is read":  {body("later", "["+strings.Repeat("[],", maxRaw/4)+"[]]"), ""},
		"as much as there may be":   {body("manifest", `"`+strings.Repeat("a", maxRaw-len(body("manifest", `""`)))+`"`), ""},
		"one more":                  {body("manifest", `"`+strings.Repeat("a", maxRaw-len(body("manifest", `""`))+1)+`"`), "unpacked it has more than 16 MiB"},
	}
	for name, test := range tests {
		stored := pack(test.raw)
		test.raw = ""
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		_, err := Decode(stored)
		runtime.ReadMemStats(&after)
		check(t, err, test.err)
		used := (after.TotalAlloc - before.TotalAlloc) >> 20
		t.Logf("%s: %d MiB", name, used)
		if used > 160 {
			t.Errorf("%s: %d MiB were allocated on the way", name, used)
		}
	}
	for size, want := range map[int]string{MaxSize: "invalid character", MaxSize + 1: "it has 1048577 bytes, and Kubernetes stores 1048576"} {
		_, err := Decode([]byte(strings.Repeat("a", size)))
		check(t, err, want)
	}

	hooks := strings.Repeat(fmt.Sprintf("{%q: %q},", "kind", "Job"), maxItems-1) + "{}"
	if r, err := Decode(pack(body("hooks", "["+hooks+"]"))); err != nil || len(r.HookJobs) != maxItems-1 {
		t.Errorf("as many hooks as there may be: %v", err)
	}
	objects := strings.Repeat(`kind: a\n---\n`, maxItems)
	if r, err := Decode(pack(body("manifest", `"`+objects+`"`))); err != nil || len(r.Objects) != maxItems {
		t.Errorf("as many objects as there may be: %v", err)
	}
}

// pack packs a record's JSON as Helm does.
func pack(raw string) []byte {
	return []byte(base64.StdEncoding.EncodeToString(gzip.Pack([]byte(raw))))
}

func check(t *testing.T, err error, want string) {
	t.Helper()
	if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
		t.Errorf("the error is %v, want %q", err, want)
	}
}

func TestLabel(t *testing.T) {
	t.Parallel()
	const before = "kind: A\nmetadata:\n  labels: {other: a, key: ''}\n  annotations: {key: c}\n---\ndata: key\n---\nkind: [key\n---\n"
	for text, want := range map[string]string{
		before + "metadata:\n  labels:\n    key: value\n---\nmetadata: {labels: {key: second}}\n":        "value",
		before + "spec: &a value # key\nmetadata: {labels: {key: *a}}\n":                                 "value",
		before + "spec: {labels: {key: value}, template: {metadata: {labels: {key: value}}}}\nkind: B\n": "",
		before: "",
		"":     "",
	} {
		r := Record{Manifest: text}
		if got := r.Label("key"); got != want {
			t.Errorf("%q, want %q, in\n%s", got, want, text)
		}
	}
	// Whatever else is in a document, a head is read up to a size.
	for more, want := range map[int]string{0: "value", 1: ""} {
		const text = "metadata: {labels: {key: value}, name: "
		r := Record{Manifest: text + strings.Repeat("n", maxHead-len(text)-len("}\n")+more) + "}\n"}
		if got := r.Label("key"); got != want {
			t.Errorf("%d more: %q, want %q", more, got, want)
		}
	}
}

// Of a record that anybody may have written, forty kilobytes compressed, seconds would
// be parsed, and every uninstall that reads all records have to wait.
func TestWhatIsParsedOfAManifestIsBounded(t *testing.T) {
	t.Parallel()
	object := "kind: Secret\nmetadata:\n" + strings.Repeat("  a: {b: [c, d]}\n", 1000) + "---\n"
	fits := maxHeads / len(object)
	if all, err := objects(strings.Repeat(object, fits), "a"); err != nil || len(all) != fits {
		t.Errorf("%d of %d objects, %v", len(all), fits, err)
	}
	if all, err := objects(strings.Repeat(object, fits+fits/50), "a"); err == nil {
		t.Errorf("%d objects, all of them parsed", len(all))
	}
	// What is no head is not parsed, and may be large.
	large := "kind: ConfigMap\ndata:\n  a: " + strings.Repeat("a", maxHeads) + "\n---\n{\"kind\": \"ConfigMap\", \"data\": \"" + strings.Repeat("a", maxHeads) + "\"}\n---\n"
	if all, err := objects(large+object, "a"); err != nil || len(all) != 2 {
		t.Errorf("%d objects, %v", len(all), err)
	}
}
