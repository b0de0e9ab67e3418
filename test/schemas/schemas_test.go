// Package schemas holds what the chart renders against the kinds of every Kubernetes
// that it may meet. It needs no cluster.
package schemas

import (
	"encoding/json"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/structured-merge-diff/v6/typed"
	"sigs.k8s.io/yaml"
)

// versions are those that a cluster may have, each as the module that holds
// its kinds, and that module's checksum.
var versions = map[string]string{
	"v0.29.15": "h1:zCBOXKCtz9Hl8boKUGs8zbtZEP6pc7O8Ov3ma+gnS6o=",
	"v0.30.14": "h1:D81QZvBtv897JU4HRsx4YoaCDnzeZSvB8eApgmbtXVA=",
	"v0.31.14": "h1:d4/G0xfksNIbMWH7ghjzOwC5bTAwQ20gABTjZw7fLlQ=",
	"v0.32.13": "h1:FxVdGzgrWW8QBprX/xJjoxs9tE06UJIbuy8IfNoxn0c=",
	"v0.33.13": "h1:gyirIFpLEF9RltmrUkkObQFkxeumU2hRcxiDsVfrf1w=",
	"v0.34.13": "h1:47Nf1YByDhpYtyOB9zd56FB9bEDxsozH1ic3VyU7zV0=",
	"v0.35.10": "h1:HXF+042qTnXFFISMiuMHiM5yN2lVonVQQAkpIWxSGPk=",
	"v0.36.6":  "h1:/nxcosTtar7svq4xjpzMPirzoShNK2+nSZ7AGDL6c3k=",
	"v0.37.2":  "h1:sgFtyRZukGkOrsu+QgS7LYnbFFJ5ut3MchdBNduD//E=",
}

// TestChart: no object has a field that one of the versions does not know, or of
// another type. What a field may hold is checked by the API server that runs, in
// TestChartIsValid of test/e2e.
func TestChart(t *testing.T) {
	t.Parallel()
	objects := golden(t)
	for version, sum := range versions {
		t.Run(version, func(t *testing.T) {
			t.Parallel()
			kinds := kindsOf(t, version, sum)
			for _, o := range objects {
				if err := check(kinds, o); err != nil {
					t.Errorf("%s %s: %v", o.GetKind(), o.GetName(), err)
				}
			}
			// The check finds what it is for.
			bad := objects[0].DeepCopy()
			bad.Object["sepc"] = map[string]any{}
			if check(kinds, bad) == nil {
				t.Error("an unknown field is taken for a known one")
			}
		})
	}
}

// golden are the objects of every variant of the chart's values, and of what the
// post-renderer adds under Helm 3.
func golden(t *testing.T) []*unstructured.Unstructured {
	t.Helper()
	files, err := filepath.Glob(filepath.Join("..", "..", "internal", "chart", "testdata", "*.golden.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	var out []*unstructured.Unstructured
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, document := range regexp.MustCompile(`(?m)^---$`).Split(string(text), -1) {
			o := &unstructured.Unstructured{}
			if err := yaml.Unmarshal([]byte(document), &o.Object); err != nil {
				t.Fatalf("%s: %v", file, err)
			}
			switch {
			case len(o.Object) == 0:
			case o.IsList():
				list, err := o.ToList()
				if err != nil {
					t.Fatalf("%s: %v", file, err)
				}
				for i := range list.Items {
					out = append(out, &list.Items[i])
				}
			default:
				out = append(out, o)
			}
		}
	}
	if len(out) < 40 {
		t.Fatalf("found only %d objects", len(out))
	}
	return out
}

func check(kinds *typed.Parser, o *unstructured.Unstructured) error {
	gvk := o.GroupVersionKind()
	group, _, _ := strings.Cut(gvk.Group, ".")
	if group == "" {
		group = "core"
	}
	kind := kinds.Type(strings.Join([]string{"io.k8s.api", group, gvk.Version, gvk.Kind}, "."))
	if !kind.IsValid() {
		return fmt.Errorf("%s is no kind of this version", gvk)
	}
	text, err := yaml.Marshal(o.Object)
	if err != nil {
		return err
	}
	_, err = kind.FromYAML(typed.YAMLObject(text))
	return err
}

// kindsOf reads the kinds of a version of Kubernetes: client-go has them, as a
// string, for server-side apply.
func kindsOf(t *testing.T, version, sum string) *typed.Parser {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), "go", "mod", "download", "-json", "k8s.io/client-go@"+version).Output()
	var module struct{ Dir, Sum, Error string }
	if jsonErr := json.Unmarshal(out, &module); err != nil || jsonErr != nil {
		t.Fatalf("fetching client-go %s: %v %v %s", version, err, jsonErr, module.Error)
	}
	if module.Sum != sum {
		t.Fatalf("client-go %s has the checksum %s, want %s", version, module.Sum, sum)
	}
	file, err := parser.ParseFile(token.NewFileSet(), filepath.Join(module.Dir, "applyconfigurations", "internal", "internal.go"), nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	var text string
	ast.Inspect(file, func(n ast.Node) bool {
		if lit, ok := n.(*ast.BasicLit); ok && strings.HasPrefix(lit.Value, "`types:") {
			text, err = strconv.Unquote(lit.Value)
		}
		return text == "" && err == nil
	})
	if text == "" || err != nil {
		t.Fatalf("client-go %s does not have the kinds where they are looked for: %v", version, err)
	}
	kinds, err := typed.NewParser(typed.YAMLObject(text))
	if err != nil {
		t.Fatal(err)
	}
	return kinds
}
