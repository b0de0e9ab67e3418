package upgrade

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"

	"github.com/arc-cleanup/arc-cleanup/internal/arc"
	"github.com/arc-cleanup/arc-cleanup/internal/english"
	"github.com/arc-cleanup/arc-cleanup/internal/manifest"
	"github.com/arc-cleanup/arc-cleanup/internal/object"
	"github.com/arc-cleanup/arc-cleanup/internal/shell"
)

// refuseOtherControllers refuses a controller that this run neither stops nor upgrades. It may be of no Helm
// release. It would delete every scale set that gets another version.
func (p *planner) refuseOtherControllers() {
	release := p.State.Releases[0]
	for _, c := range p.s.running {
		own := func(o Controller) bool { return o.key() == c.NamespacedName }
		if c.of == release.key() && slices.ContainsFunc(release.Controllers, own) {
			continue
		}
		p.refuse(fmt.Sprintf("controller %s in namespace %s is not in the record of release %s: "+
			"it would go on, and delete scale sets of another version", c.Name, c.Namespace, release), "delete it, if no scale set needs it:",
			shell.Command("kubectl", "delete", "deployment", c.Name, "--namespace", c.Namespace))
	}
}

// refuseUnstoppable refuses a controller in the record that was not found running with a controller's rights:
// a swap could not stop it.
func (p *planner) refuseUnstoppable() {
	for _, c := range p.State.Releases[0].Controllers {
		if !slices.ContainsFunc(p.s.running, func(is claimant) bool { return is.NamespacedName == c.key() }) {
			p.refuse(fmt.Sprintf("controller %s in namespace %s does not exist, or has no controller's labels and rights: it could not be stopped",
				c.Name, c.Namespace),
				"give --strategy reinstall, or see what is there:", shell.Command("kubectl", "get", "deployments", "--namespace", c.Namespace))
		}
	}
}

// refuseFalseRecords refuses a record that names another version than its scale sets have. Whoever may write Secrets
// in the namespace can write a record, and it would make everything be uninstalled.
func (p *planner) refuseFalseRecords() {
	for _, set := range p.s.live {
		r := p.State.release(set.of)
		if r == nil || set.deleting || set.version == "" || !slices.Contains(r.Sets, set.NamespacedName) {
			continue
		}
		if is := r.Chart.AppVersion; set.version != is && !sameMinor(set.version, is) {
			p.refuse(fmt.Sprintf("the record of release %s names the version %q, and its scale set %s has %q",
				r, printable(is), set.Name, printable(set.version)),
				"find out who has written the record, or give --strategy reinstall, which uninstalls everything:",
				shell.Command("helm", "history", r.Name, "--namespace", r.Namespace))
		}
	}
}

// refuseSets refuses scale sets that the new controller would delete.
func (p *planner) refuseSets() {
	to := p.s.Target.Controller.Metadata.AppVersion
	for _, set := range p.s.live {
		p.refuseGitOps("autoscalingrunnerset", "scale set", set)
		r := p.State.release(set.of)
		upgraded := r != nil && slices.Contains(r.Sets, set.NamespacedName)
		switch {
		case !watched(p.State.Releases[0], set.Namespace):
		case set.deleting && p.State.Way == BySwap && p.s.Saved == nil:
			p.refuse(fmt.Sprintf("scale set %s in namespace %s is being deleted", set.Name, set.Namespace), "wait until it is gone")
		case set.deleting, p.s.Saved.forward():
		case p.State.Way == ByHelm && !sameMinor(set.version, to):
			p.refuse(fmt.Sprintf("scale set %s in namespace %s has the version %q, and a controller %s would delete it",
				set.Name, set.Namespace, printable(set.version), to), "find out why no controller has deleted it:",
				shell.Command("kubectl", "get", arc.AutoscalingRunnerSets, "--all-namespaces", "--label-columns", arc.LabelVersion))
		case upgraded:
		case p.State.Way == ByHelm:
			p.note("scale set %s in namespace %s stays as it is: no release that is upgraded has it", set.Name, set.Namespace)
		default:
			do := []string{"install it with Helm, or delete it:"}
			if p.s.Saved != nil && p.State.Way == BySwap { // it would not be among the sets of the plan
				do = []string{
					"take the upgrade back, and upgrade again:",
					shell.Command("arc-cleanup", "upgrade", "--abort", "--namespace", p.State.namespace()), "or delete it:",
				}
			}
			p.refuse(fmt.Sprintf("scale set %s in namespace %s is of no release that is upgraded: the new controller would delete it",
				set.Name, set.Namespace), append(do, shell.Command("kubectl", "delete", "autoscalingrunnerset", set.Name, "--namespace", set.Namespace))...)
		}
	}
}

