package release

import (
	"fmt"
	"runtime"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	helm "helm.sh/helm/v3/pkg/release"
)

func TestObjects(t *testing.T) {
	t.Parallel()
	x := Object{"v1", "X", "here", "me"}
	tests := map[string]struct {
		manifest string
		want     []Object
	}{
		"as usual":                   {"apiVersion: v1\nkind: X\nmetadata:\n  name: me\nspec:\n  kind: Y\n", []Object{x}},
		"its namespace":              {"apiVersion: v1\nkind: X\nmetadata:\n  namespace: there\n  name: me\n", []Object{{"v1", "X", "there", "me"}}},
		"in any order":               {"spec: {a: b}\nmetadata:\n# a comment\n\n  name: me\nstatus: {}\nkind: X\nfoo: bar\napiVersion: v1\n", []Object{x}},
		"with CRLF":                  {"apiVersion: v1\r\nkind: X\r\nmetadata:\r\n  name: me\r\n---\r\napiVersion: v1\r\nkind: X\r\nmetadata: {name: me}\r\n", []Object{x, x}},
		"quoted keys":                {"\"apiVersion\": v1\n'kind': \"X\"\nmetadata : {name: me}\n", []Object{x}},
		"a byte order mark":          {"\ufeffapiVersion: v1\nkind: X\nmetadata: {name: me}\n", []Object{x}},
		"JSON":                       {"{\"apiVersion\": \"v1\",\n\"spec\": {},\n\"kind\": \"X\", \"metadata\": {\"name\": \"me\"}\n}", []Object{x}},
		"on the separator's line":    {"---   {apiVersion: v1, kind: X, metadata: {name: me}}\n--- # c\napiVersion: v1\nkind: X\nmetadata: {name: me}", []Object{x, x}},
		"an alias":                   {"metadata: &m\n  name: me\n  labels: *l\nother: &l {a: b}\nkind: X\napiVersion: v1\n", nil},
		"an alias of what was above": {"other: &n me\napiVersion: v1\nkind: X\nmetadata: {name: *n}\n", []Object{x}},
		"a list above":               {"a:\n- kind: Y\nkind: X\napiVersion: v1\nmetadata: {name: me}\n", []Object{x}},
		"a text that looks like one": {"data: |\n  kind: Y\n  metadata: {name: m}\napiVersion: v1\nkind: X\nmetadata: {name: me}\n", []Object{x}},
		"no name":                    {"kind: X\n", []Object{{"", "X", "here", ""}}},
		"no kind":                    {"apiVersion: v1\nmetadata: {name: me}\n", nil},
		"nothing":                    {"---\n---\n# c\n--- \n", nil},
		"what nobody can read":       {"kind: [\n---\napiVersion: v1\nkind: X\nmetadata: {name: me}\n", []Object{x}},
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
	deployed := revision("arc", 1, helm.StatusDeployed)
	body := func(field, value string) string {
		return `{"name": "arc", "namespace": "ns", "version": 1, "info": {"status": "deployed"}, "` + field + `": ` + value + `}`
	}
	tests := map[string]struct{ raw, err string }{
		"a manifest":                {body("manifest", `"`+strings.Repeat("a", maxRaw)+`"`), "not in Helm's format: unpacked it has more than 16 MiB"},
		"spaces":                    {strings.Repeat(" ", 64<<20), "unpacked it has more than 16 MiB"},
		"hooks":                     {body("hooks", "["+strings.Repeat("{},", maxRaw/4)+"{}]"), "it has more than 10000 hooks"},
		"documents":                 {body("manifest", `"`+strings.Repeat(`kind: a\n---\n`, maxRaw/16)+`"`), "its manifest has more than 10000 objects"},
		"a document":                {body("manifest", `"kind: a\nspec: [`+strings.Repeat("1,", maxRaw/4)+`]"`), ""},
		"a name":                    {body("manifest", `"kind: a\nmetadata: {name: [`+strings.Repeat("1,", maxRaw/4)+`]}"`), ""},
		"a document in JSON's form": {body("manifest", `"{kind: a, spec: [`+strings.Repeat("1,", maxRaw/4)+`]}"`), ""},
		"of which nothing is read":  {body("later", "["+strings.Repeat("[],", maxRaw/4)+"[]]"), ""},
		"as much as there may be":   {body("manifest", `"`+strings.Repeat("a", maxRaw-200)+`"`), ""},
	}
	for name, test := range tests {
		o := secret(deployed, holding(test.raw))
		test.raw = ""
		_, c := serve(t, o)
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		_, err := Get(t.Context(), c, here, "arc")
		runtime.ReadMemStats(&after)
		check(t, err, test.err)
		used := (after.TotalAlloc - before.TotalAlloc) >> 20
		t.Logf("%s: %d MiB", name, used)
		if used > 160 {
			t.Errorf("%s: %d MiB were allocated on the way", name, used)
		}
	}
	_, c := serve(t, configMap(deployed, data(strings.Repeat("a", maxSize+4))))
	_, err := Get(t.Context(), c, here, "arc")
	check(t, err, "it has 1048580 bytes, and Kubernetes stores 1048576")

	hooks := strings.Repeat(fmt.Sprintf("{%q: %q},", "kind", "Job"), maxItems-1) + "{}"
	_, c = serve(t, secret(deployed, holding(body("hooks", "["+hooks+"]"))))
	if r, err := Get(t.Context(), c, here, "arc"); err != nil || len(r.HookJobs) != maxItems-1 {
		t.Errorf("as many hooks as there may be: %v", err)
	}
	objects := strings.Repeat(`kind: a\n---\n`, maxItems)
	_, c = serve(t, secret(deployed, holding(body("manifest", `"`+objects+`"`))))
	if r, err := Get(t.Context(), c, here, "arc"); err != nil || len(r.Objects) != maxItems {
		t.Errorf("as many objects as there may be: %v", err)
	}
}
