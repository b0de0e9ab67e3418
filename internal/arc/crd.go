package arc

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// LackingCRD is a CRD in a cluster that is not the one that a controller was built with.
type LackingCRD struct {
	Name string `json:"name"`
	// Lacks says what the API server would drop or refuse of what the controller writes.
	Lacks []string `json:"lacks"`
}

// String names the CRD and the first things that it lacks.
func (o LackingCRD) String() string {
	const named = 2
	text := o.Name + " has " + strings.Join(o.Lacks[:min(named, len(o.Lacks))], ", ")
	if more := len(o.Lacks) - named; more > 0 {
		text += fmt.Sprintf(" and %d more", more)
	}
	return text
}

// Lacks says what a CRD has not of another one, so that the API server would drop or refuse objects that
// are written for that: versions, subresources, and fields that do not exist, have another type, or are
// required here only. Descriptions do not count, nor what only this CRD has.
func Lacks(is, want map[string]any) (out []string) {
	for _, w := range versionsOf(want) {
		if w["served"] != true {
			continue
		}
		served := func(v map[string]any) bool { return v["name"] == w["name"] && v["served"] == true }
		found := slices.IndexFunc(versionsOf(is), served)
		if found < 0 {
			out = append(out, fmt.Sprintf("no version %v", w["name"]))
			continue
		}
		i := versionsOf(is)[found]
		if w["storage"] == true && i["storage"] != true {
			out = append(out, fmt.Sprintf("another stored version than %v", w["name"]))
		}
		for name := range mapOf(w, "subresources") {
			if mapOf(i, "subresources")[name] == nil {
				out = append(out, "no subresource "+name)
			}
		}
		lackingOf(mapOf(mapOf(i, "schema"), schemaKey), mapOf(mapOf(w, "schema"), schemaKey), "", func(what, field string) {
			out = append(out, what+" "+strings.TrimPrefix(field, "."))
		})
	}
	// The fields with the shortest names are ARC's own; the others are those of a Pod.
	slices.SortFunc(out, func(a, b string) int { return cmp.Or(cmp.Compare(len(a), len(b)), cmp.Compare(a, b)) })
	return out
}

const (
	schemaKey = "openAPIV3Schema"
	// othersKey is the key of the schema of all fields that have none of their own.
	othersKey = "additionalProperties"
)

// lackingOf compares the schemas of a field.
func lackingOf(is, want map[string]any, field string, add func(what, field string)) {
	if typeOf(is) != typeOf(want) || is["type"] == "string" && is["format"] != nil && is["format"] != want["format"] {
		add("another type of", field)
		return
	}
	if values := listOf(is, "enum"); len(values) > 0 && !within(listOf(want, "enum"), values) {
		add("fewer values of", field)
	}
	if is["x-kubernetes-preserve-unknown-fields"] != true {
		lackingIn(is, want, field, add)
	}
}

// lackingIn compares what is in a field.
func lackingIn(is, want map[string]any, field string, add func(what, field string)) {
	fields, wanted := mapOf(is, "properties"), mapOf(want, "properties")
	for _, name := range listOf(is, "required") {
		if !slices.Contains(listOf(want, "required"), name) && mapOf(fields, name)["default"] == nil {
			add("a required", field+"."+name)
		}
	}
	open := is[othersKey] != nil && is[othersKey] != false
	for name := range maps.Keys(wanted) {
		switch {
		case fields[name] != nil:
			lackingOf(mapOf(fields, name), mapOf(wanted, name), field+"."+name, add)
		case !open:
			add("no", field+"."+name)
		}
	}
	if others := mapOf(want, othersKey); others != nil && is[othersKey] != true {
		lackingOf(mapOf(is, othersKey), others, field+"[]", add)
	}
	if items := mapOf(want, "items"); items != nil {
		lackingOf(mapOf(is, "items"), items, field+"[]", add)
	}
}

// typeOf returns what a schema allows.
func typeOf(schema map[string]any) string {
	return fmt.Sprint(schema["type"], schema["x-kubernetes-int-or-string"])
}

// within reports whether a list names something, and nothing that the other one does not name.
func within(list, other []string) bool {
	return len(list) > 0 && !slices.ContainsFunc(list, func(text string) bool { return !slices.Contains(other, text) })
}

func versionsOf(crd map[string]any) (out []map[string]any) {
	versions, _ := mapOf(crd, "spec")["versions"].([]any)
	for _, v := range versions {
		if version, is := v.(map[string]any); is {
			out = append(out, version)
		}
	}
	return out
}

func mapOf(o map[string]any, key string) map[string]any {
	m, _ := o[key].(map[string]any)
	return m
}

// listOf returns the elements of a list as texts.
func listOf(o map[string]any, key string) (out []string) {
	list, _ := o[key].([]any)
	for _, element := range list {
		out = append(out, fmt.Sprint(element))
	}
	return out
}
