package main

import (
	"encoding/json"
	"errors"
	"flag"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
	"github.com/spf13/cobra"

	"github.com/arc-cleanup/arc-cleanup/internal/arc"
	"github.com/arc-cleanup/arc-cleanup/internal/cleanup"
	"github.com/arc-cleanup/arc-cleanup/internal/identity"
	"github.com/arc-cleanup/arc-cleanup/internal/kube/kubetest"
	"github.com/arc-cleanup/arc-cleanup/internal/object"
	"github.com/arc-cleanup/arc-cleanup/internal/plan"
)

var update = flag.Bool("update", false, "write the golden files")

func golden(t *testing.T, name, got string) {
	t.Helper()
	got = regexp.MustCompile(`backup-[0-9]{8}-[0-9]{6}`).ReplaceAllString(got, "backup-20260102-030405")
	file := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("%s (-want +got):\n%s", name, diff)
	}
}

func TestWrongUsage(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { t.Errorf("asked the API server: %s", r.URL) }))
	t.Cleanup(server.Close)
	kubeconfig := kubeconfigOf(t, server.URL)
	const sayWhat = "arc-cleanup: say what to clean: --namespace NS rescues one namespace, --all-namespaces (-A) the whole cluster"
	tests := map[string]struct {
		args   []string
		env    string // NAME=value
		stderr string
	}{
		"a scope that is none":          {[]string{"plan", "--scope", "cluster"}, "", `--scope "cluster": must be controller, scale-set or legacy`},
		"a Job without its namespace":   {[]string{"plan", "--job", "j"}, "", "need --release-namespace"},
		"a release without namespace":   {[]string{"plan", "--release", "r"}, "", "need --release-namespace"},
		"releases of legacy runners":    {[]string{"plan", "--scope", "legacy", "--scale-sets", "uninstall"}, "", "does not go with --scope legacy"},
		"a scale set without namespace": {[]string{"plan", "--scope", "scale-set", "--scale-set", "s"}, "", "need --release-namespace"},
		"two names of the release":      {[]string{"plan", "--release-namespace", "ns", "--job", "j", "--release", "r"}, "", "--job and --release both name the release; give one"},
		"proof of what":                 {[]string{"plan", "--require-uninstalling"}, "", "--require-uninstalling needs --job or --release"},
		"which scale set":               {[]string{"plan", "--scope", "scale-set", "--release-namespace", "ns"}, "", "needs --job, --release or --scale-set, to know which"},
		"a record of what":              {[]string{"plan", "--storage-namespace", "flux-system"}, "", "--storage-namespace needs --job or --release"},
		"a scale set of many parts":     {[]string{"plan", "--scope", "scale-set", "--release-namespace", "ns", "--scale-set", "a/b/c"}, "", `--scale-set "a/b/c": want a name, with the namespace in --release-namespace, or NAMESPACE/NAME`},
		"a scale set of no namespace":   {[]string{"plan", "--scope", "scale-set", "--release-namespace", "ns", "--scale-set", "/b"}, "", `--scale-set "/b": want a name`},
		"a scale set without a name":    {[]string{"plan", "--scope", "scale-set", "--release-namespace", "ns", "--scale-set", "a/"}, "", `--scale-set "a/": want a name`},
		"runners left to what goes":     {[]string{"plan", "--job", "j", "--release-namespace", "ns", "--busy-runners", "leave"}, "", "--busy-runners leave does not go with --scope controller in a hook"},
		"an empty runner namespace":     {[]string{"run", "--release", "r", "--release-namespace", "ns", "--yes", "--runner-namespace", ""}, "", "--runner-namespace: a value is empty; give one, or leave the flag out"},
		"one of two namespaces":         {[]string{"plan", "-A", "--controller-namespace", "a,"}, "", "--controller-namespace: a value is empty"},
		"a namespace lost on the way":   {[]string{"plan", "-A"}, "ARC_CLEANUP_RUNNER_NAMESPACE=", "--runner-namespace: a value is empty"},
		"a forgotten variable":          {[]string{"plan", "-A"}, "ARC_CLEANUP_NAMESPACE=ns", "give one\nFlags are also set by ARC_CLEANUP_NAMESPACE.\n"},
		"credentials for everywhere":    {[]string{"run", "-A", "--yes", "--github", "deregister", "--github-url", ""}, "", "--github-url: a value is empty"},
		"a sweep of no namespace":       {[]string{"sweep", "--yes", "--runner-namespace", ""}, "", "--runner-namespace: a value is empty"},
		"a scale set of no name":        {[]string{"deregister", "--url", "https://github.com/acme", "--scale-set", ",a"}, "", "--scale-set: a value is empty"},
		"no grace":                      {[]string{"plan", "-A", "--grace", "0s"}, "", "--grace 0s: must be more than 0"},
		"no budget":                     {[]string{"run", "-A", "--yes", "--budget", "-1s"}, "", "--budget -1s: must be more than 0"},
		"an output that is none":        {[]string{"plan", "--output", "yaml"}, "", `--output "yaml": must be table or json`},
		"a log that is none":            {[]string{"run", "--yes", "--log-format", "xml"}, "", `--log-format "xml": must be auto, console or json`},
		"an argument":                   {[]string{"run", "arc"}, "", `run takes no argument, and got "arc": type arc-cleanup run`},
		"an unknown flag":               {[]string{"run", "--force"}, "", "unknown flag: --force"},
		"help of no command":            {[]string{"help", "destroy"}, "", `unknown command "destroy"`},
		"a shell of none":               {[]string{"completion", "tcsh"}, "", `completion "tcsh": must be bash, fish, powershell or zsh`},
		"an unknown command":            {[]string{"destroy"}, "", `unknown command "destroy"`},
		"a bad value in the environment": {
			[]string{"plan"}, "ARC_CLEANUP_GRACE=soon", `environment variable ARC_CLEANUP_GRACE: --grace "soon": must be a time such as 90s, 5m or 1h30m`,
		},
		"a bad choice in the environment":   {[]string{"plan"}, "ARC_CLEANUP_SCALE_SETS=keep", "must be refuse, uninstall or delete"},
		"a namespace and a release":         {[]string{"plan", "--release", "arc", "-n", "arc-systems"}, "", "a release's namespace is --release-namespace"},
		"a bad combination by environment":  {[]string{"plan"}, "ARC_CLEANUP_SCOPE=scale-set", "need --release-namespace"},
		"what to clean":                     {[]string{"plan"}, "", sayWhat + "\n"},
		"what to clean, in a script":        {[]string{"run", "--yes"}, "", sayWhat + "\n"},
		"what to clean of legacy ARC":       {[]string{"run", "--yes", "--scope", "legacy"}, "", sayWhat + "; --scope goes only with --all-namespaces\n"},
		"a namespace that was lost":         {[]string{"run", "--yes", "--namespace", ""}, "", sayWhat + "\n"},
		"only where the release is":         {[]string{"run", "--yes", "--release-namespace", "ns"}, "", sayWhat + "; --release-namespace goes only with --all-namespaces\n"},
		"a namespace and all":               {[]string{"plan", "-A", "-n", "ns"}, "", "--namespace rescues one namespace, --all-namespaces (-A) cleans the whole cluster; give one"},
		"a namespace and, elsewhere, all":   {[]string{"plan", "-n", "ns"}, "ARC_CLEANUP_ALL_NAMESPACES=true", "give one"},
		"a hook and all":                    {[]string{"run", "-A", "--job", "j", "--release-namespace", "ns"}, "", "--all-namespaces does not go with --job"},
		"a release and all":                 {[]string{"plan", "-A", "--release", "r", "--release-namespace", "ns"}, "", "--all-namespaces does not go with --job, --release"},
		"a scale set and all":               {[]string{"plan", "-A", "--scope", "scale-set", "--release-namespace", "ns", "--scale-set", "s"}, "", "--all-namespaces does not go with"},
		"a scale set without its scope":     {[]string{"plan", "-A", "--scale-set", "a/b"}, "", "--scale-set needs --scope scale-set"},
		"the status of a namespace and all": {[]string{"status", "-A", "-n", "ns"}, "", "--namespace and --all-namespaces (-A) both say where the releases are; give one"},
		"enrol without a namespace":         {[]string{"enrol", "arc"}, "", "give --namespace, the namespace of the release"},
		"enrol":                             {[]string{"enrol"}, "", "RELEASE is missing: type arc-cleanup enrol RELEASE"},
		"enrol what":                        {[]string{"enrol", "-n", "ns"}, "", "RELEASE is missing: type arc-cleanup enrol RELEASE"},
		"enrol twice told":                  {[]string{"enrol", "arc", "-n", "ns", "--enroller", "e"}, "", "--enroller does not go with a RELEASE"},
		"enrol with a value that is none":   {[]string{"enrol", "arc", "-n", "ns", "--set", "x=1"}, "", "it has no value \"x\""},
		"enrol with a file that is none":    {[]string{"enrol", "arc", "-n", "ns", "--values", "/nowhere"}, "", "--values: open /nowhere"},
		"enrol under a name that is none":   {[]string{"enrol", "Arc_", "-n", "ns"}, "", `release name "Arc_"`},
		"unenrol without a namespace":       {[]string{"unenrol", "arc"}, "", "give --namespace, the namespace of the release"},
		"unenrol what":                      {[]string{"unenrol", "-n", "ns"}, "", "RELEASE is missing: type arc-cleanup unenrol RELEASE"},
		"a status that is none":             {[]string{"status", "-o", "yaml"}, "", `--output "yaml": must be table or json`},
		"an enrolled hook with values":      {[]string{"enrol", "arc", "-n", "ns", "--hooks", "-", "--set", "x=1"}, "", "--hooks is a hook with its values"},
		"an enrolled hook that is none":     {[]string{"enrol", "arc", "-n", "ns", "--hooks", "-"}, "", "--hooks -: reading the hook"},
		"an upgrade without a terminal":     {[]string{"upgrade"}, "", "there is no terminal to ask on: give --yes, and --version or --chart (and"},
		"an upgrade to what, unasked":       {[]string{"upgrade", "--version", "2"}, "", "there is no terminal to ask on: give --yes (and"},
		"an abort without a terminal":       {[]string{"upgrade", "--abort"}, "", "there is no terminal to ask on: give --yes (and"},
		"an upgrade that leaves runners":    {[]string{"upgrade", "--yes", "--busy-runners", "leave"}, "", `--busy-runners "leave": must be wait, refuse or force`},
		"an upgrade with a bad policy":      {[]string{"upgrade", "--yes", "--busy-runners", "kill"}, "", `--busy-runners "kill": must be wait, refuse or force`},
		"an upgrade without time":           {[]string{"upgrade", "--yes", "--timeout", "0s"}, "", "--timeout 0s: must be more than 0"},
		"an upgrade of something":           {[]string{"upgrade", "arc"}, "", `upgrade takes no argument, and got "arc": type arc-cleanup upgrade`},
		"a digest that was lost":            {[]string{"run", "-A", "--yes", "--confirm", ""}, "", `--confirm "": want sha256: and 64 hexadecimal digits`},
		"a digest that is none":             {[]string{"run", "-A", "--confirm", "sha256:1"}, "", `--confirm "sha256:1": want sha256: and 64 hexadecimal digits`},
		"a hook that was seen":              {[]string{"run", "--confirm", "sha256:" + strings.Repeat("0", 64), "--job", "j", "--release-namespace", "ns"}, "", "--confirm does not go with --job"},
		"by hand without a terminal":        {[]string{"run", "-A"}, "", "look at what arc-cleanup plan prints with the same flags, then give --yes"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			if key, value, ok := strings.Cut(test.env, "="); ok {
				t.Setenv(key, value)
			}
			t.Setenv("KUBECONFIG", kubeconfig)
			got := command(t.Context(), strings.NewReader("y\n"), test.args...)
			if got.code != exitUsage || !strings.Contains(got.stderr, test.stderr) || !strings.HasPrefix(got.stderr, "arc-cleanup: ") || got.stdout != "" {
				t.Errorf("exit code %d, want %d; stdout %q; stderr %q, want %q in it", got.code, exitUsage, got.stdout, got.stderr, test.stderr)
			}
		})
	}
}

