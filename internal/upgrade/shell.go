package upgrade

import (
	"slices"
	"strings"

	"github.com/arc-cleanup/arc-cleanup/internal/arc"
	"github.com/arc-cleanup/arc-cleanup/internal/cleanup"
	"github.com/arc-cleanup/arc-cleanup/internal/shell"
)

// Commands are shell commands for what is left to be done when an upgrade stopped
// at a step: they do the same without us. There are none when it stopped before
// anything was saved.
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
			chart := p.State.Target.of(r)
			ref := []string{chart.Ref}
			if chart.Version != "" {
				ref = append(ref, "--version", chart.Version)
			}
			out = append(out, u.saved(r, valuesKey(r))+" | "+u.helm(r, u.Helm.installArgs(r, ref)))
		case Ready:
			wait := []string{"kubectl", "wait", "--for", "condition=Established", "--timeout", u.Helm.Timeout.String()}
			for _, name := range arc.CRDs() {
				wait = append(wait, "crd/"+name)
			}
			out = append(out, shell.Command(slices.Concat(wait, u.cluster())...))
		case Enrol:
			out = append(out, u.saved(r, hooksKey(r))+" | "+
				shell.Command(slices.Concat([]string{"arc-cleanup", "enrol", r.Name, "--namespace", r.Namespace, "--hooks", "-"}, u.cluster())...))
		case Forget:
			for _, namespace := range p.State.namespaces() {
				out = append(out, shell.Command(slices.Concat([]string{"kubectl", "delete", "secret", SecretName, "--ignore-not-found", "--namespace", namespace}, u.cluster())...))
			}
		}
	}
	return out
}

// removal takes away what an installation that broke off has left.
func (u *Upgrade) removal(r Release, state State) []string {
	helm := u.helm(r, u.Helm.uninstallArgs(r, "foreground"))
	if r.Controller {
		return []string{helm}
	}
	return []string{u.hookjob(u.remove(r, state)), helm}
}

// saved is what prints a release's values or hook out of its Secret.
func (u *Upgrade) saved(r Release, key string) string {
	path := "jsonpath={.data." + strings.ReplaceAll(key, ".", `\.`) + "}"
	return shell.Command(slices.Concat([]string{"kubectl", "get", "secret", SecretName, "--namespace", r.Namespace, "--output", path}, u.cluster())...) +
		" | base64 -d | gunzip"
}

func (u *Upgrade) helm(r Release, args []string) string {
	command := shell.Command(slices.Concat([]string{u.Helm.Binary}, args, u.Helm.cluster())...)
	if r.Driver == "configmap" {
		command = "HELM_DRIVER=configmap " + command
	}
	return command
}

// hookjob is what runs the engine with these options.
func (u *Upgrade) hookjob(o cleanup.Options) string {
	args := []string{"arc-cleanup", "run", "--yes", "--release", o.Release, "--release-namespace", o.ReleaseNamespace, "--backup=false", "--budget", u.Budget.String(), "--grace", o.Grace.String()}
	if o.Scope == cleanup.ScaleSet {
		args = append(args, "--scope", string(o.Scope))
	} else {
		args = append(args, "--scale-sets", string(o.ScaleSets))
	}
	for _, of := range []struct {
		flag       string
		namespaces []string
	}{{"--watch-namespace", o.WatchNamespaces}, {"--controller-namespace", o.ControllerNamespaces}, {"--runner-namespace", o.RunnerNamespaces}} {
		for _, namespace := range of.namespaces {
			args = append(args, of.flag, namespace)
		}
	}
	args = append(args, "--busy-runners", string(o.BusyRunners))
	return shell.Command(slices.Concat(args, u.cluster())...)
}

// cluster are the arguments of kubectl, and ours, which say which cluster is meant.
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
