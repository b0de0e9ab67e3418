package cleanup

import (
	"context"
	"strconv"
	"sync"

	"github.com/arc-cleanup/arc-cleanup/internal/github"
	"github.com/arc-cleanup/arc-cleanup/internal/plan"
)

// setID reads the ID of a scale set as GitHub writes it. GitHub would say of -1 that it does not exist, which is a success.
func setID(text string) (id int, is bool) {
	id, err := strconv.Atoi(text)
	return id, err == nil && id > 0 && strconv.Itoa(id) == text
}

// deregister removes one scale set and its runners at GitHub. down holds why a way to GitHub does not work: deregister tries no
// other scale set on the same way, so that the caller does not wait for each of them.
func deregister(ctx context.Context, a github.Access, d plan.RegistrationDocument, runners []string, dry bool, down *sync.Map) github.Results {
	id, isID := setID(d.ID)
	if !isID {
		return allKept("its id is not a number", len(runners))
	}
	if ctx.Err() != nil { // the server is not to blame
		return allKept(endedBefore, len(runners))
	}
	everyone, here := ways(a, d.Namespace)
	for _, way := range []string{everyone, here} {
		if why, is := down.Load(way); is {
			return allKept(why.(string), len(runners)) //nolint:forcetypeassert // stored below
		}
	}
	client, err := github.New(a)
	if err != nil {
		return allKept("its URL is not one of GitHub's", len(runners))
	}
	defer client.Close()
	results := client.Deregister(ctx, github.Set{ID: id, Name: d.Name, Group: d.Group, Runners: runners}, dry)
	switch {
	case results.Silent:
		down.Store(everyone, results.Set.Why)
	case results.Down:
		down.Store(here, results.Set.Why)
	}
	return results
}

// allKept keeps a scale set and its runners.
func allKept(why string, runners int) github.Results {
	kept := github.Results{Set: github.Result{Outcome: github.Kept, Why: why}}
	for range runners {
		kept.Runners = append(kept.Runners, kept.Set)
	}
	return kept
}

// ways returns the way to a scale set's server, alone and as its namespace has it. What fails there fails for everyone
// if nothing answers, but with a proxy or certificate authorities of the set's own it fails for that namespace only: a team
// must not keep another one's scale sets at GitHub.
func ways(a github.Access, namespace string) (everyone, here string) {
	everyone = a.URL.Server()
	here = everyone + " " + namespace
	if a.Proxy != nil || a.Roots != nil {
		everyone = here
	}
	return everyone, here
}