func TestFlagsAndEnvironmentMakeOptions(t *testing.T) {
	byHand := plan.Options{Scope: plan.ScopeController, ScaleSets: plan.RefuseScaleSets, CRDs: plan.DeleteCRDs, GitHub: plan.KeepRegistered, Grace: time.Minute}
	change := func(f func(*plan.Options)) plan.Options {
		o := byHand
		f(&o)
		return o
	}
	tests := map[string]struct {
		args []string
		env  map[string]string
		want plan.Options
	}{
		"by hand":       {[]string{"--all-namespaces"}, nil, byHand},
		"for short":     {[]string{"-A"}, nil, byHand},
		"in a script":   {nil, map[string]string{"ARC_CLEANUP_ALL_NAMESPACES": "true"}, byHand},
		"of legacy ARC": {[]string{"-A", "--scope", "legacy"}, nil, change(func(o *plan.Options) { o.Scope = plan.ScopeLegacy })},
		"one namespace": {[]string{"-n", "ns"}, nil, change(func(o *plan.Options) { o.Scope, o.Namespace = plan.ScopeNamespace, "ns" })},
		"the hook asks for proof": {[]string{"--job", "j", "--release-namespace", "ns"}, nil, change(func(o *plan.Options) {
			o.Job, o.ReleaseNamespace, o.RequireUninstalling = "j", "ns", true
		})},
		"unless told not to": {[]string{"--job", "j", "--release-namespace", "ns", "--require-uninstalling=false"}, nil, change(func(o *plan.Options) {
			o.Job, o.ReleaseNamespace = "j", "ns"
		})},
		"also by the environment": {[]string{"--job", "j"}, map[string]string{"ARC_CLEANUP_RELEASE_NAMESPACE": "ns", "ARC_CLEANUP_REQUIRE_UNINSTALLING": "false"}, change(func(o *plan.Options) {
			o.Job, o.ReleaseNamespace = "j", "ns"
		})},
		"by hand, a release needs no proof": {[]string{"--release", "r", "--release-namespace", "ns"}, nil, change(func(o *plan.Options) {
			o.Release, o.ReleaseNamespace = "r", "ns"
		})},
		"the flag beats the environment": {[]string{"-A", "--grace", "5s"}, map[string]string{"ARC_CLEANUP_GRACE": "9s", "ARC_CLEANUP_WATCH_NAMESPACE": "w"}, change(func(o *plan.Options) {
			o.Grace, o.WatchNamespaces = 5*time.Second, []string{"w"}
		})},
		"a scale set alone is in the release's namespace": {[]string{"--scope", "scale-set", "--release-namespace", "ns"}, map[string]string{"ARC_CLEANUP_SCALE_SET": "a,b"}, change(func(o *plan.Options) {
			o.Scope, o.ReleaseNamespace, o.Sets = plan.ScopeScaleSet, "ns", []identity.Set{{Namespace: "ns", Name: "a"}, {Namespace: "ns", Name: "b"}}
		})},
		"a record elsewhere, of a release": {[]string{"--release", "r", "--release-namespace", "ns", "--storage-namespace", "flux"}, nil, change(func(o *plan.Options) {
			o.Release, o.ReleaseNamespace, o.StorageNamespace = "r", "ns", "flux"
		})},
		"a record elsewhere, of a hook": {[]string{"--job", "j", "--release-namespace", "ns", "--storage-namespace", "flux"}, nil, change(func(o *plan.Options) {
			o.Job, o.ReleaseNamespace, o.StorageNamespace, o.RequireUninstalling = "j", "ns", "flux", true
		})},
		"the scale sets of a release": {[]string{"--scope", "scale-set", "--release", "r", "--release-namespace", "ns"}, nil, change(func(o *plan.Options) {
			o.Scope, o.Release, o.ReleaseNamespace = plan.ScopeScaleSet, "r", "ns"
		})},
		"by hand, runners may be left to a controller": {[]string{"-A", "--busy-runners", "leave"}, nil, change(func(o *plan.Options) { o.BusyRunners = plan.LeaveBusy })},
		"in the hook of a scale set, too": {[]string{"--scope", "scale-set", "--job", "j", "--release-namespace", "ns", "--busy-runners", "leave"}, nil, change(func(o *plan.Options) {
			o.Scope, o.Job, o.ReleaseNamespace, o.RequireUninstalling, o.BusyRunners = plan.ScopeScaleSet, "j", "ns", true, plan.LeaveBusy
		})},
		"policies": {[]string{"-A", "--scale-sets", "delete"}, map[string]string{"ARC_CLEANUP_BUSY_RUNNERS": "force"}, change(func(o *plan.Options) {
			o.ScaleSets, o.BusyRunners = plan.DeleteScaleSets, plan.ForceBusy
		})},
		"unless told where": {[]string{"--scope", "scale-set", "--release-namespace", "ns", "--scale-set", "a", "--scale-set", "r/b_c", "--controller-namespace", "c", "--runner-namespace", "r,ns"}, nil, change(func(o *plan.Options) {
			o.Scope, o.ReleaseNamespace, o.ControllerNamespaces, o.RunnerNamespaces = plan.ScopeScaleSet, "ns", []string{"c"}, []string{"r", "ns"}
			o.Sets = []identity.Set{{Namespace: "ns", Name: "a"}, {Namespace: "r", Name: "b-c"}}
		})},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			for k, v := range test.env {
				t.Setenv(k, v)
			}
			var target target
			cmd := &cobra.Command{}
			target.register(cmd.Flags())
			if err := errors.Join(cmd.ParseFlags(test.args), fromEnvironment(cmd), target.complete(cmd.Flags())); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(test.want, target.options); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func TestExitCodesAreThoseOfTheHelp(t *testing.T) {
	tests := map[plan.Verdict]string{
		plan.Done: "done:", plan.Failed: "failed:", plan.Refused: "refused;", plan.Residue: "residue:",
		plan.NotPermitted: "not permitted:", plan.OutOfTime: "the time budget is used up", plan.Interrupted: "interrupted;",
	}
	codes := []int{exitUsage, exitWork}
	for verdict, meaning := range tests {
		code := exitCode(verdict)
		codes = append(codes, code)
		if !regexp.MustCompile(`(?m)^  ` + strconv.Itoa(code) + ` +` + regexp.QuoteMeta(meaning)).MatchString(exitHelp) {
			t.Errorf("%s: the help does not say %d %s", verdict, code, meaning)
		}
	}
	for code, meaning := range map[int]string{exitUsage: "wrong usage", exitWork: "from plan, --dry-run, or from sweep or deregister without --yes: there is something to do"} {
		if !regexp.MustCompile(`(?m)^  ` + strconv.Itoa(code) + ` +` + meaning).MatchString(exitHelp) {
			t.Errorf("the help does not say %d %s", code, meaning)
		}
	}
	var helped []int
	for _, m := range regexp.MustCompile(`(?m)^  (\d+) `).FindAllStringSubmatch(exitHelp, -1) {
		n, _ := strconv.Atoi(m[1])
		helped = append(helped, n)
	}
	slices.Sort(codes)
	if diff := cmp.Diff(codes, helped); diff != "" {
		t.Errorf("codes in the help (-want +got):\n%s", diff)
	}
	for _, name := range []string{"run", "plan"} {
		if got := command(t.Context(), nil, name, "--help"); got.code != exitDone || !strings.Contains(got.stdout, exitHelp) {
			t.Errorf("%s --help: exit code %d, and not the exit codes:\n%s", name, got.code, got.stdout)
		}
	}
}

// mixed is a cluster with something of every sort for a plan.
func mixed() *api {
	return withCRDs().
		with("er runners/r", nil).
		with("ars runners/live", map[string]any{"status": map[string]any{"currentRunners": 2, "runningEphemeralRunners": 1}}, "gpu", "runners")
}

func TestPlanIsPrinted(t *testing.T) {
	got := command(t.Context(), nil, "plan", "-A", "--kubeconfig", mixed().kubeconfig(t), "--output", "json")
	golden(t, "plan.json", got.stdout)
	if got.code != exitRefused || got.stderr != "" {
		t.Errorf("exit code %d, stderr %q", got.code, got.stderr)
	}
	got = command(t.Context(), nil, "plan", "-A", "--kubeconfig", mixed().kubeconfig(t))
	golden(t, "plan.txt", got.stdout)

	got = command(t.Context(), nil, "plan", "-A", "--watch-namespace", "other", "--kubeconfig", mixed().kubeconfig(t), "-o", "json")
	golden(t, "plan-kept.json", got.stdout)
}

// Why a plan is refused comes after everything else, where a person looks who has seen a long table go by.
func TestNotesArePrintedBeforeThePlanAndRefusalsAfterIt(t *testing.T) {
	refusals, remains := []plan.Refusal{{Verdict: plan.NotPermitted, Message: "no", Do: []string{"ask"}}}, []plan.Remain{{What: "a Lease"}}
	for name, test := range map[string]struct {
		plan plan.Plan
		want string
	}{
		"a refusal":               {plan.Plan{Refusals: refusals}, "NOT PERMITTED: no\n    ask\n"},
		"a refusal and a note":    {plan.Plan{Notes: []string{"beware"}, Refusals: refusals}, "Note: beware.\n\nNOT PERMITTED: no\n    ask\n"},
		"a refusal and what is":   {plan.Plan{Remains: remains, Refusals: refusals}, "Also there: a Lease.\n\nNOT PERMITTED: no\n    ask\n"},
		"a refusal and a failure": {plan.Plan{ObstaclesErr: errors.New("no"), Refusals: refusals}, "Could not search for webhooks and APIServices that do not answer: no\n\nNOT PERMITTED: no\n    ask\n"},
		"a note":                  {plan.Plan{Notes: []string{"beware"}}, "Note: beware.\n\nNothing to do.\n"},
		"nothing":                 {plan.Plan{}, "Nothing to do.\n"},
		"what is kept":            {plan.Plan{Kept: []plan.Finding{{Object: &object.Object{Name: "x"}, Why: "in use"}}}, "PHASE   ACTION   NAMESPACE   OBJECT   WHY\n-       keep                 /x       in use\nNothing to do with these options; ARC is not gone.\n"},
	} {
		var out strings.Builder
		if printPlan(&out, &test.plan); out.String() != test.want {
			t.Errorf("%s: %q", name, out.String())
		}
	}
}

// A name that a tenant chose is printed so that a terminal does not obey it.
func TestNamesInAPlanAreVisible(t *testing.T) {
	const name = "x\n\x1b[2JNothing to do."
	o := &object.Object{}
	o.Name = name
	var out strings.Builder
	printPlan(&out, &plan.Plan{
		Refusals: []plan.Refusal{{Message: name, Do: []string{name}}}, Notes: []string{name},
		Phases: []plan.Phase{{Name: plan.PhaseFree, Ranks: [][]plan.Step{{{Action: plan.Free, Object: o, Why: name}}}}},
		Kept:   []plan.Finding{{Object: o, Why: name}}, Obstacles: []plan.Finding{{Object: o, Why: name}}, ObstaclesErr: errors.New(name),
	})
	if n := strings.Count(out.String(), "\n"); strings.Contains(out.String(), "\x1b") || n != 10 {
		t.Errorf("%d lines:\n%q", n, out.String())
	}
}

func TestPlanSaysByItsExitCodeWhatThereIsToDo(t *testing.T) {
	t.Parallel()
	const pods = "LIST pod"
	tests := map[string]struct {
		api  *api
		code int
		want string
	}{
		"nothing":       {&api{}, exitDone, "Nothing to do.\n"},
		"work":          {withCRDs(), exitWork, "delete"},
		"refused":       {mixed(), exitRefused, "REFUSED: scale set live"},
		"not permitted": {&api{fail: map[string]int{pods: http.StatusForbidden}}, exitNotPermitted, "NOT PERMITTED: could not read pods"},
		"unreadable":    {&api{fail: map[string]int{pods: http.StatusConflict}}, exitFailed, "FAILED: could not read pods"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got := command(t.Context(), nil, "plan", "-A", "--kubeconfig", test.api.kubeconfig(t))
			if got.code != test.code || !strings.Contains(got.stdout, test.want) {
				t.Errorf("exit code %d, want %d:\n%s", got.code, test.code, got.stdout)
			}
		})
	}
}

// A failed read is unknown, not absent, in both outputs of status and in its exit code.
func TestStatusSaysWhatItCouldNotRead(t *testing.T) {
	t.Parallel()
	const secrets = "LIST secret"
	tests := map[string]struct {
		api    *api
		output string
		code   int
		want   string
	}{
		"nothing there":       {&api{}, "table", exitDone, "No Helm release of ARC.\n"},
		"nothing there, JSON": {&api{}, "json", exitDone, `"unknown": []`},
		"not permitted":       {&api{fail: map[string]int{secrets: http.StatusForbidden}}, "table", exitNotPermitted, "\nUNKNOWN: listing secrets"},
		"no controllers":      {&api{fail: map[string]int{"LIST deploy": http.StatusForbidden}}, "table", exitNotPermitted, "\nUNKNOWN: could not read ARC controllers"},
		"not permitted, JSON": {&api{fail: map[string]int{secrets: http.StatusForbidden}}, "json", exitNotPermitted, `"unknown": [
    "listing secrets`},
		"unreadable":            {&api{fail: map[string]int{secrets: http.StatusConflict}}, "table", exitFailed, "\nUNKNOWN: listing secrets"},
		"unreadable namespaces": {&api{fail: map[string]int{"LIST ns": http.StatusConflict}}, "table", exitFailed, "\nUNKNOWN: listing namespaces"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got := command(t.Context(), nil, "status", "--output", test.output, "--kubeconfig", test.api.kubeconfig(t))
			if got.code != test.code || !strings.Contains(got.stdout, test.want) {
				t.Errorf("exit code %d, want %d, and %q in\n%s", got.code, test.code, test.want, got.stdout)
			}
		})
	}
}

