package cleanup

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"sync"

	"golang.org/x/sync/errgroup"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/arc-cleanup/arc-cleanup/internal/arc"
	"github.com/arc-cleanup/arc-cleanup/internal/kube"
	"github.com/arc-cleanup/arc-cleanup/internal/object"
	"github.com/arc-cleanup/arc-cleanup/internal/plan"
	"github.com/arc-cleanup/arc-cleanup/internal/shell"
)

// preflight asks the API server whether each kind of write in the plan is allowed, and whether
// admission accepts it. It does so for all of them before the first write. A write that is not
// allowed or not accepted becomes a refusal. A write that cannot be tried becomes a note.
func preflight(ctx context.Context, c *kube.Client, p *plan.Plan, o plan.Options) {
	var (
		g       errgroup.Group
		mu      sync.Mutex
		refused []plan.Refusal
		notes   []string
	)
	g.SetLimit(kube.Workers)
	dry := &run{client: c.DryRun(), options: o}
	for _, t := range plan.Trials(p) {
		if t.Step.Action == plan.WriteDown && o.Job != "" {
			continue // GitHub must not keep a hook from the cluster
		}
		g.Go(func() error {
			refusal, note := attempt(ctx, c, t, func(ctx context.Context) error {
				switch t.Step.Action {
				case plan.Create:
					_, err := backUp(ctx, dry.client, o.Backup, p.Backup)
					return err
				case plan.WriteDown:
					_, err := writeDown(ctx, dry.client, o.Record, p.ToRecord)
					return err
				case plan.Wake: // which is several writes to a scale set, with waits in between
					return dry.client.Annotate(ctx, *t.Step.Object, map[string]any{arc.AnnotationWake: ""})
				case plan.Nudge: // which wakes a scale set as well
					if t.Step.Object.Resource.Resource == arc.AutoscalingRunnerSets {
						return dry.client.Annotate(ctx, *t.Step.Object, map[string]any{arc.AnnotationRunnerScaleSetID: nil})
					}
				}
				return dry.step(ctx, t.Step)
			}, p)
			mu.Lock()
			defer mu.Unlock()
			if refusal != nil && !slices.ContainsFunc(refused, func(r plan.Refusal) bool { return r.Message == refusal.Message }) {
				refused = append(refused, *refusal)
			}
			if note != "" {
				notes = append(notes, note)
			}
			return nil
		})
	}
	// The error is always nil: failures become refusals.
	_ = g.Wait()
	slices.SortFunc(refused, func(a, b plan.Refusal) int { return cmp.Compare(a.Message, b.Message) })
	slices.Sort(notes)
	p.Refusals = append(p.Refusals, refused...)
	p.Notes = append(p.Notes, notes...)
}

// attempt first asks for the right, because without it there is nothing to try.
func attempt(ctx context.Context, c *kube.Client, t plan.Trial, try func(context.Context) error, p *plan.Plan) (*plan.Refusal, string) {
	allowed, err := allowed(ctx, c, t.Right)
	switch {
	case err != nil:
		return &plan.Refusal{Verdict: plan.Failed, Message: fmt.Sprintf("could not ask whether the run may %s: %v", t.Right, err)}, ""
	case !allowed:
		return &plan.Refusal{Verdict: plan.NotPermitted, Message: "not permitted to " + t.String(), Do: []string{t.Rule()}}, ""
	case len(p.Refusals) > 0:
		return nil, "" // the run will write nothing, so admission's webhooks need not be called
	case t.Step.Object.Resource.Group == arc.LegacyGroup && len(p.Steps(plan.PhaseWebhooks)) > 0:
		return nil, fmt.Sprintf("could not try whether admission allows the run to %s: the legacy webhooks are still there, and the run deletes them first", t.Right)
	}
	return judge(t, try(ctx))
}

