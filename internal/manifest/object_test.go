package manifest

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

func parse(t *testing.T, text string) Object {
	t.Helper()
	o, err := document(t, text, 0).Parse()
	if err != nil {
		t.Fatal(err)
	}
	return o
}

// An object is read as Helm and Kubernetes read it: of a duplicate key the last counts, and a field of a wrong
// type is not there.
func TestObject(t *testing.T) {
	tests := map[string]struct {
		text, kind, name, namespace string
		labels                      map[string]string
	}{
		"as usual": {"kind: X\nmetadata: {name: n, namespace: s, labels: {a: b, v: 1.0}}\n", "X", "n", "s", map[string]string{"a": "b", "v": "1.0"}},
		"JSON":     {`{"kind": "X", "metadata": {"name": "n", "labels": {"a": "b"}}}`, "X", "n", "", map[string]string{"a": "b"}},
		"null":     {"kind: X\nmetadata: {name: n, namespace: null, labels: }\n", "X", "n", "", nil},
		"twice":    {"kind: Y\nkind: X\nmetadata: {name: m, name: n, labels: {a: a, a: b}}\n", "X", "n", "", map[string]string{"a": "b"}},
		"alias":    {"kind: &k X\nmetadata: &m {name: *k, labels: &l {a: *k}}\nspec: *m\n", "X", "X", "", map[string]string{"a": "X"}},
		"no types": {"kind: [X]\nmetadata: {name: {}, labels: [a]}\n", "", "", "", nil},
		"no map":   {"- kind: X\n", "", "", "", nil},
		"scalar":   {"kind\n", "", "", "", nil},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			o := parse(t, test.text)
			if o.Kind() != test.kind || o.Name() != test.name || o.Namespace() != test.namespace {
				t.Errorf("got %s %s/%s", o.Kind(), o.Namespace(), o.Name())
			}
			if diff := cmp.Diff(test.labels, o.Labels()); diff != "" && len(test.labels)+len(o.Labels()) > 0 {
				t.Error(diff)
			}
			if items := o.Items(); len(items) != 1 || items[0] != o {
				t.Errorf("items %v", items)
			}
		})
	}
}

func TestItems(t *testing.T) {
	for text, want := range map[string][]string{
		"kind: List\nitems: [{kind: A}, {kind: B}]\n":  {"A", "B"},
		"kind: RoleList\nitems: [&a {kind: A}, *a]\n":  {"A", "A"},
		"kind: List\nitems: []\n":                      nil,
		"kind: List\nitems: {kind: A}\n":               {"List"},
		"kind: Playlist\nspec: {items: [{kind: A}]}\n": {"Playlist"},
		"kind: X\nitems: [{kind: A}]\n":                {"X"},
	} {
		var got []string
		for _, o := range parse(t, text).Items() {
			got = append(got, o.Kind())
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s%s", text, diff)
		}
	}
}

// A document whose root is not a mapping is no object. kyaml panics if asked for the kind of a list of one.
func TestRootThatIsNoMapping(t *testing.T) {
	for _, text := range []string{"- kind: X\n", "[X]\n", "- 1\n- 2\n- 3\n", "kind\n", "5\n", "null\n", "---\n", "\u0085\n", "&a [*a]\n"} {
		o := parse(t, text)
		if o != (Object{}) || o.Kind() != "" || o.APIVersion() != "" || o.Name() != "" || o.Namespace() != "" || len(o.Labels())+len(o.Annotations()) > 0 {
			t.Errorf("%q is an object: %v", text, o)
		}
		if items := o.Items(); len(items) != 1 || items[0] != o {
			t.Errorf("%q: items %v", text, items)
		}
	}
	for _, o := range parse(t, "kind: List\nitems: [[X], X, null, 5, [kind, X, metadata]]\n").Items() {
		if o != (Object{}) || o.Kind() != "" || len(o.Labels()) > 0 {
			t.Errorf("an item that is no mapping is an object: %v", o)
		}
	}
}

// Of a key that is given twice the last counts, at every depth, for questions and for decoding.
func TestTheLastOfADuplicateKeyCounts(t *testing.T) {
	const text = `
kind: Y
metadata: {name: m, name: n, labels: {a: 1}, labels: {a: a, a: b}}
spec: {x: 1}
kind: X
spec:
  list: [{k: 1, k: 2}]
  deep: {k: {k: 1}, k: {k: 1, k: 2}}
other:
  ? {complex: 1}
  : 1
  ? {complex: 2}
  : 2
`
	o := parse(t, text)
	if o.Kind() != "X" || o.Name() != "n" || o.Labels()["a"] != "b" || len(o.Labels()) != 1 {
		t.Errorf("%s %s, labels %v", o.Kind(), o.Name(), o.Labels())
	}
	if o.lookup("spec", "x") != nil || o.lookup("spec", "deep", "k", "k") == nil {
		t.Error("the first spec counts")
	}
	if other := o.lookup("other"); len(other.Content()) != 4 {
		t.Errorf("keys that are no scalars are lost: %v", other.Content())
	}
	var got struct {
		List []map[string]int
		Deep map[string]map[string]int
	}
	if err := o.Decode(&got, "spec"); err != nil {
		t.Fatal(err)
	}
	if got.List[0]["k"] != 2 || got.Deep["k"]["k"] != 2 {
		t.Errorf("%+v", got)
	}
}

func TestDecode(t *testing.T) {
	o := parse(t, "a: {b: &b [1, 2], c: *b, null: }\n")
	for path, want := range map[string]int{"b": 2, "c": 2, "d": 0} {
		var list []int
		if err := o.Decode(&list, "a", path); err != nil || len(list) != want {
			t.Errorf("%s: %v, %v", path, list, err)
		}
	}
	var text struct{ X string }
	if err := o.Decode(&text, "a", "b"); err == nil {
		t.Error("a list was decoded into a struct")
	}
}

// Aliases may refer to what contains them, and to each other.
func TestAliasesEnd(t *testing.T) {
	for _, text := range []string{
		"kind: X\nspec: &a {a: *a}\n",
		"kind: &a {kind: *a}\nmetadata: &b {name: *b, labels: *b}\n",
		"kind: List\nitems: &a [*a]\n",
	} {
		for _, o := range parse(t, text).Items() {
			var into map[string]any
			if o.Name() != "" || o.Decode(&into, "spec") == nil && len(into) > 0 {
				t.Errorf("%q: %v, %v", text, o.Name(), into)
			}
		}
	}
}
