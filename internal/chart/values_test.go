package chart

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestValues(t *testing.T) {
	file := func(name, text string) string {
		name = filepath.Join(t.TempDir(), name)
		if err := os.WriteFile(name, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		return name
	}
	first := file("a.yaml", "policy: {grace: 1s, budget: 2s}\ntolerations: [{key: a}, {key: b}]\n")
	second := file("b.yaml", "policy: {grace: 3s}\ntolerations: [{key: c}]\n")

	got, err := Values([]string{first, second},
		[]string{"policy.budget=4s,backoffLimit=1", "nodeSelector.pool=7"}, []string{"nodeSelector.pool=8"})
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]any{
		"policy":       map[string]any{"grace": "3s", "budget": "4s"},
		"tolerations":  []any{map[string]any{"key": "c"}},
		"backoffLimit": int64(1),
		"nodeSelector": map[string]any{"pool": "8"},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}

	t.Setenv("ARC_CLEANUP_SET", "image.repository=a,policy.budget=0s,backoffLimit=0")
	got, err = Values([]string{second}, []string{"backoffLimit=2"}, nil)
	want = map[string]any{
		"policy": map[string]any{"grace": "3s", "budget": "0s"}, "tolerations": []any{map[string]any{"key": "c"}},
		"backoffLimit": int64(2), "image": map[string]any{"repository": "a"},
	}
	if diff := cmp.Diff(want, got); err != nil || diff != "" {
		t.Errorf("with the environment's: %v %s", err, diff)
	}
	t.Setenv("ARC_CLEANUP_SET", "a=b=,[")
	if _, err := Values(nil, nil, nil); err == nil || !strings.Contains(err.Error(), "environment variable ARC_CLEANUP_SET=a=b=,[") {
		t.Errorf("the environment's are wrong: %v", err)
	}
	t.Setenv("ARC_CLEANUP_SET", "")

	for want, err := range map[string]error{
		"--values ":           failure(Values([]string{file("c.yaml", "a: [")}, nil, nil)),
		"no such file":        failure(Values([]string{"/nonexistent/values.yaml"}, nil, nil)),
		"--set a=b=,[":        failure(Values(nil, []string{"a=b=,["}, nil)),
		"--set-string a[x]=1": failure(Values(nil, nil, []string{"a[x]=1"})),
	} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want an error with %q", err, want)
		}
	}
}

func failure(_ map[string]any, err error) error { return err }

func TestMergeChangesNeither(t *testing.T) {
	under := map[string]any{"m": map[string]any{"a": 1}, "l": []any{1}}
	over := map[string]any{"m": map[string]any{"b": 2}, "l": nil}
	got := Merge(under, over)
	if diff := cmp.Diff(map[string]any{"m": map[string]any{"a": 1, "b": 2}, "l": nil}, got); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff(map[string]any{"m": map[string]any{"a": 1}, "l": []any{1}}, under); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff(map[string]any{"m": map[string]any{"b": 2}, "l": nil}, over); diff != "" {
		t.Error(diff)
	}
}
