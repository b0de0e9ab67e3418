package detect

import (
	"encoding/base64"
	"encoding/json"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/arc-cleanup/arc-cleanup/internal/gzip"
	"github.com/arc-cleanup/arc-cleanup/internal/helm"
)

// The CRDs of a chart are in the files of its folder crds/, as Helm reads them.
func TestCRDs(t *testing.T) {
	t.Parallel()
	of := func(name string) string { return "kind: CustomResourceDefinition\nmetadata: {name: " + name + "}\n" }
	tests := map[string]struct {
		files map[string]string
		want  []string
		err   string
	}{
		"none":            {nil, nil, ""},
		"four":            {map[string]string{"crds/1.yaml": of("a"), "crds/2.yml": of("b"), "crds/3.JSON": `{"kind": "CustomResourceDefinition", "metadata": {"name": "c"}}`, "crds/sub/4.yaml": of("d")}, []string{"a", "b", "c", "d"}, ""},
		"in one file":     {map[string]string{"crds/1.yaml": of("a") + "---\n" + of("b") + "---\n# none\n"}, []string{"a", "b"}, ""},
		"other files":     {map[string]string{"crds/1.txt": "[", "other/1.yaml": of("a"), "crds.yaml": of("a"), "crds/README.md": of("a")}, nil, ""},
		"another kind":    {map[string]string{"crds/1.yaml": "kind: ConfigMap\n"}, nil, ""},
		"no YAML":         {map[string]string{"crds/1.yaml": "["}, nil, "the CRDs in the record of release arc: "},
		"more than ARC's": {map[string]string{"crds/1.yaml": strings.Repeat("# \n", maxCRDs/3+1)}, nil, "have more than 8 MiB"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, err := CRDs(recordWith(t, test.files))
			if test.err != "" {
				if err == nil || !strings.Contains(err.Error(), test.err) {
					t.Errorf("%v, want %q", err, test.err)
				}
				return
			}
			var names []string
			for _, crd := range got {
				names = append(names, crd["metadata"].(map[string]any)["name"].(string))
			}
			if diff := cmp.Diff(test.want, names); diff != "" || err != nil {
				t.Errorf("%v (-want +got):\n%s", err, diff)
			}
		})
	}
	if crds, err := CRDs(decoded(t, map[string]any{"name": "arc"})); err != nil || crds != nil {
		t.Errorf("without a chart: %v, %v", crds, err)
	}
	if _, err := CRDs(decoded(t, map[string]any{"name": "arc", "chart": map[string]any{"files": 1}})); err == nil {
		t.Error("a chart that is none")
	}
}

func recordWith(t *testing.T, files map[string]string) *helm.Record {
	t.Helper()
	var list []map[string]any
	for _, name := range []string{"crds/1.yaml", "crds/2.yml", "crds/3.JSON", "crds/sub/4.yaml", "crds/1.txt", "other/1.yaml", "crds.yaml", "crds/README.md"} {
		if text, has := files[name]; has {
			list = append(list, map[string]any{"name": name, "data": []byte(text)})
		}
	}
	return decoded(t, map[string]any{"name": "arc", "chart": map[string]any{"files": list}})
}

func decoded(t *testing.T, record map[string]any) *helm.Record {
	t.Helper()
	text, err := json.Marshal(record)
	if err != nil {
		t.Fatal(err)
	}
	r, err := helm.Decode([]byte(base64.StdEncoding.EncodeToString(gzip.Pack(text))))
	if err != nil {
		t.Fatal(err)
	}
	return r
}
