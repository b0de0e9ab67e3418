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

// preflight asks the API server for every kind of write in the plan whether it
// is allowed, and whether admission lets it through: all at once, before the first
// write. What is not is a refusal; what cannot be tried is noted.
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
		g.Go(func() error {
			refusal, note := attempt(ctx, c, t, func(ctx context.Context) error {
				switch t.Step.Action {
				case plan.Create:
					_, err := backUp(ctx, dry.client, o.Backup, p.Backup)
					return err
				case plan.Wake: // which is done several times to a scale set, with waits
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
	// No error: what failed is a refusal.
	_ = g.Wait()
	slices.SortFunc(refused, func(a, b plan.Refusal) int { return cmp.Compare(a.Message, b.Message) })
	slices.Sort(notes)
	p.Refusals = append(p.Refusals, refused...)
	p.Notes = append(p.Notes, notes...)
}

// attempt asks for the right first: without it there is nothing to try.
func attempt(ctx context.Context, c *kube.Client, t plan.Trial, try func(context.Context) error, p *plan.Plan) (*plan.Refusal, string) {
	allowed, err := allowed(ctx, c, t.Right)
	switch {
	case err != nil:
		return &plan.Refusal{Verdict: plan.Failed, Message: fmt.Sprintf("could not ask whether it is allowed to %s: %v", t.Right, err)}, ""
	case !allowed:
		return &plan.Refusal{Verdict: plan.NotPermitted, Message: "not permitted to " + t.String(), Do: []string{t.Rule()}}, ""
	case len(p.Refusals) > 0:
		return nil, "" // nothing will be written: admission's webhooks need not hear of it
	case t.Step.Object.Resource.Group == arc.LegacyGroup && len(p.Steps(plan.PhaseWebhooks)) > 0:
		return nil, fmt.Sprintf("whether admission lets through to %s cannot be tried while the legacy webhooks are there, which go first", t.Right)
	}
	return judge(t, try(ctx))
}

// judge says what the answer to a dry run means: a refusal, something to note, or
// neither.
func judge(t plan.Trial, err error) (*plan.Refusal, string) {
	denial, denied := kube.Denied(err)
	switch {
	case err == nil:
		return nil, ""
	case denied:
		refusal := DenialOf("to "+t.String(), denial)
		return &refusal, ""
	case kube.NoDryRun(err) != "":
		return nil, fmt.Sprintf("whether admission lets through to %s cannot be tried: the webhook %s does not support dry runs", t.Right, kube.NoDryRun(err))
	case t.Step.Action == plan.Create && apierrors.IsNotFound(err):
		// Only the namespace can be missing.
		return &plan.Refusal{
			Verdict: plan.Refused, Message: fmt.Sprintf("the backup cannot be written, since there is no namespace %s: %v", t.Namespace, err),
			Do: []string{"create the namespace, or do without a backup: --backup=false, or policy.backup: false"},
		}, ""
	case apierrors.IsNotFound(err), apierrors.IsConflict(err), apierrors.IsAlreadyExists(err), apierrors.IsInvalid(err):
		// The object has changed since, or does not fit its schema, which has a remedy.
		return nil, ""
	case apierrors.IsForbidden(err):
		// A quota, or another plugin of the API server's own, which names itself.
		return &plan.Refusal{Verdict: plan.NotPermitted, Message: fmt.Sprintf("the API server does not let this %s: %v", t.Right, err)}, ""
	}
	return &plan.Refusal{Verdict: plan.Failed, Message: fmt.Sprintf("could not try to %s: %v", t.Right, err)}, ""
}

// DenialOf is the refusal over what admission does not let through.
func DenialOf(what string, d kube.Denial) plan.Refusal {
	r := plan.Refusal{Verdict: plan.Refused, Message: fmt.Sprintf("admission refuses %s: %s", what, d)}
	switch {
	case d.AnyKind:
		r.Do = []string{
			"let whoever looks after the policy exempt it for this uninstall, then run it again; it is one of these:",
			shell.Command("kubectl", "get", "validatingadmissionpolicy", d.Policy, "--output", "yaml"),
			shell.Command("kubectl", "get", "mutatingadmissionpolicy", d.Policy, "--output", "yaml"),
		}
	case d.Policy != "":
		r.Do = []string{
			"let whoever looks after the policy exempt it for this uninstall, then run it again: " + shell.Command("kubectl", "get", "validatingadmissionpolicy", d.Policy, "--output", "yaml"),
		}
	case d.Unanswered:
		r.Do = []string{"have it answered again, or let whoever looks after it remove its configuration; the name is in: " + listWebhooks()}
	default:
		r.Do = []string{"let whoever looks after the webhook exempt it for this uninstall, then run it again; the name is in: " + listWebhooks()}
	}
	return r
}

// listWebhooks prints which configuration has which webhook.
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