// A release that cannot be had is refused, with what might be the reason, and what
// may not be read is told apart from it.
func TestEnrolSaysWhyNot(t *testing.T) {
	t.Parallel()
	const secrets = "LIST secret ns"
	tests := map[string]struct {
		api  *api
		code int
		want string
	}{
		"no such release": {&api{}, exitRefused, `no Helm release found: "arc" in namespace "ns", neither in Secrets nor in ConfigMaps; records in SQL (HELM_DRIVER=sql) cannot be edited`},
		"not permitted":   {&api{fail: map[string]int{secrets: http.StatusForbidden}}, exitNotPermitted, "listing secrets in namespace ns"},
		"unreadable":      {&api{fail: map[string]int{secrets: http.StatusConflict}}, exitFailed, "listing secrets in namespace ns"},
	}
	for name, test := range tests {
		for _, verb := range []string{"enrol", "unenrol"} {
			t.Run(verb+" "+name, func(t *testing.T) {
				t.Parallel()
				got := command(t.Context(), nil, verb, "arc", "--namespace", "ns", "--kubeconfig", test.api.kubeconfig(t))
				if got.code != test.code || !strings.Contains(got.stderr, test.want) || got.stdout != "" {
					t.Errorf("exit code %d, want %d, and %q in\n%s%s", got.code, test.code, test.want, got.stderr, got.stdout)
				}
			})
		}
	}
}

