package upgrade

import (
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/arc-cleanup/arc-cleanup/internal/enrol"
	"github.com/arc-cleanup/arc-cleanup/internal/gzip"
	"github.com/arc-cleanup/arc-cleanup/internal/helm"
)

const ourHook = `[{"name":"h","kind":"Job","manifest":"kind: Job\nmetadata:\n  labels: {app.kubernetes.io/name: arc-cleanup}\n  annotations: {helm.sh/hook: pre-delete}\n","events":["pre-delete"],"weight":5,"later":1.0}]`

func TestStateIsReadAsItWasWritten(t *testing.T) {
	t.Parallel()
	hooks, err := enrol.Parse([]byte(ourHook))
	if err != nil {
		t.Fatal(err)
	}
	s := saved(true, installed("arc-systems", "arc", ""), installed("a", "runners.x", ""), installed("a", "none", ""))
	s.Written = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	s.PostRenderer = []string{"x", "y z"}
	s.Releases[0].Hooks = hooks
	s.Releases[0].Controllers = []Controller{{"arc-systems", "arc", []string{"a"}, metav1.LabelSelector{MatchLabels: map[string]string{"app": "arc"}}}}
	s.Releases[1].Sets = []types.NamespacedName{{Namespace: "a", Name: "set"}}
	s.Releases[1].Values = json.RawMessage(`{"big":12345678901234567890,"float":1.0,"exp":1e+06,"null":null}`)
	s.Releases[2].Values = json.RawMessage(`null`)
	s.Releases[2].ServerSide = true
	s.Releases[2].OtherHooks = []string{"Job x"}
	data, err := encode(*s)
	if err != nil {
		t.Fatal(err)
	}
	for _, in := range data {
		for key, value := range in {
			// validation.IsConfigMapKey
			if strings.Trim(key, "abcdefghijklmnopqrstuvwxyz0123456789-._") != "" || strings.Contains(string(value), "12345678901234567890") {
				t.Errorf("key %s: %.100s", key, value)
			}
		}
	}
	// Values do not leave their namespace, and only the Secret in the controller's lists the releases.
	keys := map[string][]string{}
	for namespace, in := range data {
		keys[namespace] = slices.Sorted(maps.Keys(in))
	}
	want := map[string][]string{
		"arc-systems": {"hooks.arc.gz", "upgrade.json", "values.arc.gz"},
		"a":           {"values.none.gz", "values.runners.x.gz"},
	}
	if diff := cmp.Diff(want, keys); diff != "" {
		t.Errorf("keys (-want +got):\n%s", diff)
	}
	got, err := decode(data["arc-systems"], "arc-systems")
	if err != nil {
		t.Fatal(err)
	}
	for i := range got.Releases {
		if err := got.Releases[i].restore(data[got.Releases[i].Namespace]); err != nil {
			t.Fatal(err)
		}
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
	if diff := cmp.Diff(s, got, cmp.AllowUnexported(Chart{}, State{}, Release{})); diff != "" {
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
		found = append(found, Found{Status: helm.Deployed, Release: r})
	}
	found[0].Controller = true
	p := newPlan(Situation{Found: found, Target: Target{Controller: Chart{Metadata: helm.Chart{Version: "2"}}}})
	if len(p.Refusals) != 1 || !strings.Contains(p.Refusals[0].Message, "the state to save in namespace ns has") {
		t.Errorf("%+v", p.Refusals)
	}
}

// Helm gets the state as arguments.
func TestStateOfAnotherKind(t *testing.T) {
	t.Parallel()
	good, err := encode(*saved(true, installed("arc-systems", "arc", ""), installed("a", "runners", "")))
	if err != nil {
		t.Fatal(err)
	}
	text := string(good["arc-systems"][stateKey])
	replaced := func(before, after string) string {
		if !strings.Contains(text, before) {
			t.Fatalf("no %s in %s", before, text)
		}
		return strings.Replace(text, before, after, 1)
	}
	for want, state := range map[string]string{
		"its key upgrade.json":                                   "",
		"it has the version \"arc-cleanup/upgrade/v1":            replaced("upgrade/v2", "upgrade/v1"),
		"names no releases":                                      `{"version": "arc-cleanup/upgrade/v2"}`,
		`first release is "arc" in namespace "elsewhere"`:        replaced(`"namespace": "arc-systems"`, `"namespace": "elsewhere"`),
		"and not the controller's in this namespace":             replaced(`"controller": true`, `"controller": false`),
		`no release can be called "--debug"`:                     replaced(`"name": "runners"`, `"name": "--debug"`),
		`no release can be called "runners" in namespace "-n"`:   replaced(`"namespace": "a"`, `"namespace": "-n"`),
		`Helm has no records of the kind "sql"`:                  replaced(`"driver": "secret"`, `"driver": "sql"`),
		"release runners in namespace a would be a second":       replaced(`"name": "runners"`, `"controller": true, "name": "runners"`),
		`"--post-renderer=x" of version "" is no chart`:          replaced(`"/charts/controller"`, `"--post-renderer=x"`),
		`"charts/x" of version "" is no chart`:                   replaced(`"/charts/scale-set"`, `"charts/x"`),
		`"/charts/scale-set\x1b[31m" of version`:                 replaced(`"/charts/scale-set"`, `"/charts/scale-set\u001b[31m"`),
		`"/charts/scale-set" of version "--x" is no chart`:       replaced(`"ref": "/charts/scale-set"`, `"version": "--x", "ref": "/charts/scale-set"`),
		`"/charts/scale-set" of version "1\x1b[31m" is no chart`: replaced(`"ref": "/charts/scale-set"`, `"version": "1\u001b[31m", "ref": "/charts/scale-set"`),
	} {
		if _, err := decode(map[string][]byte{stateKey: []byte(state)}, "arc-systems"); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("want %q, got %v", want, err)
		}
	}
	bomb := gzip.Pack(make([]byte, unpackedBytes+1))
	full := gzip.Pack([]byte(`"` + strings.Repeat(" ", unpackedBytes-2) + `"`))
	for want, data := range map[string]map[string][]byte{
		"its key values.runners.gz: EOF":                              {},
		"its key values.runners.gz: gzip":                             {"values.runners.gz": []byte("plain and long enough")},
		"its key values.runners.gz: unexpected EOF":                   {"values.runners.gz": gzip.Pack([]byte("{}"))[:12]},
		"its key values.runners.gz: not JSON":                         {"values.runners.gz": gzip.Pack([]byte("a: b"))},
		"its key values.runners.gz: unpacked it has more than 32 MiB": {"values.runners.gz": bomb},
		"its key hooks.runners.gz: unpacked it has more than 32 MiB":  {"values.runners.gz": full, "hooks.runners.gz": bomb},
		"its key hooks.runners.gz: reading the hook":                  {"values.runners.gz": gzip.Pack([]byte("{}")), "hooks.runners.gz": gzip.Pack([]byte(`[{"name": "x"}]`))},
	} {
		r := Release{Namespace: "a", Name: "runners"}
		if err := r.restore(data); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("want %q, got %v", want, err)
		}
	}
}