// stopped fails unless the old controller is stopped and none of its Pods is left. It waits for the
// Deployment's own count, too: before the Deployment's controller has seen that it is scaled, there may be
// no Pod and a new one in the next moment.
func (u *Upgrade) stopped(ctx context.Context, state State) error {
	for _, c := range state.Swap.Controllers {
		if err := u.scaledDown(ctx, c); err != nil {
			return err
		}
	}
	return u.podsGone(ctx, state.Releases[0])
}

// scaledDown waits until a Deployment that is scaled to 0 has no replicas.
func (u *Upgrade) scaledDown(ctx context.Context, c SavedController) error {
	ctx, cancel := context.WithTimeout(ctx, u.Helm.Timeout)
	defer cancel()
	for {
		o, err := u.Client.Get(ctx, object.Deployments, c.Namespace, c.Name)
		if err != nil {
			return err
		}
		number := func(fields ...string) (n int64) {
			n, _, _ = unstructured.NestedInt64(o.Object, fields...)
			return n
		}
		if r := number("spec", "replicas"); r != 0 {
			return fmt.Errorf("deployment %s/%s has %s again: find out what scales it, and run this command again", c.Namespace, c.Name, english.Count(r, "replica"))
		}
		if number("status", "observedGeneration") >= o.GetGeneration() && number("status", "replicas") == 0 {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("deployment %s/%s is not scaled to 0 after %s", c.Namespace, c.Name, u.Helm.Timeout)
		case <-time.After(listenerPoll):
		}
	}
}

// tolerated fails if a controller of a version would delete a scale set that it watches. It finishes the
// deletion of any that is being deleted, whatever its version is.
func tolerated(sets []metav1.PartialObjectMetadata, version string) error {
	for _, set := range sets {
		if is := set.Labels[arc.LabelVersion]; set.DeletionTimestamp == nil && !sameMinor(is, version) {
			return fmt.Errorf("scale set %s in namespace %s has the version %q, and a controller %s would delete it: "+
				"take its release to that version with Helm, or delete the scale set, and run this command again",
				set.Name, set.Namespace, printable(is), printable(version))
		}
	}
	return nil
}

// watchedSets lists the scale sets that a release's controllers watch.
func (u *Upgrade) watchedSets(ctx context.Context, controller Release) (sets []metav1.PartialObjectMetadata, err error) {
	err = u.Client.Each(ctx, arc.Resource(arc.AutoscalingRunnerSets), "", metav1.ListOptions{}, func(m *metav1.PartialObjectMetadata) error {
		if watched(controller, m.Namespace) {
			sets = append(sets, *m)
		}
		return nil
	})
	return sets, err
}

// upgradeRelease upgrades a release, after it has made sure once more that no controller will delete a scale
// set: an autoscaler or a GitOps tool may have started the old one, and a tenant may have made another set.
func (u *Upgrade) upgradeRelease(ctx context.Context, state State, r Release) error {
	if err := u.unforged(ctx, r); err != nil {
		return err
	}
	switch {
	case r.Controller:
		sets, err := u.watchedSets(ctx, r)
		if err != nil {
			return err
		}
		if err := tolerated(sets, state.Target.Controller.Metadata.AppVersion); err != nil {
			return err
		}
	case state.Way == BySwap && !state.Swap.Forward:
		if err := u.stopped(ctx, state); err != nil {
			return err
		}
	}
	return u.install(ctx, r, state.Target.of(r), u.Helm.upgrade)
}