// judge turns the answer to a dry run into a refusal, a note or neither.
func judge(t plan.Trial, err error) (*plan.Refusal, string) {
	denial, denied := kube.Denied(err)
	switch {
	case err == nil:
		return nil, ""
	case denied:
		refusal := DenialOf("to "+t.String(), denial)
		return &refusal, ""
	case kube.NoDryRun(err) != "":
		return nil, fmt.Sprintf("could not try whether admission allows the run to %s: the webhook %s does not support dry runs", t.Right, kube.NoDryRun(err))
	case t.Step.Action == plan.Create && apierrors.IsNotFound(err):
		// Only the namespace can be missing.
		return &plan.Refusal{
			Verdict: plan.Refused, Message: fmt.Sprintf("the backup cannot be written, since there is no namespace %s: %v", t.Namespace, err),
			Do: []string{"create the namespace, or do without a backup: --backup=false, or policy.backup: false"},
		}, ""
	case t.Step.Action == plan.WriteDown && apierrors.IsNotFound(err):
		return &plan.Refusal{
			Verdict: plan.Refused, Message: fmt.Sprintf("what is registered at GitHub cannot be written down, since there is no namespace %s: %v", t.Namespace, err),
			Do: []string{"create the namespace, or leave the scale sets to GitHub, which removes them after seven days: --github keep"},
		}, ""
	case apierrors.IsNotFound(err), apierrors.IsConflict(err), apierrors.IsAlreadyExists(err), apierrors.IsInvalid(err):
		// The object has changed since, or does not fit its schema. The run can handle both.
		return nil, ""
	case apierrors.IsForbidden(err):
		// A quota or another admission plugin of the API server, which names itself.
		return &plan.Refusal{Verdict: plan.NotPermitted, Message: fmt.Sprintf("the API server does not allow the run to %s: %v", t.Right, err)}, ""
	}
	return &plan.Refusal{Verdict: plan.Failed, Message: fmt.Sprintf("could not try to %s: %v", t.Right, err)}, ""
}

// DenialOf returns the refusal for a write that admission denies.
func DenialOf(what string, d kube.Denial) plan.Refusal {
	r := plan.Refusal{Verdict: plan.Refused, Message: fmt.Sprintf("admission refuses %s: %s", what, d)}
	switch {
	case d.AnyKind:
		r.Do = []string{
			"ask the policy's owner to exempt this uninstall, then run it again; it is one of these:",
			shell.Command("kubectl", "get", "validatingadmissionpolicy", d.Policy, "--output", "yaml"),
			shell.Command("kubectl", "get", "mutatingadmissionpolicy", d.Policy, "--output", "yaml"),
		}
	case d.Policy != "":
		r.Do = []string{
			"ask the policy's owner to exempt this uninstall, then run it again: " + shell.Command("kubectl", "get", "validatingadmissionpolicy", d.Policy, "--output", "yaml"),
		}
	case d.Unanswered:
		r.Do = []string{"repair the webhook's server, or ask the webhook's owner to remove its configuration; its name is in: " + listWebhooks()}
	default:
		r.Do = []string{"ask the webhook's owner to exempt this uninstall, then run it again; its name is in: " + listWebhooks()}
	}
	return r
}

// listWebhooks returns a command that prints every webhook with its configuration.
func listWebhooks() string {
	return shell.Command("kubectl", "get", "validatingwebhookconfigurations,mutatingwebhookconfigurations",
		"--output", "custom-columns=KIND:.kind,NAME:.metadata.name,WEBHOOKS:.webhooks[*].name")
}

func allowed(ctx context.Context, c *kube.Client, r plan.Right) (bool, error) {
	attributes := map[string]any{"verb": r.Verb, "group": r.Group, "resource": r.Resource, "namespace": r.Namespace, "name": r.Name}
	review := &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "authorization.k8s.io/v1", "kind": "SelfSubjectAccessReview",
		"spec": map[string]any{"resourceAttributes": attributes},
	}}
	return c.Ask(ctx, object.SelfSubjectAccessReviews, review)
}
