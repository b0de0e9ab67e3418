package chart

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"helm.sh/helm/v3/pkg/chart"
	"sigs.k8s.io/yaml"
)

// rule is an RBAC rule.
type rule struct{ APIGroups, Resources, ResourceNames, Verbs []string }

func (r rule) String() string {
	s := strings.Join(r.Verbs, ", ") + " **" + strings.Join(r.Resources, ", ") + "**"
	if group := r.APIGroups[0]; group != "" {
		s += " of " + group
	}
	if len(r.ResourceNames) > 0 {
		s += ", by name only: " + strings.Join(r.ResourceNames, ", ")
	}
	return s
}

// ruleSet is one of the chart's sets of rules.
type ruleSet struct {
	name, about string
	rows        []ruleRow
	includes    []string
}

// ruleRow is the rules under one comment, which is their reason.
type ruleRow struct{ reason, rules string }

// ruleSets reads templates/_rights.tpl, where each set is defined under a comment
// that says what it is, and each rule stands under its reason.
func ruleSets(t *testing.T) []ruleSet {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(chartDir, "templates", "_rights.tpl"))
	if err != nil {
		t.Fatal(err)
	}
	definition := regexp.MustCompile(`(?s)\{\{/\* (\w+): ([^*]+)\. \*/\}\}\n\{\{- define "arc-cleanup\.rules\.(\w+)" \}\}\n(.*?)\{\{- end -\}\}`)
	include := regexp.MustCompile(`^\{\{- include "arc-cleanup\.rules\.(\w+)" \. \}\}`)
	var out []ruleSet
	for _, m := range definition.FindAllStringSubmatch(string(text), -1) {
		if m[1] != m[3] {
			t.Fatalf("the comment over %s is about %s", m[3], m[1])
		}
		set := ruleSet{name: m[1], about: m[2]}
		for line := range strings.Lines(m[4]) {
			last := len(set.rows) - 1
			comment, isComment := strings.CutPrefix(line, "# ")
			i := include.FindStringSubmatch(line)
			switch {
			case i != nil:
				set.includes = append(set.includes, i[1])
			case isComment && (last < 0 || set.rows[last].rules != ""):
				set.rows = append(set.rows, ruleRow{reason: strings.TrimSpace(comment)})
			case isComment:
				set.rows[last].reason += " " + strings.TrimSpace(comment)
			case last < 0:
				t.Fatalf("%s: a rule without a reason: %s", set.name, line)
			default:
				set.rows[last].rules += line
			}
		}
		out = append(out, set)
	}
	if defined := strings.Count(string(text), `define "arc-cleanup.rules.`); defined != len(out) {
		t.Fatalf("%d sets of rules are defined and %d were understood", defined, len(out))
	}
	return out
}

// cell formats the rules of a row for a table.
func (r ruleRow) cell(t *testing.T) string {
	t.Helper()
	text := strings.NewReplacer(
		`{{ include "arc-cleanup.fullname" . | quote }}`, "RELEASE-arc-cleanup",
		`{{ include "arc-cleanup.crdVerbs" . }}`, "[get, list, watch, patch, delete]",
	).Replace(r.rules)
	var rules []rule
	if err := yaml.UnmarshalStrict([]byte(text), &rules); err != nil || len(rules) == 0 {
		t.Fatalf("%d rules, %v:\n%s", len(rules), err, text)
	}
	cells := make([]string, len(rules))
	for i, rule := range rules {
		cells[i] = rule.String()
	}
	return strings.Join(cells, "<br>")
}

// grants returns which sets of rules a variant gets, and where, as the chart says.
func grants(t *testing.T, of string, values map[string]any) string {
	t.Helper()
	c := load(t)
	const name = "templates/grants.txt"
	c.Templates = append(c.Templates, &chart.File{Name: name, Data: []byte(`{{ include "arc-cleanup.` + of + `" . }}`)})
	files := byHelm(t, c, Release{Name: "RELEASE", Namespace: "its own"}, values)
	var granted []struct {
		Namespace *string
		Rules     []string
	}
	if err := yaml.Unmarshal([]byte(files[Name+"/"+name]), &granted); err != nil {
		t.Fatal(err)
	}
	var cells []string
	for _, g := range granted {
		where := "in the whole cluster"
		if g.Namespace != nil {
			where = "in `" + *g.Namespace + "`"
			if *g.Namespace == "its own" {
				where = "in its own namespace"
			}
		}
		cells = append(cells, where+": "+strings.Join(g.Rules, ", "))
	}
	return strings.Join(cells, "<br>")
}

// TestGeneratedRights compares the tables of docs/security.md with the chart.
func TestGeneratedRights(t *testing.T) {
	var b strings.Builder
	b.WriteString("\n| values | rights |\n|---|---|\n")
	all := allVariants(t)
	for _, name := range slices.Sorted(maps.Keys(all)) {
		if slices.Contains([]string{"disabled", "every-value", "without-a-record", "keep-crds"}, name) {
			continue // no rights, or those of another
		}
		text, err := yaml.Marshal(relevant(all[name]))
		if err != nil {
			t.Fatal(err)
		}
		words := strings.Split(strings.TrimSpace(string(text)), "\n")
		granted := grants(t, "grants", all[name])
		if strings.HasPrefix(name, "sweep") {
			granted = "beside those of the hook: " + grants(t, "sweepGrants", all[name])
		}
		fmt.Fprintf(&b, "| `%s` | %s |\n", strings.Join(words, "`<br>`"), granted)
	}
	for _, set := range ruleSets(t) {
		fmt.Fprintf(&b, "\n**%s**: %s.\n\n| rule | why |\n|---|---|\n", set.name, set.about)
		for _, row := range set.rows {
			fmt.Fprintf(&b, "| %s | %s |\n", row.cell(t), row.reason)
		}
		for _, include := range set.includes {
			fmt.Fprintf(&b, "| all of %s | |\n", include)
		}
	}
	b.WriteString("\n")

	const begin, end = "<!-- Written by `make docs` from the chart. -->\n", "<!-- The end of what `make docs` writes. -->\n"
	file := filepath.Join("..", "..", "docs", "security.md")
	page, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, ok := strings.Cut(string(page), begin)
	old, after, closed := strings.Cut(rest, end)
	if !ok || !closed {
		t.Fatalf("%s has no place for the tables, between\n%sand\n%s", file, begin, end)
	}
	if *update {
		if err := os.WriteFile(file, []byte(before+begin+b.String()+end+after), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if diff := cmp.Diff(old, b.String()); diff != "" {
		t.Errorf("%s is stale, run make docs (-is +should be):\n%s", file, diff)
	}
}

// relevant removes from a variant what has nothing to do with rights.
func relevant(values map[string]any) map[string]any {
	out := map[string]any{}
	for key, value := range values {
		switch key {
		case "image":
		case "policy":
			if p, ok := value.(map[string]any)["scaleSets"]; ok && p == "uninstall" {
				out["policy.scaleSets"] = p
			}
			if p, ok := value.(map[string]any)["github"]; ok && p == "deregister" {
				out["policy.github"] = p
			}
		default:
			out[key] = value
		}
	}
	return out
}