// logLines are the lines of a JSON log.
func logLines(t *testing.T, text string) (out []map[string]any) {
	t.Helper()
	for line := range strings.Lines(text) {
		var m map[string]any
		if err := json.Unmarshal([]byte(line), &m); err != nil {
			t.Fatalf("%v in line %q", err, line)
		}
		out = append(out, m)
	}
	return out
}

func TestTheVerdictIsTheLastLineAndTheTerminationMessage(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		api     *api
		code    int
		verdict string
		message string
	}{
		"done":    {withCRDs(), exitDone, "done", "done: nothing of ARC is left: deleted "},
		"refused": {mixed(), exitRefused, "refused", "refused, nothing was written: scale set live "},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			file := filepath.Join(t.TempDir(), "termination")
			got := command(t.Context(), nil, "run", "-A", "--yes", "--log-format", "json", "--termination-log", file, "--kubeconfig", test.api.kubeconfig(t))
			lines := logLines(t, got.stderr)
			last := lines[len(lines)-1]
			if got.code != test.code || last["verdict"] != test.verdict {
				t.Errorf("exit code %d, last line %v", got.code, last)
			}
			message, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			summary, _ := last["message"].(string)
			if !strings.HasPrefix(string(message), test.message) || summary == "" {
				t.Errorf("the termination message %q does not begin with %q", message, test.message)
			}
		})
	}
}

