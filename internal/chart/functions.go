package chart

import (
	"encoding/json"
	"strings"
	"text/template"

	"github.com/Masterminds/sprig/v3"
	"sigs.k8s.io/yaml"
)

// functions returns Sprig's functions, without those that read the environment or the clock, and those of
// Helm's own functions that the chart calls (helm.sh/helm/v3 pkg/engine/funcs.go; include is in parse).
func functions() template.FuncMap {
	out := sprig.HermeticTxtFuncMap()
	out["toYaml"] = func(v any) (string, error) {
		data, err := yaml.Marshal(v)
		return strings.TrimSuffix(string(data), "\n"), err
	}
	out["fromYaml"] = func(text string) (out map[string]any, err error) {
		err = yaml.Unmarshal([]byte(text), &out)
		return out, err
	}
	out["fromYamlArray"] = func(text string) (out []any, err error) {
		err = yaml.Unmarshal([]byte(text), &out)
		return out, err
	}
	out["toJson"] = func(v any) (string, error) {
		data, err := json.Marshal(v)
		return string(data), err
	}
	return out
}