// installs are the scale sets and controllers of a rendered release, the former with the version that a
// controller compares.
type installs struct {
	sets        map[types.NamespacedName]string
	controllers []Controller
}

func installsOf(r Release, stream []byte) (installs, error) {
	out := installs{map[types.NamespacedName]string{}, controllersOf(stream, r.Namespace)}
	for d := range manifest.Documents(stream) {
		root, err := d.Parse()
		if err != nil {
			return out, fmt.Errorf("the rendered release %s: %w", r, err)
		}
		for _, o := range root.Items() {
			if arc.IsScaleSet(o.APIVersion(), o.Kind()) {
				out.sets[types.NamespacedName{Namespace: cmp.Or(o.Namespace(), r.Namespace), Name: o.Name()}] = o.Labels()[arc.LabelVersion]
			}
		}
	}
	return out, nil
}

// refuseLosses refuses a new chart that would make Helm delete a scale set or a controller, because it gives
// it another name, or that would make the new controller, of a version, delete a scale set.
func (p *Plan) refuseLosses(r Release, then installs, version string) {
	const do = "give --strategy reinstall, which installs them anew"
	for _, set := range r.Sets {
		if _, stays := then.sets[set]; !stays {
			p.refuse(fmt.Sprintf("release %s would not have the scale set %s in namespace %s any more: Helm would delete it",
				r, set.Name, set.Namespace), do)
		}
	}
	for set, is := range then.sets {
		if !sameMinor(is, version) {
			p.refuse(fmt.Sprintf("release %s would give the scale set %s the version %q, and a controller %s would delete it",
				r, printable(set.Name), printable(is), printable(version)), do)
		}
	}
	for _, c := range r.Controllers {
		if !slices.ContainsFunc(then.controllers, func(n Controller) bool { return n.key() == c.key() }) {
			p.refuse(fmt.Sprintf("release %s would not have the controller %s in namespace %s any more: two would run, or none",
				r, c.Name, c.Namespace), do)
		}
	}
}

// gitopsManagers are the field managers of Argo CD and Flux. An object keeps them when the tool is gone, and
// Argo CD may mark objects with a label that Helm sets, too: so they are only worth a note.
var gitopsManagers = []string{"argocd-controller", "argocd-application-controller", "kustomize-controller", "helm-controller"}

// refuseCRDs reads ARC's CRDs, and refuses those that would not stay changed, or could not be put back.
func (u *Upgrade) refuseCRDs(ctx context.Context, p *Plan) error {
	for _, name := range arc.CRDs() {
		crd, err := u.Client.Get(ctx, object.CRDs, "", name)
		if err != nil {
			return err
		}
		p.refuseCRD(name, crd)
	}
	return nil
}

func (p *Plan) refuseCRD(name string, crd *unstructured.Unstructured) {
	if of := gitopsOf(crd.GetLabels(), crd.GetAnnotations()); of.key != "" {
		p.refuse(fmt.Sprintf("the CRD %s belongs to %s, which would take it back to the old version", name, of),
			"suspend "+of.kind+" until it has the CRDs of the new version, and remove its mark:",
			shell.Command("kubectl", of.verb, "crd", name, of.key+"-"))
	}
	for _, by := range crd.GetManagedFields() {
		if slices.Contains(gitopsManagers, by.Manager) {
			p.note("%s has applied the CRD %s: if it still does, it takes the CRD back to the old version; suspend it first", by.Manager, name)
		}
	}
	if crd.GetDeletionTimestamp() != nil {
		p.refuse(fmt.Sprintf("the CRD %s is being deleted, and all scale sets with it", name), "see what holds it:",
			shell.Command("kubectl", "get", "crd", name, "--output", "yaml"))
	}
	if how, _, _ := unstructured.NestedString(crd.Object, "spec", "conversion", "strategy"); how != "" && how != "None" {
		p.refuse(fmt.Sprintf("the CRD %s has the conversion %q, and ARC's CRDs have none: --abort could not put it back", name, printable(how)),
			"give --strategy reinstall")
	}
}
