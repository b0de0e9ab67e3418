package upgrade

import (
	"net/http"
	"strings"
	"testing"
	"time"
)

// A controller of a single namespace, which a tenant can make, does not say where the state is: the state says what is
// installed elsewhere.
func TestNoStateBesideATenantsController(t *testing.T) {
	t.Parallel()
	watcher := controllerAt("tenant", "tenant", "mine", "--watch-single-namespace=tenant")
	forged := saved(true, installed("tenant", "mine", ""))
	forged.Releases[0].Controller = true
	forged.Releases[0].Controllers = []Controller{{Namespace: "kube-system", Name: "arc"}}
	a, c := newAPI(t, append(secretsOf(t, forged), watcher)...)
	a.May["tenant:arc"] = true
	s, err := look(t.Context(), c, "")
	if err == nil || !strings.Contains(err.Error(), "give --namespace tenant") || s.Saved != nil {
		t.Errorf("%+v, %v", s.Saved, err)
	}
	if s, err := look(t.Context(), c, "tenant"); err != nil || s.Saved == nil {
		t.Errorf("the user has named it: %v", err)
	}
	a.take(kind("Secret", "tenant", SecretName, nil))
	if _, err := look(t.Context(), c, ""); err != nil {
		t.Errorf("without a state: %v", err)
	}
}

// A save that fails leaves no values behind that it has written.
func TestSaveTakesBack(t *testing.T) {
	t.Parallel()
	state := saved(false, installed("arc-systems", "arc", ""), installed("a", "runners", ""), installed("b", "more", ""))
	before := secretOfOurs("a", map[string][]byte{"x": []byte("of an earlier run")})
	a, c := newAPI(t, before)
	state.secrets = map[string]secret{}
	if _, err := get(t.Context(), c, "a", state.secrets); err != nil {
		t.Fatal(err)
	}
	a.Fault = func(request string) int {
		if request == "POST secret arc-systems" {
			return http.StatusForbidden
		}
		return 0
	}
	if err := save(t.Context(), c, *state); err == nil {
		t.Fatal("saved what is forbidden")
	}
	for namespace, want := range map[string]bool{"a": true, "b": false, "arc-systems": false} {
		if is := a.get(kind("Secret", namespace, SecretName, nil)) != nil; is != want {
			t.Errorf("the Secret in %s: %t; wrote %v", namespace, is, a.Writes)
		}
	}
}

// Whoever writes to a Secret beside scale sets does not stop an upgrade half-way, and its values go at the end.
func TestATenantDoesNotStopAnUpgrade(t *testing.T) {
	for _, change := range []func(*api){
		func(a *api) { a.put(secretOfOurs("a", map[string][]byte{"x": nil})) },
		func(a *api) { a.take(kind("Secret", "a", SecretName, nil)) },
	} {
		u, a, _ := upgradingWith(t)
		state := theState()
		if err := save(t.Context(), u.Client, state); err != nil {
			t.Fatal(err)
		}
		change(a)
		if err := u.markUninstalled(t.Context(), state); err != nil {
			t.Error(err)
		}
		if err := forget(t.Context(), u.Client, state); err != nil || a.get(kind("Secret", "arc-systems", SecretName, nil)) != nil {
			t.Errorf("the state is left: %v", err)
		}
	}
}

// A run that ends does not delete what a later run has saved.
func TestForgetKeepsTheStateOfAnotherRun(t *testing.T) {
	t.Parallel()
	a, c := newAPI(t)
	first := theState()
	if err := save(t.Context(), c, first); err != nil {
		t.Fatal(err)
	}
	s, err := look(t.Context(), c, "arc-systems")
	if err != nil {
		t.Fatal(err)
	}
	second := *s.Saved
	second.secrets = s.secrets
	if err := save(t.Context(), c, second); err != nil {
		t.Fatal(err)
	}
	a.Writes = nil
	if err := forget(t.Context(), c, first); !taken(err) || len(a.Writes) > 0 {
		t.Errorf("%v, wrote %v", err, a.Writes)
	}
	if err := forget(t.Context(), c, second); err != nil {
		t.Error(err)
	}
}

// A run that finds the state gone or changed prints no commands: they would undo what another run has done.
func TestARunWithoutItsStateIsTaken(t *testing.T) {
	u, a, _, state := frozenARC(t)
	if err := save(t.Context(), u.Client, state); err != nil {
		t.Fatal(err)
	}
	first := &Plan{State: state, Steps: []Step{{Freeze, state.Releases[0], ""}}}
	if err := u.claim(t.Context(), first); err != nil {
		t.Fatal(err)
	}
	a.take(kind("Secret", "arc-systems", SecretName, nil))
	if err := u.claimed(t.Context(), first.State, Freeze); !taken(err) {
		t.Errorf("gone: %v", err)
	}
	if err := saveProgress(t.Context(), u.Client, first.State); !taken(err) {
		t.Errorf("changed: %v", err)
	}
}

// A Pod that was evicted stays beside a Deployment without replicas, and does nothing.
func TestEvictedPodsAreGone(t *testing.T) {
	u, a, _, state := frozenARC(t)
	for name, phase := range map[string]string{"evicted": "Failed", "done": "Succeeded"} {
		a.put(kind("Pod", "arc-systems", name, kubeObject{"labels": kubeObject{"app": "arc"}, "status": kubeObject{"phase": phase}, "phase": phase}))
	}
	u.Helm.Timeout = time.Second
	if err := u.freeze(t.Context(), state); err != nil {
		t.Error(err)
	}
}
