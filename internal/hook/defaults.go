package hook

import (
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"strings"
)

// withDefaults lays values over the chart's, where null takes a default away, and
// has the chart's schema look at what comes out.
func (c *preparedChart) withDefaults(values map[string]any) (map[string]any, error) {
	all := withoutNull(c.defaults, Merge(c.defaults, values))
	// Numbers as a schema knows them.
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
		if _, after, ok := strings.Cut(m[1], "/properties/"); ok {
			value = strings.ReplaceAll(after, "/properties/", ".") + ": "
		}
	}
	return errors.New(value + validating.ReplaceAllString(text, ""))
}
