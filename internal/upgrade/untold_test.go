package upgrade

import (
	"strings"
	"testing"

	"github.com/arc-cleanup/arc-cleanup/internal/arc"
)

// An image with a digest only does not tell the controller's version. Then the way is the full one, unless an
// upgrade in place has begun or is asked for.
func TestPrepareWithAnImageByDigest(t *testing.T) {
	for name, test := range map[string]struct {
		strategy Strategy
		from     string
		saved    bool
		way      Way
		refused  string
	}{
		"over a minor":     {Auto, "0.13.1", false, ByReinstall, ""},
		"within a minor":   {"", "0.14.1", false, ByReinstall, ""},
		"asked":            {InPlace, "0.13.1", false, BySwap, "a controller whose image names no version"},
		"it has begun":     {Auto, "0.14.1", true, ByHelm, "a controller whose image names no version"},
		"asked for anyway": {Reinstall, "0.13.1", false, ByReinstall, ""},
	} {
		t.Run(name, func(t *testing.T) {
			controller := func(image, version string) kubeObject {
				c := controllerAt("arc-systems", "arc-systems", "arc")
				specOf(c)["template"].(kubeObject)["spec"].(kubeObject)["containers"].([]any)[0].(kubeObject)["image"] = image
				metadata(c)["labels"].(kubeObject)[arc.LabelVersion] = version
				return c
			}
			is := controller("arc:"+test.from, test.from)
			u, a, helm := upgradingWith(t, append(crdObjects("Established"), is, helmRecord{
				namespace: "arc-systems", name: "arc", objects: []kubeObject{is},
				chart: `{"metadata": {"name": "controller", "version": "` + test.from + `", "appVersion": "` + test.from + `"}}`,
			}.object(t))...)
			helm.renders("arc", controller("arc@sha256:0", "0.14.2"))
			helm.write("crds", newCRDs(t, arc.CRDs()...))
			if test.saved {
				s := theState()
				s.Releases, s.Way = s.Releases[:1], ByHelm
				if err := save(t.Context(), u.Client, s); err != nil {
					t.Fatal(err)
				}
				a.Writes = nil
			}
			q := Request{Chart: chartFolder(t, "controller", "0.14.2"), Strategy: test.strategy}
			p, err := u.Prepare(t.Context(), q, t.TempDir())
			if err != nil || len(a.Writes) > 0 {
				t.Fatalf("%v, it wrote %v", err, a.Writes)
			}
			if p.State.Way != test.way || p.Why == "" {
				t.Errorf("by %s, because %s", p.State.Way, p.Why)
			}
			switch {
			case test.refused == "" && (len(p.Refusals) > 0 || !p.Has(Clean) || p.Cleanup == nil):
				t.Errorf("refused %+v, steps %v", p.Refusals, steps(p))
			case test.refused != "" && (len(p.Refusals) != 1 || !strings.Contains(p.Refusals[0].Message, test.refused) || len(p.Steps) > 0):
				t.Errorf("refused %+v, steps %v", p.Refusals, steps(p))
			}
			if test.strategy != Reinstall && test.way == ByReinstall && !strings.Contains(p.Why, "names no version") {
				t.Errorf("why: %s", p.Why)
			}
		})
	}
}
