package upgrade

import (
	"crypto/rand"
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/arc-cleanup/arc-cleanup/internal/enrol"
	"github.com/arc-cleanup/arc-cleanup/internal/release"
)

const ourHook = `[{"name":"h","kind":"Job","manifest":"kind: Job\nmetadata:\n  labels: {app.kubernetes.io/name: arc-cleanup}\n  annotations: {helm.sh/hook: pre-delete}\n","events":["pre-delete"],"weight":5,"later":1.0}]`

func TestStateIsReadAsItWasWritten(t *testing.T) {
	t.Parallel()
	hooks, err := enrol.Parse([]byte(ourHook))
	if err != nil {
		t.Fatal(err)
	}
	s := saved("2", true, installed("arc-systems", "arc", "1", ""), installed("a", "runners.x", "1", ""), installed("a", "none", "1", ""))
	s.Releases[0].Hooks = hooks
	s.Releases[1].Values = json.RawMessage(`{"big":12345678901234567890,"float":1.0,"exp":1e+06,"null":null}`)
	s.Releases[2].Values = json.RawMessage(`null`)
	s.Releases[2].ServerSide = true
	data, err := encode(*s)
	if err != nil {
		t.Fatal(err)
	}
	for key, value := range data {
		// validation.IsConfigMapKey
		if strings.Trim(key, "abcdefghijklmnopqrstuvwxyz0123456789-._") != "" || strings.Contains(string(value), "12345678901234567890") {
			t.Errorf("key %s: %.100s", key, value)
		}
	}
	got, err := decode(data)
	if err != nil {
		t.Fatal(err)
	}
	for i, want := range []string{`{"of":"1"}`, string(s.Releases[1].Values), `{}`} {
		var compact strings.Builder
		for _, c := range string(got.Releases[i].Values) {
			if c != ' ' && c != '\n' {
				compact.WriteRune(c)
			}
		}
		if compact.String() != want {
			t.Errorf("values of %s: %s, want %s", got.Releases[i].Name, compact.String(), want)
		}
		got.Releases[i].Values, s.Releases[i].Values = nil, nil
	}
	if text, _ := json.Marshal(got.Releases[0].Hooks); string(text) != ourHook {
		t.Errorf("hooks: %s", text)
	}
	for i := range s.Releases {
		got.Releases[i].Hooks, s.Releases[i].Hooks = nil, nil
	}
	if diff := cmp.Diff(s, got, cmp.AllowUnexported(Chart{})); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestStateIsBounded(t *testing.T) {
	t.Parallel()
	noise := make([]byte, 20_000)
	_, _ = rand.Read(noise)
	s := State{}
	for i := range 100 {
		r := Release{Namespace: "ns", Name: fmt.Sprint("set-", i)}
		r.Values, _ = json.Marshal(map[string]any{"certificate": noise})
		s.Releases = append(s.Releases, r)
	}
	var found []Found
	for _, r := range s.Releases {
		found = append(found, Found{Status: release.Deployed, Release: r})
	}
	found[0].Controller = true
	p := NewPlan(Situation{Found: found, Target: Target{Controller: Chart{Is: release.Chart{Version: "2"}}}})
	if len(p.Refusals) != 1 || !strings.Contains(p.Refusals[0].Message, "the values of 100 releases are") {
		t.Errorf("%+v", p.Refusals)
	}
}

func TestStateOfAnotherKind(t *testing.T) {
	t.Parallel()
	good, err := encode(*saved("2", true, installed("arc-systems", "arc", "1", "")))
	if err != nil {
		t.Fatal(err)
	}
	change := func(key, value string) map[string][]byte {
		out := map[string][]byte{}
		for k, v := range good {
			out[k] = v
		}
		out[key] = []byte(value)
		return out
	}
	for want, data := range map[string]map[string][]byte{
		"its key upgrade.json":                    {},
		"of the version \"arc-cleanup/upgrade/v2": change(stateKey, strings.Replace(string(good[stateKey]), "upgrade/v1", "upgrade/v2", 1)),
		"names no releases":                       change(stateKey, `{"version": "arc-cleanup/upgrade/v1"}`),
		"its key values.arc-systems.arc.gz":       change("values.arc-systems.arc.gz", "plain"),
		"its key hooks.arc-systems.arc.gz":        change("hooks.arc-systems.arc.gz", string(pack([]byte(`[{"name": "x"}]`)))),
	} {
		if _, err := decode(data); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("want %q, got %v", want, err)
		}
	}
}
