package main

import (
	"cmp"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"k8s.io/client-go/tools/clientcmd"
)

// program is what people type. The Helm plugin has the same name.
const program = "arc-cleanup"

// underHelm reports whether Helm runs the program, as its plugin.
func underHelm() bool { return os.Getenv("HELM_PLUGIN_NAME") == program }

// called is what the user typed to run the program.
func called() string {
	if !underHelm() {
		return program
	}
	return strings.TrimSuffix(filepath.Base(cmp.Or(os.Getenv("HELM_BIN"), "helm")), ".exe") + " " + program
}

// ownCommand matches a command of this program in a text. It needs the verb: the name
// alone is also that of the chart, and part of the names of its objects.
var ownCommand = regexp.MustCompile("(^|[\\s\"'`(])" + program + ` (completion|deregister|enrol|plan|restore|run|status|sweep|unenrol|upgrade|version)\b`)

// asCalled puts what the user typed into each command of this program in a text. Plans,
// reports and documents always say arc-cleanup; only what is printed for people differs.
func asCalled(text string) string {
	return ownCommand.ReplaceAllString(text, "${1}"+strings.ReplaceAll(called(), "$", "$$")+" ${2}")
}

// nameAsCalled makes the help of all commands speak of what the user typed.
func nameAsCalled(root *cobra.Command) {
	root.Annotations = map[string]string{cobra.CommandDisplayNameAnnotation: called()}
	for _, cmd := range append(root.Commands(), root) {
		cmd.Long, cmd.Example = asCalled(cmd.Long), asCalled(cmd.Example)
	}
}

// helmOverrides is what Helm's global flags say about the cluster. Helm keeps them
// for itself, and hands what they say to a plugin in its environment.
func helmOverrides(o *clientcmd.ConfigOverrides) {
	if !underHelm() {
		return
	}
	o.CurrentContext = cmp.Or(o.CurrentContext, os.Getenv("HELM_KUBECONTEXT"))
	o.ClusterInfo.Server = os.Getenv("HELM_KUBEAPISERVER")
	o.ClusterInfo.CertificateAuthority = os.Getenv("HELM_KUBECAFILE")
	o.ClusterInfo.TLSServerName = os.Getenv("HELM_KUBETLS_SERVER_NAME")
	o.ClusterInfo.InsecureSkipTLSVerify = os.Getenv("HELM_KUBEINSECURE_SKIP_TLS_VERIFY") == "true"
	o.AuthInfo.Token = os.Getenv("HELM_KUBETOKEN")
	o.AuthInfo.Impersonate = os.Getenv("HELM_KUBEASUSER")
	if groups := os.Getenv("HELM_KUBEASGROUPS"); groups != "" {
		o.AuthInfo.ImpersonateGroups = strings.Split(groups, ",")
	}
	o.Context.Namespace = helmNamespace()
}

// onlyHelmsContext is an error where Helm's flags say more about the cluster than a
// context of the kubeconfig, which is all that upgrade hands to the Helm it runs:
// the two would act on different clusters, or as different users.
func onlyHelmsContext() error {
	if !underHelm() {
		return nil
	}
	for _, flag := range []struct{ name, variable string }{
		{"--kube-apiserver", "HELM_KUBEAPISERVER"},
		{"--kube-token", "HELM_KUBETOKEN"},
		{"--kube-as-user", "HELM_KUBEASUSER"},
		{"--kube-as-group", "HELM_KUBEASGROUPS"},
		{"--kube-ca-file", "HELM_KUBECAFILE"},
		{"--kube-tls-server-name", "HELM_KUBETLS_SERVER_NAME"},
	} {
		if os.Getenv(flag.variable) != "" {
			return fmt.Errorf("upgrade runs Helm itself, with a kubeconfig and its context alone: put what %s says (or %s) into a kubeconfig", flag.name, flag.variable)
		}
	}
	return nil
}

// helmNamespace is the namespace Helm would take, as by --namespace; "" where
// Helm does not run the program.
func helmNamespace() string {
	if !underHelm() {
		return ""
	}
	return os.Getenv("HELM_NAMESPACE")
}

// takeHelmNamespace gives run and plan the namespace that Helm always hands on: beside a flag
// that says what to clean it is the release's, else the one to rescue. With --all-namespaces
// it selects nothing, as for helm list.
func (t *target) takeHelmNamespace(f *pflag.FlagSet) {
	o := &t.options
	switch {
	case t.everywhere || o.Namespace != "":
	case besideNamespace(f) != "":
		o.ReleaseNamespace = cmp.Or(o.ReleaseNamespace, helmNamespace())
	default:
		o.Namespace = helmNamespace()
	}
}
