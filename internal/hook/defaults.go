package hook

import (
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"strings"

	"github.com/google/jsonschema-go/jsonschema"
	"go.yaml.in/yaml/v3"

	"github.com/arc-cleanup/arc-cleanup/charts"
)

// read reads a file of the embedded chart.
func read(name string, unmarshal func([]byte, any) error, into any) error {
	data, err := charts.ArcCleanup.ReadFile(Name + "/" + name)
	if err == nil {
		err = unmarshal(data, into)
	}
	if err != nil {
		return fmt.Errorf("the embedded chart %s: %s: %w", Name, name, err)
	}
	return nil
}

// withDefaults lays values over the chart's, where null takes a default away, and
// has the chart's schema look at what comes out.
func withDefaults(values map[string]any) (map[string]any, error) {
	var (
		defaults map[string]any
		schema   jsonschema.Schema
	)
	if err := errors.Join(read("values.yaml", yaml.Unmarshal, &defaults), read("values.schema.json", json.Unmarshal, &schema)); err != nil {
		return nil, err
	}
	resolved, err := schema.Resolve(nil)
	if err != nil {
		return nil, fmt.Errorf("the embedded chart %s: values.schema.json: %w", Name, err)
	}
	all := withoutNull(defaults, Merge(defaults, values))
	// Numbers as a schema knows them.
	data, err := json.Marshal(all)
	if err != nil {
		return nil, fmt.Errorf("values of the chart %s: %w", Name, err)
	}
	var plain any
	if err := json.Unmarshal(data, &plain); err != nil {
		return nil, fmt.Errorf("values of the chart %s: %w", Name, err)
	}
	if err := resolved.Validate(plain); err != nil {
		return nil, fmt.Errorf("values of the chart %s: %w", Name, readable(err))
	}
	return all, nil
}

// withoutNull takes what is null out of the places where the chart has a default.
func withoutNull(defaults, values map[string]any) map[string]any {
	for key, under := range defaults {
		over, given := values[key]
		if given && over == nil {
			delete(values, key)
			continue
		}
		u, uOK := under.(map[string]any)
		if o, ok := over.(map[string]any); ok && uOK {
			withoutNull(u, o)
		}
	}
	return values
}

// validating is what the schema's library puts before an error for each step into
// the schema. The last one into properties says where the value is.
var validating = regexp.MustCompile(`validating (\S+): `)

// readable says which value it is that the schema refuses, and why.
func readable(err error) error {
	text, value := err.Error(), ""
	for _, m := range validating.FindAllStringSubmatch(text, -1) {
		if after, ok := strings.CutPrefix(m[1], "/properties/"); ok {
			value = strings.ReplaceAll(after, "/properties/", ".") + ": "
		}
	}
	return errors.New(value + validating.ReplaceAllString(text, ""))
}
