package status

import (
	"cmp"
	"context"
	"fmt"
	"time"

	"github.com/arc-cleanup/arc-cleanup/internal/cleanup"
	"github.com/arc-cleanup/arc-cleanup/internal/enrol"
	"github.com/arc-cleanup/arc-cleanup/internal/helm"
	"github.com/arc-cleanup/arc-cleanup/internal/object"
	"github.com/arc-cleanup/arc-cleanup/internal/plan"
	"github.com/arc-cleanup/arc-cleanup/internal/release"
	"github.com/arc-cleanup/arc-cleanup/internal/shell"
	"github.com/arc-cleanup/arc-cleanup/internal/survey"
)

func (u *Uninstall) because(format string, args ...any) {
	u.Why = append(u.Why, fmt.Sprintf(format, args...))
}

// uninstall reports what "helm uninstall" would do, and returns the hook's plan if there is one.
func (r *reader) uninstall(rev *helm.Record, h HookReport) (Uninstall, *plan.Plan) {
	out := Uninstall{Why: []string{}, Do: []string{}, Phases: []Phase{}, Leaves: []Object{}}
	options, runs := r.options(rev, h, &out)
	if !runs {
		return out, nil
	}
	if r.patience <= 0 {
		out.because("not previewed: too many releases have the hook to preview each")
		out.Do = append(out.Do, shell.Command("arc-cleanup", "status", rev.Name, "--namespace", rev.StorageNamespace))
		return out, nil
	}
	options.Release, options.Job, options.RequireUninstalling = rev.Name, "", false
	begun := time.Now()
	planned := cleanup.Preview(r.ctx, r.client, options, nil)
	r.patience -= time.Since(begun)
	if planned.Off {
		out.because("the hook is switched off by the ConfigMap %s", survey.OffSwitch)
	}
	for _, refusal := range planned.Refusals {
		out.Why = append(out.Why, refusal.Message)
		out.Do = append(out.Do, refusal.Do...)
	}
	for _, phase := range planned.Phases {
		out.Phases = append(out.Phases, Phase{phase.Name, len(phase.Steps())})
	}
	out.Ready, out.Kept = len(planned.Refusals) == 0 && !planned.Off, len(planned.Kept)
	return out, planned
}

// closed reports whether a release's namespace is being deleted: Kubernetes admits no new Pod there. A record in
// another namespace cannot speak for it. A failed read decides nothing here; the dry runs of the forecast then tell.
func (r *reader) closed(rev *helm.Record) bool {
	if !rev.Status.Installed() || rev.StoredElsewhere() {
		return false
	}
	ns, err := r.client.GetMetadata(r.ctx, object.Namespaces, "", rev.Namespace)
	return err == nil && ns.DeletionTimestamp != nil
}

// impossible reports that no hook can run, and the way around it (docs/troubleshooting.md).
func impossible(rev *helm.Record, installs string) Uninstall {
	out := Uninstall{Why: []string{}, Do: []string{}, Phases: []Phase{}, Leaves: []Object{}}
	out.because("namespace %s is being deleted: Kubernetes admits no new Pod there, and so no hook", rev.Namespace)
	if installs == string(plan.ScopeScaleSet) {
		out.Do = append(out.Do, shell.Command("arc-cleanup", "run", "--namespace", rev.Namespace))
		return out
	}
	out.Do = append(out.Do,
		shell.Command("arc-cleanup", "run", "--scope", installs, "--release", rev.Name, "--release-namespace", rev.Namespace),
		shell.Command("helm", "uninstall", rev.Name, "--namespace", rev.Namespace, "--no-hooks"))
	return out
}

// options returns the options with which the hook would run, or reports why it would not run or would
// refuse at once.
func (r *reader) options(rev *helm.Record, h HookReport, out *Uninstall) (plan.Options, bool) {
	var none plan.Options
	if !rev.Status.Installed() {
		out.because("it is uninstalled, and only its history is kept")
		return none, false
	}
	if h.State != Present {
		out.because("without the hook, ARC's CRDs stay, and so do finalizers that no controller clears")
		out.advise(rev)
		return none, false
	}
	job := jobOf(rev)
	options, err := r.query.Options(job.Spec.Template.Spec.Containers[0].Args)
	if err != nil {
		err = fmt.Errorf("the hook of release %s in namespace %s: %w", rev.Name, rev.Namespace, err)
		r.note(err)
		out.because("its hook is not understood: %v", err)
		return none, false
	}
	if options.ReleaseNamespace != rev.Namespace {
		// A record also cannot speak for what a release of another namespace would do.
		out.because("its hook is for a release in namespace %s, and it is in %s", options.ReleaseNamespace, rev.Namespace)
		out.advise(rev)
		return none, false
	}
	if options.RequireUninstalling && !r.proves(rev, options, out) {
		return none, false
	}
	if who := panics(rev); who != "" && job.Metadata.Annotations[helm.AnnotationLog] != "" {
		out.because("%s would not end", who)
		out.Do = append(out.Do, fmt.Sprintf("set storageNamespace: %s among the values of arc-cleanup", rev.StorageNamespace))
		return none, false
	}
	return options, true
}