// Helm prints the log in one piece, Helm 4 in one line: what goes well is told in two
// lines, and a refusal begins with its reason and ends with the command.
func TestWhatHelmPrints(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		api  *api
		code int
		want string
	}{
		"done": {withCRDs(), exitDone, "found 4 CRDs\ndone: nothing of ARC is left: deleted 4 customresourcedefinitions\n"},
		"refused": {mixed(), exitRefused, "refused, nothing was written: scale set live in namespace runners is still installed (runners: 2, busy: 1)\n" +
			"    kubectl delete autoscalingrunnerset live --namespace runners --wait=false\n"},
	} {
		got := command(t.Context(), nil, "run", "-A", "--yes", "--log-format", "console", "--kubeconfig", test.api.kubeconfig(t))
		if diff := cmp.Diff(test.want, got.stderr); got.code != test.code || diff != "" {
			t.Errorf("%s: exit code %d (-want +got):\n%s", name, got.code, diff)
		}
		got = command(t.Context(), nil, "run", "-A", "--yes", "--log-format", "console", "--log-level", "debug", "--kubeconfig", test.api.kubeconfig(t))
		if !strings.Contains(got.stderr, "DBG arc-cleanup begins budget=") {
			t.Errorf("%s, for debugging:\n%s", name, got.stderr)
		}
	}
}

