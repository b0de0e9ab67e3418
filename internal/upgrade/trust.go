package upgrade

import (
	"context"
	"fmt"
	"slices"

	"github.com/arc-cleanup/arc-cleanup/internal/arc"
	"github.com/arc-cleanup/arc-cleanup/internal/helm"
	"github.com/arc-cleanup/arc-cleanup/internal/release"
	"github.com/arc-cleanup/arc-cleanup/internal/shell"
)

// ofScaleSets are the kinds that a release of scale sets installs, all of them in namespaces
// (charts/gha-runner-scale-set*/templates; internal/chart/enroller.yaml).
var ofScaleSets = []string{
	"v1/Secret", "v1/ServiceAccount", "v1/ConfigMap", "apps/v1/Deployment",
	"rbac.authorization.k8s.io/v1/Role", "rbac.authorization.k8s.io/v1/RoleBinding",
}

// foreign names an object in a record of a release of scale sets that is none of theirs; "" if there is
// none. `helm upgrade` deletes what a record has and the new chart has not, and `helm rollback` creates what
// a record has, both with the user's rights. Whoever may write Secrets in the namespace can write a record.
func foreign(r Release, record *helm.Record) string {
	own := append(r.namespaces(), r.Namespace)
	for _, o := range record.Objects {
		known := arc.IsScaleSet(o.APIVersion, o.Kind) || slices.Contains(ofScaleSets, o.APIVersion+"/"+o.Kind)
		if !known || !slices.Contains(own, o.Namespace) {
			return printable(fmt.Sprintf("%s %s in namespace %s", o.Kind, o.Name, o.Namespace))
		}
	}
	return ""
}

// refuseForeign refuses a release of scale sets whose record has other objects.
func (p *Plan) refuseForeign(r Release, record *helm.Record) {
	if r.Controller || record == nil {
		return
	}
	if what := foreign(r, record); what != "" {
		p.refuse(fmt.Sprintf("the record of release %s (revision %d) has the %s, which is not of its scale sets: Helm would change or delete it",
			r, record.Revision, what), "install it as a release of its own")
	}
}

// refuseStopped refuses a state that would stop or start something else than the release's controllers. The
// state is a Secret, and its writer may have no rights elsewhere.
func (p *planner) refuseStopped(controller Release) {
	for _, saved := range p.State.Swap.Controllers {
		if !slices.ContainsFunc(p.s.running, func(c claimant) bool {
			return c.of == controller.key() && c.uid == saved.UID && c.Namespace == saved.Namespace && c.Name == saved.Name
		}) {
			p.refuse(fmt.Sprintf("%s names the Deployment %s in namespace %s, which is no controller of release %s",
				secretOf(p.State), printable(saved.Name), printable(saved.Namespace), controller),
				"start no controller by hand: it deletes every scale set of another minor version; these are their versions:",
				shell.Command("kubectl", "get", arc.AutoscalingRunnerSets, "--all-namespaces", "--label-columns", arc.LabelVersion))
		}
	}
}

// unforged fails if Helm would act on a record of a release of scale sets that has other objects. The plan has looked,
// but the records can be written at any time since, and Helm believes not only the newest one.
func (u *Upgrade) unforged(ctx context.Context, r Release) error {
	if r.Controller {
		return nil
	}
	records, err := release.Bases(ctx, u.Client, r.Namespace, r.Name, r.Driver)
	if err != nil {
		return err
	}
	for _, record := range records {
		if record.StoredElsewhere() {
			return fmt.Errorf("the record of its revision %d is of the namespace %s", record.Revision, printable(record.Namespace))
		}
		if what := foreign(r, record); what != "" {
			return fmt.Errorf("the record of its revision %d has the %s, which is not of its scale sets: Helm would change or delete it; "+
				"find out who has written it", record.Revision, what)
		}
	}
	return nil
}

// rollback takes a release back, after it has looked once more at the revisions that Helm compares.
func (u *Upgrade) rollback(ctx context.Context, r Release) error {
	if err := u.unforged(ctx, r); err != nil {
		return err
	}
	to, err := release.Revision(ctx, u.Client, r.Namespace, r.Name, r.Driver, r.Revision)
	if err != nil {
		return err
	}
	if what := foreign(r, to); what != "" || to.StoredElsewhere() {
		return fmt.Errorf("the record of its revision %d has more than its scale sets: %s", to.Revision, what)
	}
	return u.Helm.rollback(ctx, r)
}

// checkRollbacks refuses to take releases back to revisions that have other objects than scale sets.
func (u *Upgrade) checkRollbacks(ctx context.Context, s Situation, p *Plan) error {
	for _, step := range p.Steps {
		i := slices.IndexFunc(s.Found, func(f Found) bool { return f.key() == step.Release.key() })
		if step.Kind != Rollback || i < 0 {
			continue
		}
		f := s.Found[i]
		if err := u.Helm.sees(ctx, f.Release, f.Revision); err != nil {
			return err
		}
		to, err := release.Earlier(ctx, u.Client, f.record, step.Release.Revision)
		if err != nil {
			return err
		}
		p.refuseForeign(f.Release, f.record) // Helm deletes what the newest has, and the earlier one has not
		p.refuseForeign(f.Release, to)
	}
	if len(p.Refusals) > 0 {
		p.Steps = nil
	}
	return nil
}
