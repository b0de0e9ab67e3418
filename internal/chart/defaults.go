package chart

import (
	"cmp"
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
		return nil, fmt.Errorf("chart %s: %w", Name, readable(err))
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

// validating matches what the schema library writes before an error for each step into the schema. The last
// step into properties names the value, and the last step of all the definition.
var validating = regexp.MustCompile(`validating (\S+): `)

// wordings turn the schema library's errors into what to give. @ stands for the name of the value. A
// definition has a wording of its own where its pattern or type tells a person little.
var wordings = []struct {
	definition string
	from       *regexp.Regexp
	to         string
}{
	{"duration", regexp.MustCompile(`(?s)^(?:pattern|minLength): (.*) (?:does not match|contains) .*$`), `value $1 of @: must be a time such as 90s, 5m or 1h30m`},
	{"duration", regexp.MustCompile(`(?s)^type: (.*) has type ".*$`), `value "$1" of @: must be a time such as 90s, 5m or 1h30m`},
	{"repository", regexp.MustCompile(`(?s)^pattern: (.*) does not match .*$`), `value $1 of @: must be the name of an image, without https:// and without a tag, which is image.tag`},
	{"", regexp.MustCompile(`(?s)^enum: (.*) does not equal any of: \[(?:, )?(.*)\]$`), `value "$1" of @: must be one of $2`},
	{"", regexp.MustCompile(`(?s)^type: (.*) has type "(.*)", want "(.*)"$`), `value "$1" of @: must be of type $3, and is of type $2`},
	{"", regexp.MustCompile(`(?s)^pattern: (.*) does not match regular expression "(.*)"$`), `value $1 of @: must match $2`},
	{"", regexp.MustCompile(`^minimum: ([-\d]+).* is less than (\d+).*$`), `value $1 of @: must be $2 or more`},
	{"", regexp.MustCompile(`^minLength: .*$`), `@ must not be empty`},
	{"", regexp.MustCompile(`(?s)^maxLength: (.*) contains .*, more than (\d+)$`), `value $1 of @: must have at most $2 characters`},
	{"", regexp.MustCompile(`^maxItems: .*$`), `@ must be empty with this scope`},
	{"", regexp.MustCompile(`^uniqueItems: .*$`), `@ has an item twice`},
	{"", regexp.MustCompile(`^required: missing properties: \[(.*)\]$`), `@ needs $1`},
	{"", regexp.MustCompile(`^unexpected additional properties \[(.*)\]$`), `@ has no value $1`},
}

// anyOf stands between a value and the words that the schema allows.
const anyOf = " does not equal any of: "

// readable returns an error that says which value the schema rejects, and what to give instead.
func readable(err error) error {
	text, value, step := err.Error(), "", ""
	for _, m := range validating.FindAllStringSubmatch(text, -1) {
		step = m[1]
		if _, after, ok := strings.Cut(step, "/properties/"); ok {
			value = strings.NewReplacer("/properties/", ".", "/items", "").Replace(after)
		}
	}
	text = validating.ReplaceAllString(text, "")
	if head, words, ok := strings.Cut(text, anyOf); ok {
		text = head + anyOf + strings.Join(strings.Fields(words), ", ")
	}
	for _, w := range wordings {
		m := w.from.FindStringSubmatchIndex(text)
		if m == nil || !strings.HasSuffix(step, w.definition) {
			continue
		}
		return errors.New(string(w.from.ExpandString(nil, strings.ReplaceAll(w.to, "@", cmp.Or(value, "it")), text, m)))
	}
	return errors.New(text)
}