func TestNothingComesAfterTheVerdict(t *testing.T) {
	t.Parallel()
	nowhere := filepath.Join(t.TempDir(), "no", "such", "folder")
	got := command(t.Context(), nil, "run", "-A", "--yes", "--log-format", "json", "--termination-log", nowhere, "--kubeconfig", (&api{}).kubeconfig(t))
	lines := logLines(t, got.stderr)
	if got.code != exitDone || lines[len(lines)-1]["verdict"] != "done" || !strings.Contains(got.stderr, "could not write the termination message") {
		t.Errorf("exit code %d:\n%s", got.code, got.stderr)
	}
}

func TestTheEndOfALongTerminationMessageIsKept(t *testing.T) {
	t.Parallel()
	r := &cleanup.Report{Verdict: plan.Residue}
	for range 3 * terminationLines {
		r.Left = append(r.Left, plan.Finding{Object: &object.Object{}, Why: strings.Repeat("x", 1000)})
	}
	f := runFlags{terminationLog: filepath.Join(t.TempDir(), "termination")}
	cmd := &cobra.Command{}
	cmd.SetErr(&strings.Builder{})
	if err := f.end(cmd, (&logFlags{}).logger(&strings.Builder{}, false, false), false, r); !errors.Is(err, exitError(exitResidue)) {
		t.Errorf("error %v", err)
	}
	message, err := os.ReadFile(f.terminationLog)
	if err != nil {
		t.Fatal(err)
	}
	if len(message) != 4096 || !strings.HasSuffix(string(message), "\n"+r.Summary()) {
		t.Errorf("%d bytes, which end with %q", len(message), message[max(0, len(message)-200):])
	}
}

