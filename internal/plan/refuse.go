package plan

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"github.com/arc-cleanup/arc-cleanup/internal/arc"
	"github.com/arc-cleanup/arc-cleanup/internal/english"
	"github.com/arc-cleanup/arc-cleanup/internal/object"
	"github.com/arc-cleanup/arc-cleanup/internal/shell"
)

// liveRunners refuses a legacy object that is still installed. Deleting it would remove its
// runners, whether they have jobs or not; scaling it to zero lets them finish
// (controllers/actions.summerwind.net/runnerreplicaset_controller.go).
func (p *planner) liveRunners(o *object.Object) Refusal {
	kind := o.Resource.Resource[:len(o.Resource.Resource)-1]
	r := Refusal{
		Verdict: Refused,
		Message: fmt.Sprintf("%s %s in namespace %s is still installed", kind, o.Name, o.Namespace),
		Do:      []string{deletion(kind+"."+arc.LegacyGroup, o.Name, o.Namespace)},
	}
	p.byRelease(o, &r)
	if o.Resource.Resource != arc.Runners {
		r.Message += "; to let its runners finish their jobs, scale it to zero first"
		r.Do = append([]string{shell.Command("kubectl", "patch", kind+"."+arc.LegacyGroup, o.Name, "--namespace", o.Namespace, "--type", "merge", "--patch", "spec: {replicas: 0}")}, r.Do...)
	}
	return r
}

// refuseLiveNamespace refuses to rescue a namespace that is not being deleted: everything that ARC
// has there is in use. It prints no command that deletes the namespace, which may be the wrong one: under
// Helm it is the kubeconfig's if none was typed. A namespace that does not exist may be a slip of the pen, too.
func (p *planner) refuseLiveNamespace() {
	_, terminating := p.s.Terminating[p.o.Namespace]
	switch {
	case p.s.Live:
		p.plan.Refusals = append(p.plan.Refusals, Refusal{
			Verdict: Refused,
			Message: fmt.Sprintf("namespace %s is not being deleted: there is nothing to rescue", p.o.Namespace),
			Do:      []string{"arc-cleanup status --all-namespaces"},
		})
	case !terminating && len(p.s.Unknown) == 0:
		p.plan.Notes = append(p.plan.Notes, fmt.Sprintf("there is no namespace %s", p.o.Namespace))
	}
}

// refuse collects the reasons not to begin. The backup (backup.go) and the person who confirmed a plan
// (confirm.go) can add one later, and so can the trial writes of cleanup/preflight.go.
func (p *planner) refuse() {
	switch {
	case p.o.RequireUninstalling:
		p.refuseWithoutProof()
	case p.o.Job != "":
		p.refuseWithoutArgoCD()
	default:
		p.noteRelease()
	}
	p.refuseUnknown()
	if p.o.busyRunners() == RefuseBusy {
		for _, o := range p.busy() {
			p.plan.Refusals = append(p.plan.Refusals, busyRefusal(p.s.Busy[o.UID]))
		}
	}
	if p.o.Scope == ScopeNamespace {
		p.refuseLiveNamespace()
	}
	p.refuseOutOfScope()
	p.refuseUnbuildable()
	switch {
	case !p.o.RemovesCRDs() || p.o.ScaleSets == DeleteScaleSets:
	case !p.o.Uninstalls():
		p.refuseLiveSets()
	case len(p.s.Unknown) == 0: // with unread objects, the refusal could call an existing release missing
		p.refuseUninstall()
	}
}

// refuseUnknown names every failed read.
func (p *planner) refuseUnknown() {
	for _, u := range MergeUnknown(p.s.Asked()) {
		p.plan.Refusals = append(p.plan.Refusals, u.Refusal())
	}
}

// Refusal refuses to begin because of a failed read.
func (u Unknown) Refusal() Refusal {
	r := Refusal{Verdict: Failed, Message: fmt.Sprintf("could not read %s: %v", u.What, u.Err)}
	if apierrors.IsForbidden(u.Err) {
		r.Verdict = NotPermitted
		r.Do = []string{"grant the right named above; a failed read never means that there is nothing"}
	}
	return r
}

// refuseLiveSets names the scale sets and legacy runners that are still installed.
func (p *planner) refuseLiveSets() {
	for _, o := range p.inScope(p.s.Custom) {
		switch {
		case o.Deleting || p.inRelease(o) || p.inTerminating(o):
		case o.Resource.Resource == arc.AutoscalingRunnerSets:
			p.plan.Refusals = append(p.plan.Refusals, p.liveScaleSet(o))
		case isLegacyRoot(o):
			p.plan.Refusals = append(p.plan.Refusals, p.liveRunners(o))
		}
	}
}

