package cleanup

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"sync"

	"golang.org/x/sync/errgroup"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/arc-cleanup/arc-cleanup/internal/arc"
	"github.com/arc-cleanup/arc-cleanup/internal/kube"
	"github.com/arc-cleanup/arc-cleanup/internal/object"
	"github.com/arc-cleanup/arc-cleanup/internal/shell"
)

// right is one kind of write. Name is given where rights are given by name.
type right struct{ verb, group, resource, namespace, name string }

// rights lists every kind of write in a plan, each once.
func rights(p *Plan) []right {
	var out []right
	for _, t := range trials(p) {
		if !slices.Contains(out, t.right) {
			out = append(out, t.right)
		}
	}
	return out
}

// trial is one kind of write, on the first object of it: what one right covers may
// be written in several ways, which admission tells apart.
type trial struct {
	right
	step Step
}

// trials lists every kind of write in a plan, each once.
func trials(p *Plan) []trial {
	type kind struct {
		right
		action Action
	}
	seen := map[kind]bool{}
	var out []trial
	for _, phase := range p.Phases {
		for _, s := range phase.Steps() {
			r := right{group: s.Object.Resource.Group, resource: s.Object.Resource.Resource, namespace: s.Object.Namespace}
			switch s.Action {
			case Delete:
				r.verb = "delete"
			case Release, Wake, Nudge, Stop:
				r.verb = "patch"
			case Create:
				r.verb = "create"
			default:
				continue
			}
			if s.Object.Resource == object.CRDs {
				r.name = s.Object.Name
			}
			if k := (kind{r, s.Action}); !seen[k] {
				seen[k] = true
				out = append(out, trial{r, s})
			}
		}
	}
	return out
}

// preflight asks the API server for every kind of write in the plan whether it
// is allowed, and whether admission lets it through: all at once, before the first
// write. What is not is a refusal; what cannot be tried is noted.
func preflight(ctx context.Context, c *kube.Client, p *Plan, o Options) {
	var (
		g       errgroup.Group
		mu      sync.Mutex
		refused []Refusal
		notes   []string
	)
	g.SetLimit(kube.Workers)
	dry := &run{client: c.DryRun(), options: o}
	for _, t := range trials(p) {
		g.Go(func() error {
			refusal, note := attempt(ctx, c, t, func(ctx context.Context) error {
				switch t.step.Action {
				case Create:
					_, err := backUp(ctx, dry.client, o.Backup, p.backup)
					return err
				case Wake: // which is done several times to a scale set, with waits
					return dry.client.Annotate(ctx, *t.step.Object, map[string]any{arc.AnnotationWake: ""})
				}
				return dry.step(ctx, t.step)
			}, p)
			mu.Lock()
			defer mu.Unlock()
			if refusal != nil && !slices.ContainsFunc(refused, func(r Refusal) bool { return r.Message == refusal.Message }) {
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
	slices.SortFunc(refused, func(a, b Refusal) int { return cmp.Compare(a.Message, b.Message) })
	slices.Sort(notes)
	p.Refusals = append(p.Refusals, refused...)
	p.Notes = append(p.Notes, notes...)
}

// attempt asks for the right first: without it there is nothing to try.
func attempt(ctx context.Context, c *kube.Client, t trial, try func(context.Context) error, p *Plan) (*Refusal, string) {
	allowed, err := allowed(ctx, c, t.right)
	switch {
	case err != nil:
		return &Refusal{Verdict: Failed, Message: fmt.Sprintf("could not ask whether it is allowed to %s: %v", t.right, err)}, ""
	case !allowed:
		return &Refusal{Verdict: NotPermitted, Message: "not permitted to " + t.String(), Do: []string{t.rule()}}, ""
	case len(p.Refusals) > 0:
		return nil, "" // nothing will be written: admission's webhooks need not hear of it
	case t.step.Object.Resource.Group == arc.LegacyGroup && len(p.steps(DeadWebhooks)) > 0:
		return nil, fmt.Sprintf("whether admission lets through to %s cannot be tried while the legacy webhooks are there, which go first", t.right)
	}
	return judge(t, try(ctx))
}

// judge says what the answer to a dry run means: a refusal, something to note, or
// neither.
func judge(t trial, err error) (*Refusal, string) {
	denial, denied := kube.Denied(err)
	switch {
	case err == nil:
		return nil, ""
	case denied:
		refusal := DenialOf("to "+t.String(), denial)
		return &refusal, ""
	case kube.NoDryRun(err) != "":
		return nil, fmt.Sprintf("whether admission lets through to %s cannot be tried: the webhook %s does not support dry runs", t.right, kube.NoDryRun(err))
	case apierrors.IsNotFound(err), apierrors.IsConflict(err), apierrors.IsAlreadyExists(err), apierrors.IsInvalid(err):
		// The object has changed since, or does not fit its schema, which has a remedy.
		return nil, ""
	case apierrors.IsForbidden(err):
		// A quota, or another plugin of the API server's own, which names itself.
		return &Refusal{Verdict: NotPermitted, Message: fmt.Sprintf("the API server does not let this %s: %v", t.right, err)}, ""
	}
	return &Refusal{Verdict: Failed, Message: fmt.Sprintf("could not try to %s: %v", t.right, err)}, ""
}

// DenialOf is the refusal over what admission does not let through.
func DenialOf(what string, d kube.Denial) Refusal {
	r := Refusal{Verdict: Refused, Message: fmt.Sprintf("admission refuses %s: %s", what, d)}
	switch {
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

func allowed(ctx context.Context, c *kube.Client, r right) (bool, error) {
	attributes := map[string]any{"verb": r.verb, "group": r.group, "resource": r.resource, "namespace": r.namespace, "name": r.name}
	review := &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "authorization.k8s.io/v1", "kind": "SelfSubjectAccessReview",
		"spec": map[string]any{"resourceAttributes": attributes},
	}}
	var answer *unstructured.Unstructured
	err := kube.Retry(ctx, func(ctx context.Context) (err error) {
		answer, err = c.Dynamic.Resource(object.SelfSubjectAccessReviews).Create(ctx, review, metav1.CreateOptions{})
		return err
	})
	if err != nil {
		return false, err
	}
	allowed, _, err := unstructured.NestedBool(answer.Object, "status", "allowed")
	return allowed, err
}

func (r right) String() string {
	s := r.verb + " " + schema.GroupResource{Group: r.group, Resource: r.resource}.String()
	if r.name != "" {
		s += " " + r.name
	}
	if r.namespace != "" {
		s += " in namespace " + r.namespace
	}
	return s
}

// rule is the RBAC rule that grants the right.
func (r right) rule() string {
	rule := fmt.Sprintf("the rule {apiGroups: [%q], resources: [%s], verbs: [%s]", r.group, r.resource, r.verb)
	if r.name != "" {
		rule += fmt.Sprintf(", resourceNames: [%s]", r.name)
	}
	if r.namespace != "" {
		return rule + "} in a Role or ClusterRole bound in that namespace grants it"
	}
	return rule + "} in a ClusterRole grants it"
}