// secretOfOurs is a Secret with a state's data.
func secretOfOurs(namespace string, data map[string][]byte) kubeObject {
	encoded := map[string]any{}
	for key, value := range data {
		encoded[key] = base64.StdEncoding.EncodeToString(value)
	}
	return kind("Secret", namespace, SecretName, kubeObject{
		"labels": map[string]any{"app.kubernetes.io/name": "arc-cleanup", "app.kubernetes.io/component": "upgrade"}, "data": encoded,
	})
}

// secretsOf are the Secrets of a state.
func secretsOf(t *testing.T, s *State) (out []kubeObject) {
	t.Helper()
	data, err := encode(*s)
	if err != nil {
		t.Fatal(err)
	}
	for namespace, in := range data {
		out = append(out, secretOfOurs(namespace, in))
	}
	return out
}

func unlabelled(o kubeObject, label string) kubeObject {
	delete(metadata(o)["labels"].(map[string]any), label)
	return o
}

// The state is read only under its name and in the namespace of the controller's release.
func TestStateIsReadWhereItBelongs(t *testing.T) {
	t.Parallel()
	state := saved(true, installed("arc-systems", "arc", ""), installed("a", "runners", ""))
	there := secretsOf(t, state)
	foreign := saved(true, installed("tenant", "arc", ""), installed("a", "runners", ""))
	foreign.Releases[0].Controller = true
	renamed := secretsOf(t, state)
	for _, o := range renamed {
		metadata(o)["name"] = "whatever"
	}
	var inPlaceOf []kubeObject
	for _, o := range secretsOf(t, foreign) {
		if metadata(o)["namespace"] == "tenant" {
			metadata(o)["namespace"] = "arc-systems"
			inPlaceOf = append(inPlaceOf, o)
		}
	}
	tests := map[string]struct {
		objects   []kubeObject
		namespace string
		want      string // the first release's namespace
		err       string
	}{
		"none":                                   {arcAt(t), "", "", ""},
		"beside the controller":                  {join(arcAt(t), there), "", "arc-systems", ""},
		"the controller is gone":                 {there, "", "", ""},
		"the controller is gone, and given":      {there, "arc-systems", "arc-systems", ""},
		"a tenant's":                             {join(arcAt(t), secretsOf(t, foreign)), "", "", ""},
		"a tenant's, and the controller is gone": {secretsOf(t, foreign), "", "", ""},
		"a tenant's beside ours":                 {join(arcAt(t), there, secretsOf(t, foreign)), "", "arc-systems", ""},
		"a tenant's, which is given":             {secretsOf(t, foreign), "tenant", "tenant", ""},
		"under another name":                     {join(arcAt(t), renamed), "", "", ""},
		"for another namespace":                  {join(arcAt(t), inPlaceOf), "", "", "secret arc-systems/arc-cleanup-upgrade is not the state of an upgrade"},
		"not ours": {
			join(arcAt(t), []kubeObject{unlabelled(secretOfOurs("arc-systems", nil), "app.kubernetes.io/component")}), "", "", "",
		},
		"of another program": {
			join(arcAt(t), []kubeObject{unlabelled(secretOfOurs("arc-systems", nil), "app.kubernetes.io/name")}), "", "", "",
		},
		"ours, and empty": {join(arcAt(t), []kubeObject{secretOfOurs("arc-systems", nil)}), "", "", "it has no key upgrade.json: if an upgrade has written it"},
		"no base64": {
			join(arcAt(t), []kubeObject{kind("Secret", "arc-systems", SecretName, kubeObject{"labels": metadata(secretOfOurs("a", nil))["labels"], "data": map[string]any{"x": "?"}})}),
			"", "", "reading Secret arc-systems/arc-cleanup-upgrade",
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, c := newAPI(t, test.objects...)
			s, err := look(t.Context(), c, test.namespace)
			if test.err != "" {
				if err == nil || !strings.Contains(err.Error(), test.err) {
					t.Errorf("%v", err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			got := ""
			if s.Saved != nil {
				got = s.Saved.namespace()
			}
			if got != test.want {
				t.Errorf("the state of %q, want %q", got, test.want)
			}
		})
	}
}

// With two controllers' releases, the user has to say where the state is.
func TestStateOfTwoControllers(t *testing.T) {
	t.Parallel()
	other := controllerAt("b", "b", "other")
	a, c := newAPI(t, join(arcAt(t), []kubeObject{other, helmRecord{namespace: "b", name: "other", objects: []kubeObject{other}}.object(t)},
		secretsOf(t, saved(false, installed("arc-systems", "arc", ""))))...)
	a.May["b:arc"] = true
	for namespace, want := range map[string]bool{"": false, "arc-systems": true, "b": false} {
		s, err := look(t.Context(), c, namespace)
		if err != nil || len(s.Found) != 2 || (s.Saved != nil) != want {
			t.Errorf("%q: %v, %v, %v", namespace, seen(s), s.Saved, err)
		}
	}
}

// A tenant's Secret counts only for the tenant's releases, and only for those that the Secret in the
// controller's namespace names.
func TestTenantsSecret(t *testing.T) {
	t.Parallel()
	state := saved(true, installed("arc-systems", "arc", ""), installed("a", "runners", ""), installed("b", "more", ""))
	objects := append(secretsOf(t, state), secretOfOurs("c", map[string][]byte{"values.x.gz": gzip.Pack([]byte("{}"))}))
	for _, o := range objects {
		if metadata(o)["namespace"] == "a" {
			// Gone wrong, and with a release of b.
			o["data"] = map[string]any{"values.more.gz": base64.StdEncoding.EncodeToString(gzip.Pack([]byte(`{"evil": true}`)))}
		}
	}
	_, c := newAPI(t, objects...)
	s, err := look(t.Context(), c, "arc-systems")
	if err != nil {
		t.Fatal(err)
	}
	for i, want := range []struct {
		values string
		lost   bool
	}{{"{\n  \"of\": \"1\"\n}", false}, {"", true}, {"{\n  \"of\": \"1\"\n}", false}} {
		r := s.Saved.Releases[i]
		if string(r.Values) != want.values || (r.lost != nil) != want.lost {
			t.Errorf("%s: values %s, lost %v", r, r.Values, r.lost)
		}
	}
	s.Target = target("2")
	p := newPlan(s)
	if diff := cmp.Diff([]string{"install arc", "ready arc", "install more", "forget arc"}, steps(p)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if notes := strings.Join(p.Notes, "\n"); !strings.Contains(notes, "release runners in namespace a does not come back: what was saved of it cannot be read: secret a/arc-cleanup-upgrade: its key values.runners.gz") {
		t.Error(notes)
	}
}
