package chart

import (
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"strings"
)

// withDefaults merges values over the chart's defaults and validates the result against the chart's
// schema. As for Helm, null removes a default.
func (c *preparedChart) withDefaults(values map[string]any) (map[string]any, error) {
	all := withoutNull(c.defaults, Merge(c.defaults, values))
	// JSON has the types of numbers that a schema has.
	data, err := json.Marshal(all)
	if err != nil {
		return nil, fmt.Errorf("values of the chart %s: %w", Name, err)
	}
	var plain any
	if err := json.Unmarshal(data, &plain); err != nil {
		return nil, fmt.Errorf("values of the chart %s: %w", Name, err)
	}
	if err := c.schema.Validate(plain); err != nil {
		return nil, fmt.Errorf("values of the chart %s: %w", Name, readable(err))
	}
	return all, nil
}

// withoutNull removes every value that is null and for which the chart has a default.
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

// validating is what the schema library writes before an error for each step into the schema. The last
// step into properties names the value.
var validating = regexp.MustCompile(`validating (\S+): `)

// readable returns an error that says which value the schema rejects, and why.
func readable(err error) error {
	text, value := err.Error(), ""
	for _, m := range validating.FindAllStringSubmatch(text, -1) {
		if _, after, ok := strings.Cut(m[1], "/properties/"); ok {
			value = strings.ReplaceAll(after, "/properties/", ".") + ": "
		}
	}
	return errors.New(value + validating.ReplaceAllString(text, ""))
}
