package release

import (
	"errors"
	"testing"

	helm3 "helm.sh/helm/v3/pkg/release"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// A record that changes between the list and the read is read again.
func TestDecodeLooksAtTheOutside(t *testing.T) {
	t.Parallel()
	r := revision("arc", 1, helm3.StatusDeployed)
	for name, o := range map[string]*unstructured.Unstructured{
		"another label":  secret(r, labelled("version", "2")),
		"another type":   secret(r, typed("Opaque")),
		"in a ConfigMap": configMap(r, labelled("version", "2")),
	} {
		if _, err := decode(o); !errors.Is(err, errForeign) {
			t.Errorf("%s: %v", name, err)
		}
	}
	for text, want := range map[string]bool{`"apply_method": "ssa"`: true, `"apply_method": "csa"`: false, `"x": 1`: false} {
		got, err := decode(secret(r, holding(`{"name": "arc", "version": 1, "config": {"a": 1}, `+text+"}")))
		if err != nil || got.ServerSide != want || got.Driver != "secret" || string(got.Config) != `{"a": 1}` {
			t.Errorf("%s: %+v, %v", text, got, err)
		}
	}
}
