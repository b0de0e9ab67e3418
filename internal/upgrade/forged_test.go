package upgrade

import (
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// A record that is forged after the plan was made, or that is not the newest one, does not make Helm delete what
// it names. Helm compares with the revision that is deployed, and a rollback with the newest one.
func TestNoForgedRecordReachesHelm(t *testing.T) {
	set := setAt("a", "set", "a", "runners")
	victim := kind("Secret", "kube-system", "victim", nil)
	record := func(revision int, status string, objects ...kubeObject) kubeObject {
		return helmRecord{namespace: "a", name: "runners", revision: revision, status: status, objects: objects}.object(t)
	}
	elsewhere := helmRecord{at: "a", namespace: "kube-system", name: "runners", objects: []kubeObject{set}}.object(t)
	for name, test := range map[string]struct {
		records []kubeObject
		forged  bool
	}{
		"its own":              {[]kubeObject{record(1, "deployed", set)}, false},
		"old and superseded":   {[]kubeObject{record(1, "deployed", set), record(2, "superseded", set, victim), record(3, "failed", set)}, false},
		"the newest":           {[]kubeObject{record(1, "deployed", set), record(2, "failed", set, victim)}, true},
		"the deployed one":     {[]kubeObject{record(1, "deployed", set, victim), record(2, "failed", set)}, true},
		"of another namespace": {[]kubeObject{elsewhere}, true},
	} {
		for _, step := range []Kind{UpgradeRelease, Rollback, Remove} {
			u, _, fake := upgradingWith(t, append(test.records, crdObjects("Established")...)...)
			fake.renders("runners", set)
			state := theState()
			r := state.Releases[1]
			r.Revision = 1
			r.Sets = append(r.Sets, (&Controller{Namespace: "a", Name: "set"}).key())
			_, err := u.step(t.Context(), &state, Step{step, r, ""})
			said := slices.ContainsFunc(fake.said(), func(s string) bool {
				return strings.HasPrefix(s, "upgrade") || strings.HasPrefix(s, "rollback") || strings.HasPrefix(s, "uninstall")
			})
			if said == test.forged || (err != nil) != test.forged {
				t.Errorf("%s, %s: %v; Helm ran: %v", name, step, err, fake.said())
			}
		}
	}
}

// The plan of an --abort refuses a newest revision with other objects, which a rollback would delete.
func TestAbortChecksTheNewestRevision(t *testing.T) {
	set := helmRecord{namespace: "a", name: "runners", objects: []kubeObject{setAt("a", "set", "a", "runners")}}
	newest := set
	newest.revision, newest.objects = 2, append([]kubeObject{kind("Secret", "kube-system", "victim", nil)}, set.objects...)
	u, _, fake := upgradingWith(t, set.object(t), newest.object(t), setAt("a", "set", "a", "runners"))
	fake.write("helm", "#!/bin/sh\necho '[{\"revision\":2}]'\n")
	u.Helm.Binary = filepath.Join(fake.dir, "helm")
	s, err := look(t.Context(), u.Client, "")
	if err != nil || len(s.Found) != 1 {
		t.Fatalf("%+v, %v", s.Found, err)
	}
	r := s.Found[0].Release
	r.Revision = 1
	p := &Plan{Steps: []Step{{Rollback, r, ""}}}
	if err := u.checkRollbacks(t.Context(), s, p); err != nil || len(p.Refusals) != 1 || !strings.Contains(p.Refusals[0].Message, "the Secret victim in namespace kube-system") {
		t.Errorf("%v, %+v", err, p.Refusals)
	}
}

// No hook of a scale set's record runs when what is broken is removed.
func TestHooksOfScaleSetsDoNotRun(t *testing.T) {
	t.Parallel()
	for _, controller := range []bool{false, true} {
		r := Release{Namespace: "a", Name: "x", Controller: controller, OtherHooks: []string{"Job x"}}
		if no := slices.Contains((&Helm{major: 4}).uninstallArgs(r, "background"), "--no-hooks"); no == controller {
			t.Errorf("controller %t: --no-hooks %t", controller, no)
		}
	}
}
