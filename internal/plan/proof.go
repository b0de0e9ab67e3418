package plan

import (
	"cmp"
	"errors"
	"fmt"
	"slices"

	"github.com/arc-cleanup/arc-cleanup/internal/helm"
	"github.com/arc-cleanup/arc-cleanup/internal/shell"
)

// refuseWithoutProof refuses unless Helm's record, which survey/proof.go reads, says that the release
// is being uninstalled.
func (p *planner) refuseWithoutProof() {
	r, none := p.s.Record, p.s.ProofErr
	if r == nil && none == nil && len(p.s.Unknown) == 0 {
		none = errors.New("no release is named")
	}
	switch {
	case none != nil:
		p.plan.Refusals = append(p.plan.Refusals, Refusal{
			Verdict: Refused,
			Message: fmt.Sprintf("no proof that anything is being uninstalled: %v", none),
			Do:      p.elsewhere(),
		})
	case r != nil && r.Status != helm.Uninstalling:
		p.plan.Refusals = append(p.plan.Refusals, Refusal{
			Verdict: Refused,
			Message: fmt.Sprintf("release %s in namespace %s is %s: Helm is not uninstalling it", r.Name, r.Namespace, r.Status),
			Do:      []string{shell.Command("helm", "uninstall", r.Name, "--namespace", r.Namespace)},
		})
	}
}

// refuseWithoutArgoCD is for a hook that needs no Helm record, since Argo CD keeps none. It refuses
// if neither Argo CD nor Helm runs the Job: any other tool would run the hook as an ordinary Job at
// the installation.
func (p *planner) refuseWithoutArgoCD() {
	uninstalling := p.s.Record != nil && p.s.Record.Status == helm.Uninstalling
	if p.s.ByArgoCD || uninstalling || len(p.s.Unknown) > 0 {
		return
	}
	p.plan.Refusals = append(p.plan.Refusals, Refusal{
		Verdict: Refused,
		Message: fmt.Sprintf("no proof that anything is being uninstalled: the Job %s was made neither by Argo CD, for the deletion of an Application, nor by `helm uninstall`", p.o.Job),
		Do:      []string{"if neither deletes the release, switch the hook off: enabled: false; " + p.byHand()},
	})
}

// noteRelease adds a note if Helm does not say that the release named by hand is being uninstalled.
func (p *planner) noteRelease() {
	of := fmt.Sprintf("release %s in namespace %s", p.o.Release, p.o.ReleaseNamespace)
	switch r := p.s.Record; {
	case p.s.ProofErr != nil:
		p.plan.Notes = append(p.plan.Notes, fmt.Sprintf("Helm has no record of %s", of))
	case r != nil && r.Status != helm.Uninstalling:
		p.plan.Notes = append(p.plan.Notes, fmt.Sprintf("%s is %s: Helm is not uninstalling it", of, r.Status))
	}
}

// elsewhere advises where Helm's record may be, according to the labels and annotations of the
// controllers beside the hook. The advice is printed and nothing else uses it.
func (p *planner) elsewhere() []string {
	var do []string
	for _, c := range p.s.Controllers {
		if !slices.Contains(p.o.namespaces().Controllers(p.release.Namespace), c.Namespace) {
			continue
		}
		if c.Flux != "" && c.Flux != cmp.Or(p.o.StorageNamespace, p.o.ReleaseNamespace) {
			do = append(do, fmt.Sprintf("Flux manages the controller %s/%s, and keeps Helm's record beside its HelmRelease unless told otherwise: set storageNamespace to %s", c.Namespace, c.Name, shell.Quote(c.Flux)))
		}
		if !p.o.RemovesCRDs() || c.Release.Name == "" || c.Release.Namespace == p.o.ReleaseNamespace || c.Release.Namespace == c.Namespace {
			continue // another release's controller, or this is a scale set's uninstall
		}
		do = append(do, fmt.Sprintf("the controller %s/%s is not in the namespace of its release (namespaceOverride): give the post-renderer --namespace=%s", c.Namespace, c.Name, shell.Quote(c.Release.Namespace)))
		if p.s.Proven[c.UID] {
			do = append(do, "to uninstall it now: "+shell.Command("arc-cleanup", "run", "--release", c.Release.Name, "--release-namespace", c.Release.Namespace, "--controller-namespace", c.Namespace)+
				" && "+shell.Command("helm", "uninstall", c.Release.Name, "--namespace", c.Release.Namespace, "--no-hooks"))
		}
	}
	return append(do, "this runs as a pre-delete hook of `helm uninstall`; "+p.byHand())
}

// byHand tells the command that does the same without proof. A hook knows its Job's name, and not the release's.
func (p *planner) byHand() string {
	of := []string{"--all-namespaces"}
	switch p.o.Scope {
	case ScopeLegacy:
		of = append(of, "--scope", string(ScopeLegacy))
	case ScopeScaleSet:
		of = []string{"--scope", string(ScopeScaleSet), "--release", cmp.Or(p.o.Release, "NAME"), "--release-namespace", p.o.ReleaseNamespace}
	}
	return "by hand, use `" + shell.Command(slices.Concat([]string{"arc-cleanup", "run"}, of)...) + "`"
}
