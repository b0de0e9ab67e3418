package main

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/arc-cleanup/arc-cleanup/internal/plan"
	"github.com/arc-cleanup/arc-cleanup/internal/status"
	"github.com/arc-cleanup/arc-cleanup/internal/upgrade"
)

// contextsOf is a kubeconfig with two clusters: "stuck" with objects of ARC, and "clean" without. A third context, "broken", names
// a cluster that the file lacks.
func contextsOf(t *testing.T) string {
	t.Helper()
	stuck, clean := mixed(), &api{}
	stuck.kubeconfig(t)
	clean.kubeconfig(t)
	file := filepath.Join(t.TempDir(), "kubeconfig")
	config := `{apiVersion: v1, kind: Config, current-context: clean, users: [{name: u, user: {}}],
  clusters: [{name: stuck, cluster: {server: "` + stuck.server.URL + `"}}, {name: clean, cluster: {server: "` + clean.server.URL + `"}}],
  contexts: [{name: stuck, context: {cluster: stuck, user: u}}, {name: clean, context: {cluster: clean, user: u}}, {name: broken, context: {cluster: none, user: u}}]}`
	if err := os.WriteFile(file, []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

func TestSeveralContexts(t *testing.T) {
	t.Parallel()
	kubeconfig := contextsOf(t)
	for name, test := range map[string]struct {
		args []string
		code int
		want []string // in the table, in this order
		not  string
	}{
		"status of all":   {[]string{"status", "--all-contexts"}, exitFailed, []string{"CONTEXT", "broken", "not reached", "clean", "none", "stuck", "UNKNOWN: context broken: "}, ""},
		"status of some":  {[]string{"status", "--context", "stuck,clean"}, exitDone, []string{"clean", "stuck"}, "broken"},
		"a plan for all":  {[]string{"plan", "-A", "--all-contexts"}, exitFailed, []string{"CONTEXT", "broken", "clean", "nothing to do", "stuck", "refused", "UNKNOWN: context broken: "}, ""},
		"a plan for some": {[]string{"plan", "-A", "--context", "clean,stuck"}, exitRefused, []string{"clean", "nothing to do", "stuck", "refused"}, "broken"},
		"one twice":       {[]string{"plan", "-A", "--context", "clean,clean"}, exitDone, []string{"clean", "nothing to do"}, "stuck"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got := command(t.Context(), nil, append(test.args, "--kubeconfig", kubeconfig)...)
			rest := got.stdout
			for _, want := range test.want {
				_, after, found := strings.Cut(rest, want)
				if !found {
					t.Fatalf("no %q in order in\n%s%s", want, got.stdout, got.stderr)
				}
				rest = after
			}
			if got.code != test.code || test.not != "" && strings.Contains(got.stdout, test.not) {
				t.Errorf("exit code %d, want %d\n%s%s", got.code, test.code, got.stdout, got.stderr)
			}
			if strings.Count(got.stdout, "\nclean ") > 1 && name == "one twice" {
				t.Errorf("looked twice:\n%s", got.stdout)
			}
		})
	}
}

func TestSeveralContextsAsJSON(t *testing.T) {
	t.Parallel()
	kubeconfig := contextsOf(t)
	for _, args := range [][]string{{"status"}, {"plan", "-A"}} {
		got := command(t.Context(), nil, append(args, "--all-contexts", "-o", "json", "--kubeconfig", kubeconfig)...)
		var document struct {
			Version  string
			Contexts []struct {
				Context, Server, Error string
				ExitCode               int
				Document               *struct{ Version string }
			}
		}
		if err := json.Unmarshal([]byte(got.stdout), &document); err != nil {
			t.Fatalf("%v\n%s", err, got.stdout)
		}
		var names []string
		for _, c := range document.Contexts {
			names = append(names, c.Context)
			broken := c.Context == "broken"
			if (c.Error != "") != broken || (c.Document == nil) != broken || broken != (c.ExitCode == exitFailed) ||
				!broken && (c.Document.Version != "arc-cleanup/"+args[0]+"/v1" || !strings.HasPrefix(c.Server, "http://")) {
				t.Errorf("%+v", c)
			}
		}
		if !slices.Equal(names, []string{"broken", "clean", "stuck"}) || document.Version != "arc-cleanup/contexts/v1" || got.code != exitFailed {
			t.Errorf("%v, version %s, exit code %d", names, document.Version, got.code)
		}
	}
}

// A context that the kubeconfig lacks is named as it is where only one is given. No cluster is asked before: there would be a table.
func TestSeveralContextsOfWhichOneIsUnknown(t *testing.T) {
	t.Parallel()
	kubeconfig := contextsOf(t)
	for _, args := range [][]string{{"plan", "-A"}, {"status"}} {
		got := command(t.Context(), nil, append(args, "--context", "clean,other", "--kubeconfig", kubeconfig)...)
		want := `--context clean,other: the kubeconfig has no context "other": give some of broken, clean, stuck`
		if got.code != exitFailed || got.stdout != "" || !strings.Contains(got.stderr, want) {
			t.Errorf("exit code %d, want %q\n%s%s", got.code, want, got.stdout, got.stderr)
		}
	}
}

// The name of a context may have a comma in it.
func TestAContextWithAComma(t *testing.T) {
	t.Parallel()
	kubeconfig := contextsOf(t)
	config, err := os.ReadFile(kubeconfig)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(kubeconfig, bytes.Replace(config, []byte("{name: stuck, context"), []byte(`{name: "clean,stuck", context`), 1), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{{"plan", "-A"}, {"status"}} {
		got := command(t.Context(), nil, append(args, "--context", "clean,stuck", "--kubeconfig", kubeconfig)...)
		if strings.Contains(got.stdout, "CONTEXT") || !strings.Contains(got.stdout, "runners") {
			t.Errorf("exit code %d\n%s%s", got.code, got.stdout, got.stderr)
		}
	}
}

// The table says of each release whether its uninstall is ready.
func TestStatusesInOneTable(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	release := func(name string, ready bool) status.Release {
		return status.Release{Name: name, Namespace: "ns", Installs: "controller", Hook: status.HookReport{State: status.Present}, Uninstall: status.Uninstall{Ready: ready}}
	}
	d := &status.Document{
		Releases:    []status.Release{release("a", true), release("b", false)},
		Controllers: []status.Controller{{Namespace: "ns", Name: "up"}, {Namespace: "ns", Name: "down", Down: "is crash-looping"}},
	}
	show := func(forecasts ...*upgrade.Forecast) {
		out.Reset()
		var all views[statusDocument]
		for i, f := range forecasts {
			all.Contexts = append(all.Contexts, view[statusDocument]{Context: string(rune('x' + i)), Document: &statusDocument{d, f}})
		}
		printStatuses(&out, all)
	}
	show(nil)
	if diff := cmp.Diff(`CONTEXT   RELEASE   NAMESPACE   INSTALLS     APP   HOOK      UNINSTALL READY   STUCK
x         a         ns          controller         present   yes               0
x         b         ns          controller         present   no                0

DOWN: context x: the controller down in namespace ns is crash-looping

More about one: arc-cleanup status --context NAME
`, out.String()); diff != "" {
		t.Error(diff)
	}

	// With --upgrade-to, each context has its own way.
	show(upgrade.NewForecast([]string{"0.13.1"}, "0.14.2"), &upgrade.Forecast{Version: "0.14.2", Way: upgrade.NoWay, Why: "every release has version 0.14.2"})
	_, below, _ := strings.Cut(out.String(), "\n\n")
	if diff := cmp.Diff(`To 0.14.2 in context x: freeze-and-swap, because from 0.13 to 0.14 this was seen to work: 0.13.1 to 0.14.2

To 0.14.2 in context y: nothing to do: every release has version 0.14.2

DOWN: context x: the controller down in namespace ns is crash-looping

DOWN: context y: the controller down in namespace ns is crash-looping

More about one: arc-cleanup status --context NAME --upgrade-to 0.14.2
`, below); diff != "" {
		t.Error(diff)
	}
}

// What could not be read is not absent, and what a plan does not cover is not gone.
func TestATableOfSeveralContextsDoesNotSayTooMuch(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	printStatuses(&out, views[statusDocument]{Contexts: []view[statusDocument]{
		{Context: "x", Document: &statusDocument{Document: &status.Document{Unknown: []string{"listing secrets: forbidden"}}}},
	}})
	if table, _, _ := strings.Cut(out.String(), "\n\n"); !strings.Contains(table, "\nx         none known   ") {
		t.Error(out.String())
	}
	out.Reset()
	remains := &plan.Plan{Remains: []plan.Remain{{What: "a Lease"}}}
	printPlans(&out, views[plan.Plan]{Contexts: []view[plan.Plan]{{Context: "x", Document: remains}}})
	if diff := cmp.Diff("CONTEXT   PHASE   ACTION       NAMESPACE   OBJECT   WHY\nx         -       also there                        a Lease\n", out.String()); diff != "" {
		t.Error(diff)
	}
}

func TestContextsThatDoNotGoTogether(t *testing.T) {
	kubeconfig := contextsOf(t)
	for want, args := range map[string][]string{
		"give one":             {"status", "--all-contexts", "--context", "clean"},
		"a context has a name": {"status", "--context", "clean,"},
		"give one of broken, clean, stuck; only plan and status take more than one context": {"run", "-A", "--yes", "--context", "a,b"},
		"unknown flag":           {"run", "-A", "--yes", "--all-contexts"},
		"are for one cluster":    {"plan", "-A", "--all-contexts"},
		"reading the kubeconfig": {"status", "--all-contexts", "--kubeconfig", filepath.Join(t.TempDir(), "none")},
	} {
		t.Run(want, func(t *testing.T) {
			if strings.HasPrefix(want, "are for") {
				asPlugin(t, "default")
				t.Setenv("HELM_KUBEAPISERVER", "https://127.0.0.1:1")
			}
			if !slices.Contains(args, "--kubeconfig") {
				args = append(args, "--kubeconfig", kubeconfig)
			}
			if got := command(t.Context(), nil, args...); got.code == exitDone || !strings.Contains(got.stdout+got.stderr, want) {
				t.Errorf("exit code %d\n%s%s", got.code, got.stdout, got.stderr)
			}
		})
	}
}
