package upgrade

import (
	"strings"
	"testing"
)

func TestGentlest(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		from []string
		to   string
		way  Way
		why  string
	}{
		"same minor":                 {[]string{"0.14.1", "0.14.0"}, "0.14.2", ByHelm, "same minor version, 0.14"},
		"same minor, back":           {[]string{"0.14.2"}, "0.14.0", ByHelm, "same minor version"},
		"the first of its kind":      {[]string{"0.12.0"}, "0.12.1", ByHelm, "same minor version"},
		"before the gate":            {[]string{"0.11.0"}, "0.11.1", ByReinstall, "a controller before 0.12 deletes"},
		"long before":                {[]string{"0.6.1"}, "0.6.2", ByReinstall, "a controller before 0.12 deletes"},
		"a proved pair":              {[]string{"0.13.1", "0.13.0"}, "0.14.2", BySwap, "from 0.13 to 0.14 this was seen to work: 0.13.1 to 0.14.2"},
		"over two":                   {[]string{"0.12.1"}, "0.14.2", BySwap, "from 0.12 to 0.14"},
		"the next one":               {[]string{"0.12.0"}, "0.13.1", BySwap, "from 0.12 to 0.13 this was seen to work: 0.12.1 to 0.13.1"},
		"never run":                  {[]string{"0.13.1"}, "0.15.0", ByReinstall, "from 0.13 to 0.15, no upgrade in place is proved"},
		"not yet":                    {[]string{"0.14.2"}, "0.15.0", ByReinstall, "from 0.14 to 0.15, an upgrade in place was only tried with a preview, 0.14.2 to ARC's source of June 2026; --allow-experimental-upgrades allows it"},
		"from before the gate":       {[]string{"0.11.0"}, "0.12.1", ByReinstall, "no upgrade in place is proved"},
		"another major":              {[]string{"0.14.2"}, "1.14.2", ByReinstall, "from 0.14 to 1.14, no upgrade"},
		"back over a minor":          {[]string{"0.14.2"}, "0.13.1", ByReinstall, "0.14 to 0.13 is a downgrade"},
		"back over a major":          {[]string{"1.0.0"}, "0.14.2", ByReinstall, "is a downgrade"},
		"different ones":             {[]string{"0.13.1", "0.14.2"}, "0.14.2", ByReinstall, "different versions, 0.13 and 0.14"},
		"a pre-release":              {[]string{"0.14.2"}, "0.14.3-rc1", ByReinstall, `"0.14.3-rc1" is not the version of a release`},
		"with a v":                   {[]string{"0.14.2"}, "v0.14.3", ByReinstall, "is not the version of a release"},
		"from a pre-release":         {[]string{"0.14.0", "0.14.0-rc1"}, "0.14.2", ByReinstall, `the installed version "0.14.0-rc1"`},
		"no version":                 {[]string{""}, "0.14.2", ByReinstall, `the installed version ""`},
		"two numbers":                {[]string{"0.14"}, "0.14.2", ByReinstall, `the installed version "0.14"`},
		"a leading zero":             {[]string{"0.014.1"}, "0.14.2", ByReinstall, "the installed version"},
		"a text that a tenant wrote": {[]string{"\x1b[31m"}, "0.14.2", ByReinstall, `" [31m"`},
		"a number that is too large": {[]string{"0.99999999999999999999.1"}, "0.14.2", ByReinstall, "the installed version"},
	}
	for name, test := range tests {
		if d := gentlest(test.from, test.to, false); d.way != test.way || !strings.Contains(d.why, test.why) {
			t.Errorf("%s: %+v", name, d)
		}
	}
}

// The flag allows the pairs that were tried with a preview, and nothing else.
func TestAllowExperimental(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		from, to string
		way      Way
		why      string
	}{
		{"0.14.2", "0.15.0", BySwap, "--allow-experimental-upgrades allows it; it was only seen to work with a preview: 0.14.2 to ARC's source of June 2026"},
		{"0.13.1", "0.15.0", ByReinstall, "from 0.13 to 0.15, no upgrade in place is proved"},
		{"0.15.0", "0.14.2", ByReinstall, "is a downgrade"},
		{"0.14.2", "0.15.0-rc1", ByReinstall, "is not the version of a release"},
		{"0.13.1", "0.14.2", BySwap, "from 0.13 to 0.14 this was seen to work"},
		{"0.14.1", "0.14.2", ByHelm, "same minor version"},
	} {
		if d := gentlest([]string{test.from}, test.to, true); d.way != test.way || !strings.Contains(d.why, test.why) {
			t.Errorf("%s to %s: %+v", test.from, test.to, d)
		}
	}
}

func TestChoose(t *testing.T) {
	t.Parallel()
	old, far := []string{"0.13.1"}, []string{"0.9.3"}
	for _, test := range []struct {
		asked   Strategy
		from    []string
		way     Way
		refused string
	}{
		{Auto, old, BySwap, ""},
		{Auto, far, ByReinstall, ""},
		{InPlace, old, BySwap, ""},
		{InPlace, far, ByReinstall, "--strategy in-place: from 0.9 to 0.14, no upgrade in place is proved"},
		{Reinstall, old, ByReinstall, ""},
	} {
		d, refused := choose(test.asked, test.from, "0.14.2", false)
		if d.way != test.way || refused != test.refused || d.why == "" {
			t.Errorf("%s from %s: %+v, refused %q", test.asked, test.from, d, refused)
		}
	}
}

// Each way says what it costs, in the same four words.
func TestCosts(t *testing.T) {
	t.Parallel()
	for _, way := range []Way{ByHelm, BySwap, ByReinstall} {
		var what []string
		for _, c := range way.Costs() {
			what = append(what, c.What)
		}
		if got := strings.Join(what, ", "); got != "runners, jobs, scaling, ids at GitHub" {
			t.Errorf("%s: %s", way, got)
		}
	}
	if Way("").inPlace() || ByReinstall.inPlace() || !ByHelm.inPlace() || !BySwap.inPlace() {
		t.Error("which ways are in place?")
	}
}