func TestALongReportIsClipped(t *testing.T) {
	t.Parallel()
	r := &cleanup.Report{Verdict: plan.Residue}
	for range 3 * machineLines {
		o := &object.Object{}
		r.Left = append(r.Left, plan.Finding{Object: o, Why: "held"})
		r.Registered = append(r.Registered, cleanup.Registration{Registration: plan.Registration{Object: o}},
			cleanup.Registration{Registration: plan.Registration{Object: &object.Object{Resource: arc.Resource(arc.AutoscalingRunnerSets)}}})
		r.Errs = append(r.Errs, errors.New("no"))
	}
	var log strings.Builder
	logReport((&logFlags{}).logger(&log, false, false), r)
	// Of each of the three sorts its lines and one for the rest; one for all runners.
	if got, want := strings.Count(log.String(), "\n"), 3*(machineLines+1)+1; got != want {
		t.Errorf("%d lines, want %d:\n%s", got, want, log.String())
	}
}

// argoJob is the hook's Job as Argo CD makes it, since it needs no record.
func argoJob(start any) map[string]any {
	return map[string]any{
		"metadata": map[string]any{
			"name": "hook", "namespace": "systems", "uid": "uid-hook",
			"annotations": map[string]string{"argocd.argoproj.io/tracking-id": "apps_arc:batch/Job:systems/hook"},
		},
		"status": map[string]any{"startTime": start},
	}
}

func TestTheBudgetCountsFromTheJobsStart(t *testing.T) {
	t.Parallel()
	job := func(start any) *api { return withCRDs().with("job systems/hook", argoJob(start)) }
	long := time.Now().Add(-time.Hour).Format(time.RFC3339)
	tests := map[string]struct {
		api  *api
		code int
		warn bool
	}{
		"just now":          {job(time.Now().Format(time.RFC3339)), exitDone, false},
		"an hour ago":       {job(long), exitOutOfTime, false},
		"not known":         {withCRDs(), exitRefused, true},
		"not yet":           {job(""), exitDone, true},
		"not to be read":    {func() *api { a := job(long); a.fail = map[string]int{"GET job systems/hook": 403}; return a }(), exitNotPermitted, true},
		"of the wrong type": {job(1), exitDone, true},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got := command(t.Context(), nil, "run", "--job", "hook", "--release-namespace", "systems", "--require-uninstalling=false", "--log-format", "json", "--kubeconfig", test.api.kubeconfig(t))
			if got.code != test.code || strings.Contains(got.stderr, "the Job's start is unknown") != test.warn {
				t.Errorf("exit code %d, want %d:\n%s", got.code, test.code, got.stderr)
			}
			if test.code == exitOutOfTime && len(test.api.deleted()) > 0 {
				t.Errorf("deleted %q", test.api.deleted())
			}
		})
	}
}

func TestAJobNeedsProof(t *testing.T) {
	t.Parallel()
	a := withCRDs()
	got := command(t.Context(), nil, "run", "--job", "hook", "--release-namespace", "systems", "--kubeconfig", a.kubeconfig(t))
	if got.code != exitRefused || !strings.Contains(got.stderr, "no proof that anything is being uninstalled") || len(a.deleted()) > 0 {
		t.Errorf("exit code %d, deleted %q:\n%s", got.code, a.deleted(), got.stderr)
	}
}

func TestTheVerdictIsAnEventOfTheJob(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		api                  *api
		kind, reason, inText string
	}{
		"done":    {withCRDs(), "Normal", "CleanupDone", "nothing of ARC is left"},
		"refused": {mixed(), "Warning", "CleanupRefused", "kubectl delete autoscalingrunnerset live --namespace runners --wait=false"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test.api.with("job systems/hook", argoJob(time.Now().Format(time.RFC3339)))
			got := command(t.Context(), nil, "run", "--job", "hook", "--release-namespace", "systems", "--require-uninstalling=false", "--kubeconfig", test.api.kubeconfig(t))
			if len(test.api.events()) != 1 {
				t.Fatalf("%d events:\n%s", len(test.api.events()), got.stderr)
			}
			e := test.api.events()[0]
			of, _ := e["involvedObject"].(map[string]any)
			if e["type"] != test.kind || e["reason"] != test.reason || !strings.Contains(e["message"].(string), test.inText) || of["uid"] != "uid-hook" {
				t.Errorf("event %v", e)
			}
		})
	}
}

// Argo CD may create the Job before its rights, and deletes the Job of a hook that refused: the Event is all that is left.
func TestTheEventOfAHookWhoseRightsCameLate(t *testing.T) {
	t.Parallel()
	a := mixed().with("job systems/hook", argoJob(time.Now().Format(time.RFC3339)))
	kubeconfig := a.kubeconfig(t)
	a.server.Fault = kubetest.On(http.StatusForbidden, 1, "GET job systems/hook")
	got := command(t.Context(), nil, "run", "--job", "hook", "--release-namespace", "systems", "--require-uninstalling=false", "--kubeconfig", kubeconfig)
	if events := a.events(); got.code != exitRefused || len(events) != 1 || events[0]["reason"] != "CleanupRefused" {
		t.Errorf("exit code %d, events %v\n%s", got.code, events, got.stderr)
	}
}

// Kubernetes must not cut the verdict off: in a refusal it is the first line.
func TestAnEventIsNoLongerThanTheAPIServerTakes(t *testing.T) {
	long := strings.Repeat("ä", 600)
	left := &cleanup.Report{Verdict: plan.Residue, Left: []plan.Finding{{Object: &object.Object{}, Why: long}}}
	if got := clipped(left, eventBytes); len(got) > eventBytes || !strings.HasSuffix(got, left.Summary()) || !utf8.ValidString(got) {
		t.Errorf("%d bytes: %q", len(got), got)
	}
	refused := &cleanup.Report{Verdict: plan.Refused, Refusals: []plan.Refusal{{Verdict: plan.Refused, Message: "not now: " + long, Do: []string{"wait"}}}}
	if got := clipped(refused, eventBytes); len(got) > eventBytes || !strings.HasPrefix(got, "refused, nothing was written: not now: ä") || !utf8.ValidString(got) {
		t.Errorf("%d bytes: %q", len(got), got)
	}
}

