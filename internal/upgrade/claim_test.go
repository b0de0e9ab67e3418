package upgrade

import (
	"strings"
	"testing"

	"github.com/arc-cleanup/arc-cleanup/internal/arc"
)

// Of two runs of a swap, at most one goes on: one whose plan is older than the state writes nothing, and one
// that is overtaken stops before its next step.
func TestOneRunOfASwap(t *testing.T) {
	u, a, helm, state := frozenARC(t)
	helm.write("crds", newCRDs(t, arc.CRDs()...))
	if err := save(t.Context(), u.Client, state); err != nil {
		t.Fatal(err)
	}
	read := func() *Plan {
		t.Helper()
		s, err := look(t.Context(), u.Client, "arc-systems")
		if err != nil || s.Saved == nil {
			t.Fatal(err)
		}
		saved := *s.Saved
		saved.secrets, saved.Target.Controller.path = s.secrets, "/charts/controller"
		r := saved.Releases[0]
		return &Plan{State: saved, Steps: []Step{{Freeze, r, ""}, {CRDs, r, ""}, {Forward, r, ""}}}
	}
	// The plan of an --abort waits for an answer, while another run goes on.
	waiting, first := read(), read()
	waiting.Steps = []Step{{Thaw, waiting.State.Releases[0], ""}}
	if stopped := u.Run(t.Context(), &Plan{State: first.State, Steps: first.Steps[:2]}); stopped != nil {
		t.Fatal(stopped)
	}
	a.Writes = nil
	if stopped := u.Run(t.Context(), waiting); stopped == nil || !stopped.Taken || !strings.Contains(stopped.Error(), "changed after it was read") || done(a) != "" {
		t.Errorf("a plan that waited: %v, wrote %v", stopped, a.Writes)
	}
	// A run is in the middle of a step when another one begins.
	first, second := read(), read()
	if err := u.claim(t.Context(), first); err != nil {
		t.Fatal(err)
	}
	second.State.secrets = read().State.secrets
	if err := u.claim(t.Context(), second); err != nil {
		t.Fatal(err)
	}
	if err := u.claimed(t.Context(), first.State, CRDs); err != errTaken { //nolint:errorlint // as it is
		t.Errorf("overtaken: %v", err)
	}
	if err := u.claimed(t.Context(), second.State, CRDs); err != nil {
		t.Errorf("overtaking: %v", err)
	}
	// What save writes is still this run's.
	if err := save(t.Context(), u.Client, second.State); err != nil {
		t.Fatal(err)
	}
	if err := u.claimed(t.Context(), second.State, Thaw); err != nil {
		t.Errorf("after it has saved: %v", err)
	}
	a.take(kind("Secret", "arc-systems", SecretName, nil))
	for _, err := range []error{u.claimed(t.Context(), second.State, CRDs), u.claim(t.Context(), second)} {
		if err == nil || !strings.Contains(err.Error(), "is gone") {
			t.Errorf("without a Secret: %v", err)
		}
	}
}

// done are the writes that are not to Secrets.
func done(a *api) string {
	var out []string
	for _, w := range a.Writes {
		if !strings.Contains(w, "secret ") {
			out = append(out, w)
		}
	}
	return strings.Join(out, ", ")
}
