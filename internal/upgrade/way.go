package upgrade

import (
	"cmp"
	"fmt"
	"regexp"
	"strconv"
)

// Strategy is what the user asks for.
type Strategy string

// The strategies.
const (
	Auto      Strategy = "auto"      // the gentlest way that is proved
	InPlace   Strategy = "in-place"  // a way that keeps the scale sets, or none
	Reinstall Strategy = "reinstall" // uninstalls everything, and installs it again
)

// Way is how ARC gets to another version.
type Way string

// The ways, the gentlest first.
const (
	// ByHelm is `helm upgrade` of the controller and then of the scale sets.
	ByHelm Way = "helm-upgrade"
	// BySwap stops the controller, changes CRDs and scale sets, and starts the new controller.
	BySwap Way = "freeze-and-swap"
	// ByReinstall uninstalls everything, and installs it again.
	ByReinstall Way = "reinstall"
	// NoWay is that of a forecast with nothing to do.
	NoWay Way = "none"
)

// inPlace reports whether the way keeps the scale sets. The state of an older arc-cleanup names no way: it
// knew only ByReinstall.
func (w Way) inPlace() bool { return w == ByHelm || w == BySwap }

// decision is a way, and why it is the gentlest that is proved.
type decision struct {
	way Way
	why string
}

// minor is a version of ARC as its controller compares it from 0.12.0 on
// (apis/actions.github.com/v1alpha1/version.go, IsVersionAllowed).
type minor struct{ major, minor int }

func (m minor) String() string { return fmt.Sprintf("%d.%d", m.major, m.minor) }

func (m minor) compare(other minor) int {
	return cmp.Or(cmp.Compare(m.major, other.major), cmp.Compare(m.minor, other.minor))
}

// gated is the first version whose controller tolerates scale sets of another patch version.
var gated = minor{0, 12}

var released = regexp.MustCompile(`^(0|[1-9][0-9]{0,8})\.(0|[1-9][0-9]{0,8})\.(0|[1-9][0-9]*)$`)

// minorOf reads a released version. ARC's controller tolerates no others, such as those of pre-releases.
func minorOf(version string) (m minor, ok bool) {
	found := released.FindStringSubmatch(version)
	if found == nil {
		return minor{}, false
	}
	m.major, _ = strconv.Atoi(found[1]) // the expression admits numbers only
	m.minor, _ = strconv.Atoi(found[2])
	return m, true
}

// pairOf reads the minor versions of two released versions.
func pairOf(from, to string) (pair [2]minor, ok bool) {
	a, isA := minorOf(from)
	b, isB := minorOf(to)
	return [2]minor{a, b}, isA && isB
}

// sameMinor reports whether a controller of one version tolerates a scale set of the other.
func sameMinor(a, b string) bool {
	pair, ok := pairOf(a, b)
	return ok && pair[0] == pair[1]
}

// proved are the pairs of versions between which the swap was seen to keep the scale sets, their ids at
// GitHub and their busy runners. docs/upgrade.md says what was run.
var proved = map[[2]minor]string{
	{{0, 12}, {0, 13}}: "0.12.1 to 0.13.1",
	{{0, 12}, {0, 14}}: "0.12.1 to 0.14.2",
	{{0, 13}, {0, 14}}: "0.13.1 to 0.14.2",
}

// experimental are the pairs between which the swap was seen to work only with a preview of the newer version.
var experimental = map[[2]minor]string{
	{{0, 14}, {0, 15}}: "0.14.2 to ARC's source of June 2026",
}

// AllowExperimental is the flag that allows a swap between experimental versions (kubeadm calls it so, too).
const AllowExperimental = "--allow-experimental-upgrades"

// gentlest decides how to get from the installed versions to another one. It is a pure function.
func gentlest(from []string, to string, allowExperimental bool) decision {
	target, ok := minorOf(to)
	if !ok {
		return decision{ByReinstall, fmt.Sprintf("%q is not the version of a release of ARC", printable(to))}
	}
	var installed minor
	for i, version := range from {
		m, ok := minorOf(version)
		switch {
		case !ok:
			return decision{ByReinstall, fmt.Sprintf("the installed version %q is not that of a release of ARC", printable(version))}
		case i > 0 && m != installed:
			return decision{ByReinstall, fmt.Sprintf("the installed releases have different versions, %s and %s", installed, m)}
		}
		installed = m
	}
	pair := [2]minor{installed, target}
	switch evidence, preview := proved[pair], experimental[pair]; {
	case installed == target && installed.compare(gated) < 0:
		return decision{ByReinstall, fmt.Sprintf("a controller before %s deletes the scale sets of every other version", gated)}
	case installed == target:
		return decision{ByHelm, fmt.Sprintf("a controller tolerates scale sets of the same minor version, %s, whose charts have the same CRDs", target)}
	case evidence != "":
		return decision{BySwap, fmt.Sprintf("from %s to %s this was seen to work: %s", installed, target, evidence)}
	case preview != "" && allowExperimental:
		return decision{BySwap, fmt.Sprintf("%s allows it; it was only seen to work with a preview: %s", AllowExperimental, preview)}
	case preview != "":
		return decision{ByReinstall, fmt.Sprintf("from %s to %s, an upgrade in place was only tried with a preview, %s; %s allows it",
			installed, target, preview, AllowExperimental)}
	case target.compare(installed) < 0:
		return decision{ByReinstall, fmt.Sprintf("%s to %s is a downgrade to another minor version", installed, target)}
	default:
		return decision{ByReinstall, fmt.Sprintf("from %s to %s, no upgrade in place is proved", installed, target)}
	}
}

// choose decides how to upgrade, or says why the strategy is refused.
func choose(asked Strategy, from []string, to string, allowExperimental bool) (d decision, refused string) {
	d = gentlest(from, to, allowExperimental)
	switch {
	case asked == Reinstall:
		return decision{ByReinstall, "--strategy reinstall asks for it"}, ""
	case asked == InPlace && !d.way.inPlace():
		return d, "--strategy in-place: " + d.why
	}
	return d, ""
}

// Cost is what a way costs the users of ARC.
type Cost struct {
	What string `json:"what"`
	How  string `json:"how"`
}

// Forecast is what an upgrade to a version would cost, as far as the versions alone tell.
type Forecast struct {
	Version string `json:"version"`
	Way     Way    `json:"way"`
	Why     string `json:"why"`
	Costs   []Cost `json:"costs"`
}

// NewForecast tells how an upgrade would go from the installed versions to another one.
func NewForecast(from []string, to string) *Forecast {
	d := gentlest(from, to, false)
	return &Forecast{to, d.way, d.why, d.way.Costs()}
}

// Costs says what the way costs.
func (w Way) Costs() []Cost {
	switch w {
	case ByHelm:
		return []Cost{
			{"runners", "all keep running"},
			{"jobs", "none is waited for"},
			{"scaling", "each scale set waits about 20 s for a new listener, one after the other"},
			{"ids at GitHub", "kept"},
		}
	case BySwap:
		return []Cost{
			{"runners", "idle ones are replaced; busy ones run to the end of their job"},
			{"jobs", "none is waited for"},
			{"scaling", "stops from the step freeze until the new listeners run, about a minute"},
			{"ids at GitHub", "kept"},
		}
	}
	return []Cost{
		{"runners", "all are removed"},
		{"jobs", "all are waited for, see --busy-runners"},
		{"scaling", "stops for the time of these jobs, and about a minute"},
		{"ids at GitHub", "new"},
	}
}
