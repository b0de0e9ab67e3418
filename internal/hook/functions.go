package hook

import (
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"text/template"

	"sigs.k8s.io/yaml"
)

// functions are those of Sprig and of Helm's engine (helm.sh/helm/v3 pkg/engine)
// that the chart's templates call, for the arguments they call them with. Sprig itself
// has ten times as many, and with its nine modules is a third of the post-renderer. A
// template that calls another one is not parsed, so that no test passes.
var functions = template.FuncMap{
	"fail": func(message string) (string, error) { return "", errors.New(message) },
	"default": func(otherwise, v any) any {
		if isEmpty(v) {
			return otherwise
		}
		return v
	},
	"ternary": func(yes, no any, condition bool) any {
		if condition {
			return yes
		}
		return no
	},

	"trim":       strings.TrimSpace,
	"trimSuffix": func(suffix, s string) string { return strings.TrimSuffix(s, suffix) },
	"trunc":      func(n int, s string) string { return s[:min(n, len(s))] },
	"replace":    func(before, after, s string) string { return strings.ReplaceAll(s, before, after) },
	"regexFind":  func(pattern, s string) string { return regexp.MustCompile(pattern).FindString(s) },
	"quote":      func(v any) string { return strconv.Quote(fmt.Sprint(v)) },
	"nindent": func(spaces int, s string) string {
		indent := "\n" + strings.Repeat(" ", spaces)
		return indent + strings.ReplaceAll(s, "\n", indent)
	},

	// A number of a values file may be of any type, and was looked at by the schema.
	"int": func(v any) int { n, _ := strconv.ParseFloat(fmt.Sprint(v), 64); return int(n) },
	"add": func(numbers ...int) (sum int) {
		for _, n := range numbers {
			sum += n
		}
		return sum
	},
	"sub": func(a, b int) int { return a - b },
	"mul": func(a, b int) int { return a * b },

	"toJson": func(v any) (string, error) {
		data, err := json.Marshal(v)
		return string(data), err
	},
	"toYaml": func(v any) (string, error) {
		data, err := yaml.Marshal(v)
		return strings.TrimSuffix(string(data), "\n"), err
	},
	"fromYaml": func(text string) (out map[string]any, err error) {
		err = yaml.Unmarshal([]byte(text), &out)
		return out, err
	},
	"fromYamlArray": func(text string) (out []any, err error) {
		err = yaml.Unmarshal([]byte(text), &out)
		return out, err
	},

	"sha256sum": func(s string) string { return fmt.Sprintf("%x", sha256.Sum256([]byte(s))) },

	"list":   func(items ...any) []any { return items },
	"concat": slices.Concat[[]any],
	"first":  func(items []any) any { return items[0] },
	"dict": func(pairs ...any) map[string]any {
		out := map[string]any{}
		for i := 0; i+1 < len(pairs); i += 2 {
			out[fmt.Sprint(pairs[i])] = pairs[i+1]
		}
		return out
	},
	"hasKey": func(m map[string]any, key string) bool { _, ok := m[key]; return ok },
	"set":    func(m map[string]any, key string, v any) map[string]any { m[key] = v; return m },
	// What comes first has the last word, unless it is empty.
	"merge": func(into map[string]any, others ...map[string]any) map[string]any {
		for _, other := range others {
			for key, value := range other {
				if isEmpty(into[key]) {
					into[key] = value
				}
			}
		}
		return into
	},
}

// isEmpty is what a template takes for false.
func isEmpty(v any) bool {
	truth, _ := template.IsTrue(v)
	return !truth
}