// refuseOutOfScope names objects of this uninstall outside the namespaces for which its hook was
// rendered. A run that ignored them could not claim that nothing is left.
func (p *planner) refuseOutOfScope() {
	if !p.o.RemovesCRDs() {
		return
	}
	if watched := p.o.WatchNamespaces; len(watched) > 0 {
		for _, c := range p.s.Controllers {
			unwatched := slices.DeleteFunc(slices.Clone(c.Watches), func(ns string) bool { return slices.Contains(watched, ns) })
			if p.ownsController(c) && (len(c.Watches) == 0 || len(unwatched) > 0) {
				p.plan.Refusals = append(p.plan.Refusals, Refusal{
					Verdict: Refused,
					Message: fmt.Sprintf("the controller %s/%s of this release watches %s, and the hook was rendered for %s", c.Namespace, c.Name, cmp.Or(strings.Join(c.Watches, ", "), "all namespaces"), strings.Join(watched, ", ")),
					Do:      []string{"set watchNamespaces to all namespaces that the controllers of the release watch, or leave it empty if one of them watches all"},
				})
			}
		}
	}
	outside := map[string]int{}
	for _, o := range p.inScope(p.s.Custom) {
		beside := o.Resource.Resource == arc.AutoscalingListeners && slices.Contains(p.o.ControllersIn(), o.Namespace)
		if ns := cmp.Or(o.ScaleSet.Namespace, o.Namespace); !beside && !p.o.readsCore(ns) {
			outside[ns]++
		}
	}
	for _, ns := range slices.Sorted(maps.Keys(outside)) {
		p.plan.Refusals = append(p.plan.Refusals, Refusal{
			Verdict: Refused,
			Message: fmt.Sprintf("%s of ARC in namespace %s %s outside the hook's runner namespaces: %s",
				english.Count(outside[ns], "custom resource"), ns, english.Agree(outside[ns], "is", "are"), strings.Join(p.o.RunnerNamespaces, ", ")),
			Do: []string{"add the namespace to runnerNamespaces"},
		})
	}
}

// refuseUnbuildable refuses a release that holds scale sets if their CRD is gone. If the hook
// succeeded, Helm would fail with an error, and so would every later `helm uninstall`. A run that
// has deleted the CRD itself goes on: within one uninstall Helm remembers the kind.
func (p *planner) refuseUnbuildable() {
	if !p.mixed() || len(p.s.Unknown) > 0 || len(p.history.Deleted) > 0 {
		return
	}
	if slices.ContainsFunc(p.s.CRDs, func(o *object.Object) bool { return o.Name == LastCRD }) {
		return
	}
	r := p.release
	refusal := Refusal{
		Verdict: Refused,
		Message: fmt.Sprintf("release %s in namespace %s holds scale sets, but the CRD %s is gone: Helm cannot uninstall the release without it", r.Name, r.Namespace, LastCRD),
		Do: []string{
			"a stand-in for the CRD lets Helm finish, and arc-cleanup removes what is left and the stand-in:",
			"echo " + shell.Quote(standIn) + " | kubectl create --filename -",
			shell.Command("kubectl", "wait", "--for", "condition=Established", "crd", LastCRD),
			// The release's hook would delete the stand-in before Helm has found it.
			shell.Command("helm", "uninstall", r.Name, "--namespace", r.Namespace, "--no-hooks"),
			shell.Command("arc-cleanup", "run", "--release", r.Name, "--release-namespace", r.Namespace),
		},
	}
	if p.o.Job != "" {
		refusal.Do = append(refusal.Do, shell.Command("kubectl", "delete", "job", p.o.Job, "--namespace", p.o.ReleaseNamespace))
	}
	p.plan.Refusals = append(p.plan.Refusals, refusal)
}

func (p *planner) liveScaleSet(o *object.Object) Refusal {
	runners := p.s.Sets[o.UID]
	r := Refusal{
		Verdict: Refused,
		Message: fmt.Sprintf("scale set %s in namespace %s is still installed (runners: %d, busy: %d)", o.Name, o.Namespace, runners.Current, runners.Running),
		Do:      []string{deletion("autoscalingrunnerset", o.Name, o.Namespace)},
	}
	p.byRelease(o, &r)
	return r
}

// deletion returns the command with which a person deletes an object. The command does not wait:
// without a running controller to remove the finalizers, it would wait forever.
func deletion(kind, name, namespace string) string {
	return shell.Command("kubectl", "delete", kind, name, "--namespace", namespace, "--wait=false")
}

// byRelease adds the Helm release of an installed object to a refusal, if that release's record
// proves it: the object's annotations could name any release.
func (p *planner) byRelease(o *object.Object, r *Refusal) {
	if p.s.Proven[o.UID] {
		r.Message += fmt.Sprintf(", by Helm release %s", o.Release.Name)
		args := []string{"helm", "uninstall", o.Release.Name, "--namespace", o.Release.Namespace}
		if p.cannotRunHooks(o) {
			args = append(args, "--no-hooks")
		}
		r.Do = []string{shell.Command(args...)}
	}
	p.byManager(o, r)
}
