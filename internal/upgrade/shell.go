package upgrade

import (
	"slices"
	"strings"

	"github.com/arc-cleanup/arc-cleanup/internal/arc"
	"github.com/arc-cleanup/arc-cleanup/internal/plan"
	"github.com/arc-cleanup/arc-cleanup/internal/shell"
)

// Commands returns shell commands for the steps that remain after an upgrade stopped at a step. They do
// the same as the steps. There are none if it stopped before anything was saved.
func (u *Upgrade) Commands(p *Plan, stopped int) []string {
	var out []string
	for i, s := range p.Steps[stopped:] {
		switch r := s.Release; s.Kind {
		case Save:
			return nil
		case Clean:
			out = append(out, u.hookjob(u.clean(r)))
		case Uninstall:
			out = append(out, u.helm(r, u.Helm.uninstallArgs(r, "foreground")))
		case Remove:
			out = append(out, u.removal(r, p.State)...)
		case Install:
			if i == 0 {
				out = append(out, u.removal(r, p.State)...)
			}
			out = append(out, u.saved(r, valuesKey(r))+" | "+u.helm(r, u.Helm.installArgs(r, p.State.Target.of(r).reference())))
		case Ready:
			out = append(out, u.waitForCRDs())
		case Enrol:
			out = append(out, u.saved(r, hooksKey(r))+" | "+
				shell.Command(slices.Concat([]string{"arc-cleanup", "enrol", r.Name, "--namespace", r.Namespace, "--hooks", "-"}, u.cluster())...))
		case Forget:
			for _, namespace := range p.State.forgotten() {
				out = append(out, u.kubectl("delete", "secret", SecretName, "--ignore-not-found", "--namespace", namespace))
			}
		default:
			out = append(out, u.commandsInPlace(p.State, s)...)
		}
	}
	return out
}

func (u *Upgrade) waitForCRDs() string {
	wait := []string{"wait", "--for", "condition=Established", "--timeout", u.Helm.Timeout.String()}
	for _, name := range arc.CRDs() {
		wait = append(wait, "crd/"+name)
	}
	return u.kubectl(wait...)
}

// removal returns the commands that remove what a broken installation has left.
func (u *Upgrade) removal(r Release, state State) []string {
	helm := u.helm(r, u.Helm.uninstallArgs(r, "foreground"))
	if r.Controller {
		return []string{helm}
	}
	return []string{u.hookjob(u.remove(r, state)), helm}
}

// saved returns the command that prints a release's values or hooks from its Secret.
func (u *Upgrade) saved(r Release, key string) string {
	path := "jsonpath={.data." + strings.ReplaceAll(key, ".", `\.`) + "}"
	return u.kubectl("get", "secret", SecretName, "--namespace", r.Namespace, "--output", path) + " | base64 -d | gunzip"
}

func (u *Upgrade) kubectl(args ...string) string {
	return shell.Command(slices.Concat([]string{"kubectl"}, args, u.cluster())...)
}

func (u *Upgrade) helm(r Release, args []string) string {
	command := shell.Command(slices.Concat([]string{u.Helm.Binary}, args, u.Helm.cluster())...)
	if r.Driver == "configmap" {
		command = "HELM_DRIVER=configmap " + command
	}
	return command
}

// hookjob returns the command that runs the cleanup with these options.
func (u *Upgrade) hookjob(o plan.Options) string {
	args := []string{
		"arc-cleanup", "run", "--yes", "--release", o.Release, "--release-namespace", o.ReleaseNamespace,
		"--backup=false", "--budget", u.Budget.String(), "--grace", o.Grace.String(),
	}
	if o.Scope == plan.ScopeScaleSet {
		args = append(args, "--scope", string(o.Scope))
	} else {
		args = append(args, "--scale-sets", string(o.ScaleSets))
	}
	for _, of := range []struct {
		flag       string
		namespaces []string
	}{
		{"--watch-namespace", o.WatchNamespaces},
		{"--controller-namespace", o.ControllerNamespaces},
		{"--runner-namespace", o.RunnerNamespaces},
	} {
		for _, namespace := range of.namespaces {
			args = append(args, of.flag, namespace)
		}
	}
	args = append(args, "--busy-runners", string(o.BusyRunners))
	return shell.Command(slices.Concat(args, u.cluster())...)
}

// cluster returns the arguments of kubectl and arc-cleanup that select the cluster.
func (u *Upgrade) cluster() []string {
	var args []string
	if u.Helm.Kubeconfig != "" {
		args = append(args, "--kubeconfig", u.Helm.Kubeconfig)
	}
	if u.Helm.Context != "" {
		args = append(args, "--context", u.Helm.Context)
	}
	return args
}