// panics says which tool will uninstall a release and cannot print the log of a hook; "" if none is known. Fleet puts
// this annotation on every chart (github.com/rancher/fleet internal/helmdeployer/install.go).
func panics(rev *helm.Record) string {
	if of := enrol.Flux(rev); of != "" {
		return fmt.Sprintf("Flux's helm-controller panics over a hook whose log is to be printed: the deletion of HelmRelease %q", of)
	}
	if of := rev.ChartAnnotation("fleet.cattle.io/bundle-id"); of != "" {
		return fmt.Sprintf("Fleet's agent panics over a hook whose log is to be printed: the uninstall of bundle %q", of)
	}
	return ""
}

// forecast adds what Helm itself decides.
func (r *reader) forecast(rev *helm.Record, planned *plan.Plan, out *Uninstall) {
	if !rev.Status.Installed() || r.patience <= 0 {
		return
	}
	begun := time.Now()
	ctx, cancel := context.WithTimeout(r.ctx, r.patience)
	defer cancel()
	f := NewForecast(ctx, r.client, rev, planned)
	r.patience -= time.Since(begun)
	out.Leaves = append(out.Leaves, f.Leaves...)
	for _, refusal := range f.Refused {
		out.Ready = false
		out.Why = append(out.Why, refusal.Message)
		out.Do = append(out.Do, refusal.Do...)
	}
	for _, unknown := range f.Unknown {
		r.note(fmt.Errorf("release %s in namespace %s: %s", rev.Name, rev.Namespace, unknown))
	}
}

// advise says how a revision without the hook, or with a wrong one, gets the right one.
func (u *Uninstall) advise(rev *helm.Record) {
	of := enrol.Flux(rev)
	switch {
	case of != "":
		u.because("Flux's HelmRelease %q would undo an enrolment", of)
		u.Do = append(u.Do, "make arc-cleanup a dependency of its chart")
	case rev.StoredElsewhere():
		u.because("its record is in namespace %s, where it cannot be enrolled", rev.StorageNamespace)
		u.Do = append(u.Do, "make arc-cleanup a dependency of its chart, with storageNamespace: "+rev.StorageNamespace)
	case rev.Status.Editable():
		u.Do = append(u.Do, shell.Command("arc-cleanup", "enrol", rev.Name, "--namespace", rev.Namespace))
	default:
		u.Why = append(u.Why, release.WhyNot(rev))
	}
}

// proves reports whether the hook would find in Helm's record that the release is being uninstalled. It
// looks where the hook will look: the arguments of its Job say where.
func (r *reader) proves(rev *helm.Record, o plan.Options, out *Uninstall) bool {
	at := release.Place{Namespace: o.ReleaseNamespace, Storage: cmp.Or(o.StorageNamespace, o.ReleaseNamespace)}
	if at.Storage != rev.StorageNamespace {
		out.because("its hook looks for Helm's record in namespace %s, and it is in %s: it would refuse", at.Storage, rev.StorageNamespace)
		out.Do = append(out.Do, fmt.Sprintf("set storageNamespace: %s among the values of arc-cleanup", rev.StorageNamespace))
		return false
	}
	all, err := release.WithHookJob(r.ctx, r.client, at, o.Job)
	if err != nil {
		r.unknown(err)
		out.Why = append(out.Why, err.Error())
		return false
	}
	found, alone := false, true
	for _, other := range all {
		if other.Name == rev.Name {
			found = true
			continue
		}
		out.because("release %s, which is %s, has a hook Job %q as well", other.Name, other.Status, o.Job)
		if other.Status == helm.Uninstalling {
			alone = false
			if !other.StoredElsewhere() { // where Helm would not find it, and its writer cannot speak for the namespace
				out.Do = append(out.Do, shell.Command("helm", "uninstall", other.Name, "--namespace", other.Namespace))
			}
		}
	}
	if !found {
		out.because("its hook looks for a release with a hook Job %q, which this one does not have: it would refuse", o.Job)
		out.advise(rev)
	}
	return found && alone
}
