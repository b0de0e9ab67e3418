package main

import (
	"errors"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/spf13/cobra"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"

	"github.com/arc-cleanup/arc-cleanup/internal/plan"
)

// asPlugin is the environment Helm gives its plugin.
func asPlugin(t *testing.T, namespace string) {
	t.Helper()
	t.Setenv("HELM_PLUGIN_NAME", "arc-cleanup")
	t.Setenv("HELM_BIN", "/opt/helm v4/helm4")
	t.Setenv("HELM_NAMESPACE", namespace)
}

// bare matches a command of this program that Helm does not run.
var bare = regexp.MustCompile(`(helm4 )?\barc-cleanup [a-z]+\b`)

// bareCommands are the commands in a text that a user of the Helm plugin cannot type.
func bareCommands(root *cobra.Command, text string) []string {
	var verbs, out []string
	for _, cmd := range root.Commands() {
		verbs = append(verbs, cmd.Name())
	}
	for _, found := range bare.FindAllString(text, -1) {
		if words := strings.Fields(found); words[0] != "helm4" && slices.Contains(append(verbs, "completion"), words[1]) {
			out = append(out, found)
		}
	}
	return out
}

func TestHelpSpeaksOfWhatWasTyped(t *testing.T) {
	helps := [][]string{{"--help"}, {"run", "--help"}, {"enrol", "--help"}, {"status", "--help"}}
	for _, args := range helps {
		if got := command(t.Context(), nil, args...); strings.Contains(got.stdout, "helm arc-cleanup") || len(bareCommands(newRoot(), got.stdout)) == 0 {
			t.Errorf("%q outside Helm:\n%s", args, got.stdout)
		}
	}
	asPlugin(t, "default")
	for _, args := range helps {
		got := command(t.Context(), nil, args...)
		if missed := bareCommands(newRoot(), got.stdout); !strings.Contains(got.stdout, "helm4 arc-cleanup") || len(missed) > 0 {
			t.Errorf("%q under Helm: %q\n%s", args, missed, got.stdout)
		}
	}
	if got := command(t.Context(), nil, "destroy"); !strings.HasPrefix(got.stderr, "helm4 arc-cleanup: ") {
		t.Errorf("an error under Helm: %s", got.stderr)
	}
	// Another plugin which runs arc-cleanup is not this one.
	t.Setenv("HELM_PLUGIN_NAME", "other")
	if got := command(t.Context(), nil, "destroy"); !strings.HasPrefix(got.stderr, "arc-cleanup: ") {
		t.Errorf("an error under another plugin: %s", got.stderr)
	}
}

func TestAdviceSpeaksOfWhatWasTyped(t *testing.T) {
	kubeconfig := mixed().kubeconfig(t)
	asPlugin(t, "default")
	got := command(t.Context(), nil, "status", "--kubeconfig", kubeconfig)
	if missed := bareCommands(newRoot(), got.stdout); !strings.Contains(got.stdout, "helm4 arc-cleanup plan --all-namespaces") || len(missed) > 0 {
		t.Errorf("%q\n%s%s", missed, got.stdout, got.stderr)
	}
}