func TestReasonsAreAsKubernetesWritesThem(t *testing.T) {
	if got := reason(plan.OutOfTime); got != "CleanupOutOfTime" {
		t.Error(got)
	}
}

func TestResidueFailsOrWarns(t *testing.T) {
	t.Parallel()
	left := []plan.Finding{{Object: &object.Object{}, Why: "held"}}
	tests := map[string]struct {
		onResidue string
		verdict   plan.Verdict
		code      int
	}{
		"it fails":                {failOnResidue, plan.Residue, exitResidue},
		"it warns":                {warnOnResidue, plan.Residue, exitDone},
		"out of time fails":       {failOnResidue, plan.OutOfTime, exitOutOfTime},
		"out of time warns":       {warnOnResidue, plan.OutOfTime, exitDone},
		"a refusal always fails":  {warnOnResidue, plan.Refused, exitRefused},
		"a missing right, too":    {warnOnResidue, plan.NotPermitted, exitNotPermitted},
		"an interruption as well": {warnOnResidue, plan.Interrupted, exitInterrupted},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var log strings.Builder
			cmd := &cobra.Command{}
			cmd.SetErr(&log)
			f := runFlags{onResidue: test.onResidue}
			err := f.end(cmd, (&logFlags{}).logger(&log, false, false), false, &cleanup.Report{Verdict: test.verdict, Left: left})
			code := exitDone
			if e := exitError(0); errors.As(err, &e) {
				code = int(e)
			}
			lines := logLines(t, log.String())
			if code != test.code || lines[len(lines)-1]["verdict"] != string(test.verdict) || !strings.Contains(log.String(), "held") {
				t.Errorf("exit code %d, want %d:\n%s", code, test.code, log.String())
			}
		})
	}
}

func TestTheReportIsADocumentToo(t *testing.T) {
	t.Parallel()
	got := command(t.Context(), nil, "run", "-A", "--yes", "-o", "json", "--kubeconfig", mixed().kubeconfig(t))
	var d struct {
		Version  string
		Verdict  plan.Verdict
		Refusals []plan.Refusal
	}
	if err := json.Unmarshal([]byte(got.stdout), &d); err != nil {
		t.Fatalf("%v in %s", err, got.stdout)
	}
	if got.code != exitRefused || d.Version != "arc-cleanup/report/v1" || d.Verdict != plan.Refused || len(d.Refusals) != 1 || d.Refusals[0].Do[0] != "kubectl delete autoscalingrunnerset live --namespace runners --wait=false" {
		t.Errorf("exit code %d, %+v", got.code, d)
	}
}

func TestVersion(t *testing.T) {
	if got := command(t.Context(), nil, "version"); got.code != exitDone || !strings.HasPrefix(got.stdout, "dev") {
		t.Errorf("%+v", got)
	}
	if got := command(t.Context(), nil, "--version"); got.code != exitDone || !strings.HasPrefix(got.stdout, "dev") {
		t.Errorf("%+v", got)
	}
}

type fullDisk struct{}

func (fullDisk) Write([]byte) (int, error) { return 0, errors.New("no space left on device") }

// A file that could not be written is no result: no script may take it for one, and nobody be sent to the help.
func TestOutputThatCannotBeWritten(t *testing.T) {
	t.Parallel()
	kubeconfig := withCRDs().kubeconfig(t)
	for _, args := range [][]string{
		{"plan", "-A", "-o", "json"},
		{"plan", "-A"},
		{"status"},
		{"status", "--all-contexts", "-o", "json"},
		{"sweep", "-A", "-o", "json"},
		{"run", "-A", "--yes", "-o", "json"},
		{"version"},
		{"--help"},
		{"completion", "bash"},
	} {
		if args[0] != "version" && args[0] != "--help" && args[0] != "completion" {
			args = append(args, "--kubeconfig", kubeconfig)
		}
		var stderr strings.Builder
		code := execute(t.Context(), args, nil, fullDisk{}, &stderr)
		const want = "arc-cleanup: standard output could not be written, and is not complete: no space left on device\n"
		if code != exitFailed || !strings.HasSuffix(stderr.String(), want) {
			t.Errorf("%v: exit code %d, stderr %q", args, code, stderr.String())
		}
	}
}

// Who has read a plan learns what to type next, unless the plan cannot be carried out.
func TestPlanSaysHowToCarryItOut(t *testing.T) {
	t.Parallel()
	const line = "To do this, give arc-cleanup run the same flags: it asks first, or with --confirm DIGEST does exactly this.\n"
	for name, test := range map[string]struct {
		api    *api
		output string
		want   bool
	}{
		"something to do": {withCRDs(), "table", true},
		"JSON":            {withCRDs(), "json", false},
		"nothing to do":   {&api{}, "table", false},
		"refused":         {mixed(), "table", false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got := command(t.Context(), nil, "plan", "-A", "--output", test.output, "--kubeconfig", test.api.kubeconfig(t))
			if strings.HasSuffix(got.stdout, line) != test.want {
				t.Errorf("exit code %d:\n%s", got.code, got.stdout)
			}
		})
	}
}
