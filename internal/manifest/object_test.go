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

// An object is read as Helm and Kubernetes do: what is given twice counts the last
// time, and what is of another type than it should be is not there.
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
