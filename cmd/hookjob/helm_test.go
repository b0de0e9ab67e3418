package main

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
)

// asPlugin is the environment Helm gives its plugin, with a kubeconfig whose
// context has a namespace.
func asPlugin(t *testing.T, contextNamespace, namespace string) {
	t.Helper()
	config := filepath.Join(t.TempDir(), "config")
	text := `{"apiVersion": "v1", "kind": "Config", "current-context": "x",
"clusters": [{"name": "x", "cluster": {"server": "https://x:6443"}}],
"contexts": [{"name": "x", "context": {"cluster": "x", "namespace": "` + contextNamespace + `"}}]}`
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("KUBECONFIG", config)
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
	asPlugin(t, "", "default")
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
	asPlugin(t, "", "default")
	got := command(t.Context(), nil, "status", "--kubeconfig", kubeconfig)
	if missed := bareCommands(newRoot(), got.stdout); !strings.Contains(got.stdout, "helm4 arc-cleanup plan") || len(missed) > 0 {
		t.Errorf("%q\n%s%s", missed, got.stdout, got.stderr)
	}
}

// The name is also that of the chart, and part of the names of its objects.
func TestOnlyCommandsAreCalledAsTyped(t *testing.T) {
	asPlugin(t, "", "default")
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
	asPlugin(t, "", "ns")
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

// TestHelmsNamespaceIsNotGuessed: run and plan take --namespace for the one
// namespace to rescue, and Helm keeps that flag. The whole cluster must not be
// meant by somebody who gave a namespace.
func TestHelmsNamespaceIsNotGuessed(t *testing.T) {
	tests := map[string]struct {
		own, helm string
		args      []string
		namespace string
		release   string
		err       string
	}{
		"none":                        {helm: "default"},
		"one was given":               {helm: "runners", namespace: "runners"},
		"another than the context's":  {own: "platform", helm: "runners", namespace: "runners"},
		"default, not the context's":  {own: "platform", helm: "default", namespace: "default"},
		"the context's, given or not": {own: "platform", helm: "platform", err: "ARC_CLEANUP_NAMESPACE=platform"},
		"the scope is said":           {own: "platform", helm: "platform", args: []string{"--scope", "controller"}, release: "platform"},
		"the release is said":         {helm: "systems", args: []string{"--release", "arc"}, release: "systems"},
		"its namespace, too":          {helm: "systems", args: []string{"--release", "arc", "--release-namespace", "other"}, release: "other"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			asPlugin(t, test.own, test.helm)
			var target target
			fs := pflag.NewFlagSet("run", pflag.ContinueOnError)
			target.register(fs)
			if err := fs.Parse(test.args); err != nil {
				t.Fatal(err)
			}
			err := target.takeHelmNamespace(fs)
			if (err == nil) != (test.err == "") || err != nil && !strings.Contains(err.Error(), test.err) {
				t.Fatalf("error %v, want %q", err, test.err)
			}
			if o := target.options; o.Namespace != test.namespace || o.ReleaseNamespace != test.release {
				t.Errorf("rescues %q, release in %q; want %q, %q", o.Namespace, o.ReleaseNamespace, test.namespace, test.release)
			}
		})
	}

	t.Run("a namespace in the environment is ours", func(t *testing.T) {
		asPlugin(t, "platform", "platform")
		t.Setenv("ARC_CLEANUP_NAMESPACE", "runners")
		t.Setenv("KUBECONFIG", (&api{}).kubeconfig(t))
		if got := command(t.Context(), nil, "plan"); got.code == exitUsage {
			t.Errorf("%s%s", got.stdout, got.stderr)
		}
	})
	t.Run("outside Helm it means nothing", func(t *testing.T) {
		asPlugin(t, "platform", "runners")
		t.Setenv("HELM_PLUGIN_NAME", "")
		var target target
		if err := target.takeHelmNamespace(pflag.NewFlagSet("run", pflag.ContinueOnError)); err != nil || target.options.Namespace != "" {
			t.Errorf("rescues %q, error %v", target.options.Namespace, err)
		}
	})
}
