package cleanup

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"slices"
	"strconv"
	"sync"

	"github.com/arc-cleanup/arc-cleanup/internal/github"
	"github.com/arc-cleanup/arc-cleanup/internal/plan"
)

// maxDocument limits a document with registrations, in bytes. One with 100,000 runners has some 20 MB.
const maxDocument = 64 << 20

// Deregistered is a registration and what became of it.
type Deregistered struct {
	plan.RegistrationDocument
	github.Result
}

// ReadRegistered reads what is still registered from the JSON document of a plan or of a report. It is not whole if the plan could not
// read everything in the cluster.
func ReadRegistered(from io.Reader) (stay []Deregistered, whole bool, err error) {
	limited := &io.LimitedReader{R: from, N: maxDocument + 1}
	var document struct {
		Version    string          `json:"version"`
		Registered *[]Deregistered `json:"registered"`
		Refusals   []plan.Refusal  `json:"refusals"`
	}
	decoder := json.NewDecoder(limited)
	err = decoder.Decode(&document)
	if err == nil { // two documents, one after the other, would be read as one of them
		if _, more := decoder.Token(); !errors.Is(more, io.EOF) {
			err = errors.New("something comes after the document")
		}
	}
	var unread *fs.PathError
	switch {
	case limited.N == 0:
		return nil, false, fmt.Errorf("it is larger than %d MiB", maxDocument>>20)
	case errors.As(err, &unread):
		return nil, false, err
	case err != nil:
		return nil, false, fmt.Errorf("it is not JSON: %w", err)
	case document.Version != DocumentVersion && document.Version != plan.DocumentVersion:
		return nil, false, errors.New("it is neither a report nor a plan: want what run or plan prints with --output json")
	case document.Registered == nil:
		return nil, false, errors.New("it has no list of registrations: a newer arc-cleanup has to write it")
	}
	for _, d := range *document.Registered {
		if d.Outcome != github.Removed && d.Outcome != github.Gone {
			d.Result = github.Result{}
			stay = append(stay, d)
		}
	}
	return stay, !slices.ContainsFunc(document.Refusals, func(r plan.Refusal) bool { return r.Verdict != plan.Refused }), nil
}

// DeregisterAll removes at GitHub what a document names, without the cluster, and gives each a result. It uses only own,
// and sends it only to where it is for: the document's URLs come from scale sets, which any team may write.
func DeregisterAll(ctx context.Context, own *github.Own, all []Deregistered, dry bool) {
	type place struct{ url, id string }
	runners := map[place][]int{}
	for i, d := range all {
		if d.Kind == plan.KindRunner {
			runners[place{d.URL, d.ID}] = append(runners[place{d.URL, d.ID}], i)
		}
	}
	var down sync.Map
	for i, d := range all {
		if d.Kind == plan.KindScaleSet && d.Outcome == "" {
			deregisterOne(ctx, own, all, i, runners[place{d.URL, d.ID}], dry, &down)
		}
	}
	for i := range all {
		if all[i].Outcome == "" {
			all[i].Result = github.Result{Outcome: github.Kept, Why: "its scale set is not in the document"}
		}
	}
}

// deregisterOne removes one scale set of a document with a person's credentials.
func deregisterOne(ctx context.Context, own *github.Own, all []Deregistered, set int, runners []int, dry bool, down *sync.Map) {
	d := all[set].RegistrationDocument
	d.Namespace = "" // all namespaces have the same credentials and the same way
	names := make([]string, len(runners))
	for n, i := range runners {
		names[n] = all[i].Name
	}
	var results github.Results
	u, err := github.ParseConfigURL(d.URL)
	switch a, is := own.For(u); {
	case err != nil:
		results = allKept(err.Error(), len(runners))
	case !is:
		results = allKept("your credentials go only to what --url names, else to github.com and *.ghe.com", len(runners))
	default:
		results = deregister(ctx, a, d, names, dry, down)
	}
	all[set].Result = results.Set
	for n, i := range runners {
		all[i].Result = results.Runners[n]
	}
}

// Find returns the documents of scale sets at GitHub by their names, in one runner group. Those that GitHub does not have there
// have a result: the name may be wrong, or the group. The runners are those of the one scale set that has a name.
func Find(ctx context.Context, own *github.Own, names []string, group string, runners []string) (found []Deregistered, err error) {
	a, _ := own.For(own.URL)
	client, err := github.New(a)
	if err != nil {
		return nil, errors.New("the URL is not one of GitHub's")
	}
	defer client.Close()
	for _, name := range names {
		id, err := client.Find(ctx, name, group)
		if err != nil {
			return nil, err
		}
		d := Deregistered{RegistrationDocument: plan.RegistrationDocument{Kind: plan.KindScaleSet, Name: name, Group: group, URL: own.URL.String()}}
		if id != 0 {
			d.ID = strconv.Itoa(id)
		} else {
			d.Result = github.Result{Outcome: github.Gone, Why: "the runner group has no scale set of this name"}
		}
		found = append(found, d)
		for _, runner := range runners {
			r := d
			r.Kind, r.Name, r.Group = plan.KindRunner, runner, ""
			found = append(found, r)
		}
	}
	return found, nil
}
