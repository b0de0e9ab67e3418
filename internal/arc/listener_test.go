package arc

import (
	"encoding/json"
	"slices"
	"testing"
)

// The name of before is that of GitHub's documentation (arc-runner-set-754b578d-listener in the namespace
// arc-runners), and test/e2e sees it made.
func TestListenerName(t *testing.T) {
	t.Parallel()
	const url = "https://github.com/acme"
	before, since := ListenerNames("arc-runners", "runners", "", url)
	if before == since || before != "runners-754b578d-listener" {
		t.Errorf("before %s, since %s", before, since)
	}
	if _, grouped := ListenerNames("arc-runners", "runners", "group", url); grouped == since {
		t.Error("the runner group changes nothing")
	}
	for version, want := range map[string]string{
		"0.6.1": before, "0.12.1": before, "0.13.0": before, "0.13.1": since, "0.14.2": since, "0.15.0": since, "1.0.0": since,
		"": "", "canary": "", "0.14": "", "0.14.2-rc1": "", "0.-1.2": "",
	} {
		if got := ListenerName(version, "arc-runners", "runners", "", url); got != want {
			t.Errorf("%q: %q, want %q", version, got, want)
		}
	}
	for version, want := range map[string]bool{"0.6.1": true, "0.11.0": true, "0.12.0": false, "0.14.2": false, "": true, "canary": true} {
		if got := SharesAccount(version); got != want {
			t.Errorf("%q: the listeners share their ServiceAccount: %t", version, got)
		}
	}
}

func TestIsListenerRole(t *testing.T) {
	t.Parallel()
	const good = `[{"apiGroups": ["actions.github.com"], "resources": ["ephemeralrunnersets"], "resourceNames": ["set-1"], "verbs": ["patch"]},
{"apiGroups": ["actions.github.com"], "resources": ["ephemeralrunners", "ephemeralrunners/status"], "verbs": ["patch"]}]`
	read := func() (rules []Rule) {
		if err := json.Unmarshal([]byte(good), &rules); err != nil {
			t.Fatal(err)
		}
		return rules
	}
	if !IsListenerRole(read()) {
		t.Error("ARC's own is not recognised")
	}
	for name, change := range map[string]func([]Rule) []Rule{
		"nothing":              func([]Rule) []Rule { return nil },
		"less":                 func(r []Rule) []Rule { return r[:1] },
		"more":                 func(r []Rule) []Rule { return append(r, r[1]) },
		"another verb":         func(r []Rule) []Rule { r[1].Verbs = append(r[1].Verbs, "get"); return r },
		"another group":        func(r []Rule) []Rule { r[0].APIGroups = []string{""}; return r },
		"another resource":     func(r []Rule) []Rule { r[1].Resources[0] = "secrets"; return r },
		"every runner set":     func(r []Rule) []Rule { r[0].ResourceNames = nil; return r },
		"two runner sets":      func(r []Rule) []Rule { r[0].ResourceNames = []string{"a", "b"}; return r },
		"the other way around": func(r []Rule) []Rule { slices.Reverse(r); return r },
	} {
		if IsListenerRole(change(read())) {
			t.Errorf("%s: taken for ARC's", name)
		}
	}
}

func TestControllerVersion(t *testing.T) {
	t.Parallel()
	for _, test := range []struct{ label, image, want string }{
		{"0.14.2", "ghcr.io/actions/gha-runner-scale-set-controller:0.14.2", "0.14.2"},
		{"0.14.2", "registry:5000/controller", "0.14.2"},
		{"0.14.2", "registry:5000/controller@sha256:00", "0.14.2"},
		{"0.14.2", "registry:5000/controller:0.14.2@sha256:00", "0.14.2"},
		{"0.14.2", "controller:0.13.0", ""},
		{"0.14.2", "controller:mine", ""},
		{"", "controller:0.14.2", ""},
		{"", "", ""},
	} {
		labels := map[string]string{LabelVersion: test.label}
		if got := ControllerVersion(labels, test.image); got != test.want {
			t.Errorf("%q, %q: %q, want %q", test.label, test.image, got, test.want)
		}
	}
}

func TestControllerEnvironment(t *testing.T) {
	t.Parallel()
	var containers []ControllerEnvironment
	err := json.Unmarshal([]byte(`[{"name": "sidecar"}, {"name": "manager", "args": ["--update-strategy=eventual"],
"env": [{"name": "OTHER", "value": "x"}, {"name": "CONTROLLER_MANAGER_CONTAINER_IMAGE", "value": "arc:1"}]}]`), &containers)
	if err != nil {
		t.Fatal(err)
	}
	if image := ListenerImage(containers); image != "arc:1" || !UpdatesLate(containers) {
		t.Errorf("%q, %t", image, UpdatesLate(containers))
	}
	if ListenerImage(containers[:1]) != "" || UpdatesLate(containers[:1]) {
		t.Error("a sidecar was taken for the controller")
	}
}

func TestFrees(t *testing.T) {
	t.Parallel()
	got := slices.Sorted(slices.Values(Frees(map[string]string{
		"actions.github.com/cleanup-manager-role-name": "manager", "actions.github.com/cleanup-github-secret-name": "github", "actions.github.com/values-hash": "no",
	})))
	if !slices.Equal(got, []string{"github", "manager"}) {
		t.Errorf("%q", got)
	}
}