// The name is also that of the chart, and part of the names of its objects.
func TestOnlyCommandsAreCalledAsTyped(t *testing.T) {
	asPlugin(t, "default")
	for _, cmd := range newRoot().Commands() {
		if got, want := asCalled("arc-cleanup "+cmd.Name()), "helm4 arc-cleanup "+cmd.Name(); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
	for text, want := range map[string]string{
		"see `arc-cleanup restore`":                       "see `helm4 arc-cleanup restore`",
		"to uninstall it now: arc-cleanup run --yes && x": "to uninstall it now: helm4 arc-cleanup run --yes && x",
		"arc-cleanup plan\narc-cleanup run":               "helm4 arc-cleanup plan\nhelm4 arc-cleanup run",
		"the chart arc-cleanup runs it":                   "the chart arc-cleanup runs it",
		"helm uninstall arc-cleanup --namespace ns":       "helm uninstall arc-cleanup --namespace ns",
		"kubectl delete job arc-arc-cleanup && x":         "kubectl delete job arc-arc-cleanup && x",
		"the Job arc-arc-cleanup run by Helm":             "the Job arc-arc-cleanup run by Helm",
	} {
		if got := asCalled(text); got != want {
			t.Errorf("%q becomes %q, want %q", text, got, want)
		}
	}
	t.Setenv("HELM_BIN", "/opt/helm$1")
	if got := asCalled("arc-cleanup run"); got != "helm$1 arc-cleanup run" {
		t.Error(got)
	}
}

func TestHelmsGlobalFlagsReachThePlugin(t *testing.T) {
	asPlugin(t, "ns")
	for name, value := range map[string]string{
		"HELM_KUBECONTEXT": "c", "HELM_KUBEAPISERVER": "https://s", "HELM_KUBECAFILE": "ca", "HELM_KUBETLS_SERVER_NAME": "n",
		"HELM_KUBEINSECURE_SKIP_TLS_VERIFY": "true", "HELM_KUBETOKEN": "t", "HELM_KUBEASUSER": "u", "HELM_KUBEASGROUPS": "g,h",
	} {
		t.Setenv(name, value)
	}
	want := &clientcmd.ConfigOverrides{
		CurrentContext: "c",
		Context:        clientcmdapi.Context{Namespace: "ns"},
		ClusterInfo:    clientcmdapi.Cluster{Server: "https://s", CertificateAuthority: "ca", TLSServerName: "n", InsecureSkipTLSVerify: true},
		AuthInfo:       clientcmdapi.AuthInfo{Token: "t", Impersonate: "u", ImpersonateGroups: []string{"g", "h"}},
	}
	if diff := cmp.Diff(want, (&cluster{}).overrides()); diff != "" {
		t.Errorf("under Helm (-want +got):\n%s", diff)
	}
	if got := (&cluster{context: "mine"}).overrides().CurrentContext; got != "mine" {
		t.Errorf("--context does not beat Helm's: %s", got)
	}
	if err := onlyHelmsContext(); err == nil || !strings.Contains(err.Error(), "--kube-apiserver") {
		t.Errorf("upgrade would act on another cluster: %v", err)
	}
	t.Setenv("HELM_PLUGIN_NAME", "")
	if err := onlyHelmsContext(); err != nil {
		t.Errorf("outside Helm: %v", err)
	}
	if diff := cmp.Diff(&clientcmd.ConfigOverrides{}, (&cluster{}).overrides()); diff != "" {
		t.Errorf("outside Helm (-want +got):\n%s", diff)
	}
}

// Helm keeps --namespace, and hands on a namespace always: run and plan take it as helm list does.
func TestWhatToCleanUnderHelm(t *testing.T) {
	rescue := func(namespace string) plan.Options {
		return plan.Options{Scope: plan.ScopeNamespace, Namespace: namespace}
	}
	of := func(scope plan.Scope, release, namespace string) plan.Options {
		return plan.Options{Scope: scope, Release: release, ReleaseNamespace: namespace}
	}
	tests := map[string]struct {
		args []string
		env  map[string]string
		want plan.Options
		err  string
	}{
		"the namespace":               {want: rescue("ns")},
		"one that Helm does not keep": {args: []string{"-nother"}, want: rescue("other")},
		"what was typed goes first":   {env: map[string]string{"ARC_CLEANUP_NAMESPACE": "other"}, want: rescue("ns")},
		"all":                         {args: []string{"-A"}, want: of(plan.ScopeController, "", "")},
		// The namespace may have been typed. A variable must not make the whole cluster of it.
		"not all, by the environment":   {env: map[string]string{"ARC_CLEANUP_ALL_NAMESPACES": "true"}, want: rescue("ns")},
		"all of legacy ARC":             {args: []string{"--all-namespaces", "--scope", "legacy"}, want: of(plan.ScopeLegacy, "", "")},
		"the release's":                 {args: []string{"--release", "arc"}, want: of(plan.ScopeController, "arc", "ns")},
		"the release's, elsewhere":      {args: []string{"--release", "arc", "--release-namespace", "other"}, want: of(plan.ScopeController, "arc", "other")},
		"the scale set's release's":     {args: []string{"--scope", "scale-set", "--release", "gpu"}, want: of(plan.ScopeScaleSet, "gpu", "ns")},
		"a scope is not a namespace":    {args: []string{"--scope", "legacy"}, err: "say what to clean"},
		"nor are the CRDs that it has":  {args: []string{"--crds", "keep"}, err: "the whole cluster; --crds goes only with --all-namespaces"},
		"Helm has none":                 {env: map[string]string{"HELM_NAMESPACE": ""}, err: "say what to clean"},
		"a release, by the environment": {env: map[string]string{"ARC_CLEANUP_RELEASE": "arc"}, want: of(plan.ScopeController, "arc", "ns")},
		"outside Helm, nothing":         {env: map[string]string{"HELM_PLUGIN_NAME": ""}, err: "say what to clean"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			asPlugin(t, "ns")
			for k, v := range test.env {
				t.Setenv(k, v)
			}
			var target target
			cmd := &cobra.Command{}
			target.register(cmd.Flags())
			if err := errors.Join(cmd.ParseFlags(test.args), fromEnvironment(cmd)); err != nil {
				t.Fatal(err)
			}
			target.takeHelmNamespace(cmd.Flags())
			err := target.complete(cmd.Flags())
			if test.err != "" {
				if err == nil || !strings.Contains(err.Error(), test.err) {
					t.Errorf("error %v, want %q", err, test.err)
				}
				return
			}
			o := target.options
			got := plan.Options{Scope: o.Scope, Namespace: o.Namespace, Release: o.Release, ReleaseNamespace: o.ReleaseNamespace}
			if diff := cmp.Diff(test.want, got); diff != "" || err != nil {
				t.Errorf("%v (-want +got):\n%s", err, diff)
			}
		})
	}
}

// The commands take the namespace, each before it connects.
func TestCommandsTakeHelmsNamespace(t *testing.T) {
	kubeconfig := withCRDs().with("ns ns", nil).kubeconfig(t)
	asPlugin(t, "ns")
	for _, test := range []struct {
		args []string
		want string
	}{
		{[]string{"plan"}, "namespace ns is not being deleted"},
		{[]string{"run", "--yes"}, "namespace ns is not being deleted"},
		{[]string{"plan", "-A"}, "ephemeralrunners.actions.github.com"},
		{[]string{"run", "-A", "--yes"}, "done: nothing of ARC is left"},
		{[]string{"status"}, "No Helm release of ARC in namespace ns. For all namespaces: helm4 arc-cleanup status --all-namespaces\n"},
		{[]string{"status", "-A"}, "No Helm release of ARC.\n"},
		{[]string{"status", "-nother"}, "No Helm release of ARC in namespace other."},
	} {
		if got := command(t.Context(), nil, append(test.args, "--kubeconfig", kubeconfig)...); !strings.Contains(got.stdout+got.stderr, test.want) {
			t.Errorf("%q: exit code %d, want %q:\n%s%s", test.args, got.code, test.want, got.stdout, got.stderr)
		}
	}
}
