package chart

import (
	"fmt"
	"maps"
	"os"

	"helm.sh/helm/v3/pkg/strvals"
	"sigs.k8s.io/yaml"
)

// SetVariable is an environment variable with values as in --set. The command line overrides them. It is
// there so that not every command line has to name the image.
const SetVariable = "ARC_CLEANUP_SET"

// Values reads the user's values as helm does: the files in their order, then --set, then --set-string. It
// does not use helm.sh/helm/v3/pkg/cli/values, which links OCI registries. Errors name the file or the flag.
func Values(files, set, setString []string) (map[string]any, error) {
	out := map[string]any{}
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			return nil, fmt.Errorf("--values: %w", err)
		}
		var values map[string]any
		if err := yaml.Unmarshal(data, &values); err != nil {
			return nil, fmt.Errorf("--values %s: %w", file, err)
		}
		out = Merge(out, values)
	}
	if value := os.Getenv(SetVariable); value != "" {
		if err := strvals.ParseInto(value, out); err != nil {
			return nil, fmt.Errorf("environment variable %s=%s: %w", SetVariable, value, err)
		}
	}
	for _, value := range set {
		if err := strvals.ParseInto(value, out); err != nil {
			return nil, fmt.Errorf("--set %s: %w", value, err)
		}
	}
	for _, value := range setString {
		if err := strvals.ParseIntoString(value, out); err != nil {
			return nil, fmt.Errorf("--set-string %s: %w", value, err)
		}
	}
	return out, nil
}

// Merge merges values over others as helm does: maps key by key, everything else as a whole. It changes
// neither.
func Merge(under, over map[string]any) map[string]any {
	out := maps.Clone(under)
	if out == nil {
		out = map[string]any{}
	}
	for key, value := range over {
		if o, ok := value.(map[string]any); ok {
			if u, ok := out[key].(map[string]any); ok {
				value = Merge(u, o)
			}
		}
		out[key] = value
	}
	return out
}
