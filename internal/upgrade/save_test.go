package upgrade

import (
	"crypto/rand"
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestSaveAndForget(t *testing.T) {
	t.Parallel()
	state := saved(false, installed("arc-systems", "arc", ""), installed("a", "runners", ""), installed("b", "more", ""))
	state.secrets = map[string]secret{}
	a, c := newAPI(t)
	if err := save(t.Context(), c, *state); err != nil {
		t.Fatal(err)
	}
	// What names the releases comes last.
	if diff := cmp.Diff([]string{"POST secret a", "POST secret b", "POST secret arc-systems"}, a.Writes); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	// It overwrites what it has written itself, as after the first half.
	state.Uninstalled = true
	if err := save(t.Context(), c, *state); err != nil {
		t.Fatal(err)
	}
	s, err := look(t.Context(), c, "arc-systems")
	if err != nil || s.Saved == nil || !s.Saved.Uninstalled || len(s.Saved.Releases) != 3 || s.Saved.Releases[1].lost != nil {
		t.Fatalf("%+v, %v", s.Saved, err)
	}
	if age := time.Since(s.Saved.Written); age < 0 || age > time.Minute {
		t.Errorf("written %s", s.Saved.Written)
	}
	// Another upgrade goes on at the same time.
	other, err := look(t.Context(), c, "arc-systems")
	if err != nil {
		t.Fatal(err)
	}
	other.Saved.secrets = other.secrets
	if err := save(t.Context(), c, *other.Saved); err != nil {
		t.Fatal(err)
	}
	if err := save(t.Context(), c, *state); err == nil || !strings.Contains(err.Error(), "does another upgrade run?") {
		t.Errorf("overwrote another upgrade's state: %v", err)
	}
	if err := put(t.Context(), c, "a", nil, map[string]secret{}); err == nil || !strings.Contains(err.Error(), "does another upgrade run?") {
		t.Errorf("created where one is: %v", err)
	}
	if err := put(t.Context(), c, "z", nil, map[string]secret{"z": {uid: "u", resourceVersion: "1"}}); err == nil || !strings.Contains(err.Error(), "does another upgrade run?") {
		t.Errorf("wrote what is gone: %v", err)
	}
	a.Writes = nil
	large := *other.Saved
	noise := make([]byte, 2*stateBytes)
	_, _ = rand.Read(noise)
	large.Releases[1].Values, _ = json.Marshal(noise)
	if err := save(t.Context(), c, large); err == nil || !strings.Contains(err.Error(), "a Secret can hold") || len(a.Writes) > 0 {
		t.Errorf("saved what is too large: %v, %v", err, a.Writes)
	}
	a.Fault = func(request string) int {
		if strings.HasPrefix(request, "DELETE") {
			return http.StatusForbidden
		}
		return 0
	}
	if err := forget(t.Context(), c, *other.Saved); err == nil || len(a.Writes) > 0 {
		t.Errorf("forgot what may not be deleted: %v", err)
	}
	a.Fault = nil
	other.Saved.secrets["b"] = secret{uid: "of another"}
	if err := forget(t.Context(), c, *other.Saved); err != nil {
		t.Fatal(err)
	}
	for namespace, want := range map[string]bool{"a": false, "b": true, "arc-systems": false} {
		if is := a.get(kind("Secret", namespace, SecretName, nil)) != nil; is != want {
			t.Errorf("the Secret in %s: %t", namespace, is)
		}
	}
	if last := a.Writes[len(a.Writes)-1]; last != "DELETE secret arc-systems/"+SecretName {
		t.Errorf("deleted last: %s", last)
	}
	if err := forget(t.Context(), c, *other.Saved); err != nil { // once more
		t.Error(err)
	}
}

// A Secret of another program with that name is neither written nor deleted.
func TestForeignSecret(t *testing.T) {
	t.Parallel()
	theirs := unlabelled(secretOfOurs("a", map[string][]byte{"password": []byte("x")}), "app.kubernetes.io/name")
	a, c := newAPI(t, join(arcAt(t), runnersAt(t), []kubeObject{theirs})...)
	s, err := look(t.Context(), c, "")
	if err != nil {
		t.Fatal(err)
	}
	s.Target = target("2")
	p := newPlan(s)
	if len(p.Refusals) != 1 || !strings.Contains(p.Refusals[0].Message, "the Secret arc-cleanup-upgrade in namespace a is not the state of an upgrade") ||
		p.Refusals[0].Do[0] != "kubectl delete secret arc-cleanup-upgrade --namespace a" {
		t.Errorf("%+v", p.Refusals)
	}
	if err := save(t.Context(), c, p.State); err == nil || !strings.Contains(err.Error(), "is not the state of an upgrade") || len(a.Writes) > 0 {
		t.Errorf("saved: %v, %v", err, a.Writes)
	}
	if err := forget(t.Context(), c, p.State); err != nil || len(a.Writes) > 0 {
		t.Errorf("forgot: %v, %v", err, a.Writes)
	}
}
