package github

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"time"

	"github.com/actions/scaleset"

	"github.com/arc-cleanup/arc-cleanup/internal/english"
)

// Set is a scale set as the cluster knew it.
type Set struct {
	ID   int
	Name string
	// Group is the name of its runner group; empty for the default group.
	Group string
	// Runners are the names of its runners at GitHub.
	Runners []string
}

// Outcome says what became of a registration.
type Outcome string

const (
	Removed Outcome = "removed"
	// Gone means that it was gone already.
	Gone Outcome = "already-gone"
	// Kept means that it was left, because nobody asked for its removal or because the removal was not possible.
	Kept Outcome = "kept"
	// Refused means that it was not removed because it is, or may be, in use.
	Refused Outcome = "refused"
	// WouldRemove is the outcome of a dry run.
	WouldRemove Outcome = "would-remove"
)

// Result is the outcome for one registration, and why it is still there.
type Result struct {
	Outcome Outcome `json:"outcome,omitempty"`
	Why     string  `json:"why,omitempty"`
}

// Results are those for a Set, and for its runners in their order.
type Results struct {
	Set     Result
	Runners []Result
	// Down says that GitHub does not answer, or that this Access does not lead there: its proxy, its certificate
	// authorities, and how many requests its credentials allow. Further requests would only cost time.
	Down bool
	// Silent says that it is Down because nothing has answered, and not with an answer to these credentials or to this set.
	Silent bool
}

// Deregister removes the runners of a scale set one by one, and then the set, if it is certain that nobody uses
// it: its name and group are still the same, it has no other runners and no jobs, and no listener is connected. Two
// clusters may share a scale set (same name, same group), and GitHub tells them apart by their listeners and runners
// only. With dry, it only reads.
func (c *Client) Deregister(ctx context.Context, set Set, dry bool) Results {
	ctx, cancel := context.WithTimeout(ctx, Times.Patience+time.Duration(len(set.Runners))*Times.Runner)
	defer cancel()
	d := &deregistration{client: c, set: set, dry: dry, out: Results{Runners: make([]Result, len(set.Runners))}}
	d.run(ctx)
	return d.out
}

type deregistration struct {
	client *Client
	set    Set
	dry    bool
	out    Results
	// removed counts the runners that were removed, or in a dry run would be.
	removed int
}

func (d *deregistration) run(ctx context.Context) {
	found, failed := d.client.set(ctx, d.set.ID)
	switch {
	case failed != nil && failed.kind != gone:
		d.rest(d.kept(failed))
		return
	case failed != nil:
		d.out.Set = Result{Gone, ""}
	default:
		if why := otherSet(d.set, found); why != "" {
			d.rest(Result{Refused, why})
			return
		}
		// Idle runners of another cluster look like this cluster's.
		if len(d.set.Runners) > 0 && !d.dry {
			d.out.Set = d.unheld(ctx)
		}
		if d.out.Set.Outcome == Kept || d.out.Set.Outcome == Refused {
			d.rest(d.out.Set)
			return
		}
	}
	for i, name := range d.set.Runners {
		result, failed := d.runner(ctx, name)
		d.out.Runners[i] = result
		if failed != nil && (failed.kind == unavailable || failed.kind == denied) {
			d.rest(d.kept(failed))
			return
		}
	}
	if d.out.Set.Outcome == "" {
		d.out.Set = d.removeSet(ctx)
	}
}

// kept returns the Result of a request that failed, and notes what it means for later ones.
func (d *deregistration) kept(f *failure) Result {
	d.out.Down = f.kind == unavailable
	d.out.Silent = d.out.Down && d.client.last.status == 0
	return Result{Kept, f.why}
}

// rest sets the Result of what has none yet.
func (d *deregistration) rest(r Result) {
	if d.out.Set.Outcome == "" {
		d.out.Set = r
	}
	for i := range d.out.Runners {
		if d.out.Runners[i].Outcome == "" {
			d.out.Runners[i] = r
		}
	}
}

// otherSet says why the set that GitHub has under an ID is not the one that the cluster knew; "" if it is.
func otherSet(want Set, got *scaleset.RunnerScaleSet) string {
	switch {
	case got.ID != want.ID:
		return "GitHub has another scale set under this id"
	case got.Name != want.Name:
		return "GitHub has a scale set with another name under this id"
	case !strings.EqualFold(groupName(got.RunnerGroupName), groupName(want.Group)):
		return "GitHub has this scale set in another runner group"
	}
	return ""
}

// DefaultGroup is the name of the runner group of a scale set that names none. GitHub also writes it with a capital.
const DefaultGroup = scaleset.DefaultRunnerGroup

func groupName(name string) string {
	if name == "" {
		return DefaultGroup
	}
	return name
}

// runner removes one runner. GitHub knows it by its name, which is unique, and says to which set it belongs.
func (d *deregistration) runner(ctx context.Context, name string) (Result, *failure) {
	found, failed := d.client.runner(ctx, name)
	switch {
	case failed != nil && failed.kind == gone:
		return Result{Gone, ""}, nil
	case failed != nil:
		return Result{Kept, failed.why}, failed
	case found == nil:
		return Result{Gone, ""}, nil
	case found.Name != name || found.RunnerScaleSetID != d.set.ID:
		return Result{Refused, "GitHub has a runner of another scale set under this name"}, nil
	}
	d.removed++
	if d.dry {
		return Result{WouldRemove, ""}, nil
	}
	return d.remove(ctx, func(ctx context.Context) error { return d.client.api.RemoveRunner(ctx, int64(found.ID)) },
		func(ctx context.Context) bool {
			found, failed := d.client.runner(ctx, name)
			return failed == nil && found == nil
		})
}

// remove removes a runner or a set. GitHub may have done it although its answer got lost or was a failure; then isGone
// says so.
func (d *deregistration) remove(ctx context.Context, do func(context.Context) error, isGone func(context.Context) bool) (Result, *failure) {
	ctx, cancel := context.WithTimeout(ctx, Times.Patience)
	defer cancel()
	failed := d.client.call(ctx, do)
	switch {
	case failed == nil:
		return Result{Removed, ""}, nil
	case failed.kind == gone && !d.client.last.again:
		return Result{Gone, ""}, nil
	case failed.kind == gone:
		return Result{Removed, ""}, nil // with the first try
	case failed.kind == busy:
		return Result{Refused, failed.why}, failed
	case failed.kind != denied && isGone(ctx):
		return Result{Removed, ""}, nil
	}
	return Result{Kept, failed.why}, failed
}

// removeSet removes the set, once nobody uses it.
func (d *deregistration) removeSet(ctx context.Context) Result {
	for i, name := range d.set.Runners {
		if r := d.out.Runners[i]; r.Outcome == Kept || r.Outcome == Refused {
			return Result{Kept, fmt.Sprintf("its runner %s was not removed: %s", name, r.Why)}
		}
	}
	if result := d.unused(ctx); result.Outcome != "" {
		return result
	}
	if d.dry {
		return Result{WouldRemove, ""}
	}
	if result := d.unheld(ctx); result.Outcome != "" {
		return result
	}
	result, failed := d.remove(ctx, func(ctx context.Context) error { return d.client.api.DeleteRunnerScaleSet(ctx, d.set.ID) },
		func(ctx context.Context) bool {
			_, failed := d.client.set(ctx, d.set.ID)
			return failed != nil && failed.kind == gone
		})
	if result.Outcome == Kept {
		return d.kept(failed)
	}
	return result
}

// settleReads is how often the set is read, or its session asked for, again within Times.Settle.
const settleReads = 10

// unused reads the set again, now that its runners are gone. It has a result if the set must stay.
func (d *deregistration) unused(ctx context.Context) Result {
	for reads := 1; ; reads++ {
		found, failed := d.client.set(ctx, d.set.ID)
		switch {
		case failed != nil && failed.kind == gone:
			return Result{Gone, ""}
		case failed != nil:
			return d.kept(failed)
		}
		if why := otherSet(d.set, found); why != "" {
			return Result{Refused, why}
		}
		why := inUse(found.Statistics, d.removed, d.dry)
		if why == "" {
			return Result{}
		}
		if d.dry || len(d.set.Runners) == 0 || reads > settleReads {
			return Result{Refused, why}
		}
		if !pause(ctx) {
			return Result{Refused, why}
		}
	}
}

// pause waits until the next read; false if ctx ended.
func pause(ctx context.Context) bool {
	select {
	case <-ctx.Done():
		return false
	case <-time.After(Times.Settle / settleReads):
		return true
	}
}

// inUse says why a set is in use; "" if it is not. A dry run has not removed the set's own runners, so it leaves
// them out of the count.
func inUse(s *scaleset.RunnerScaleSetStatistic, own int, dry bool) string {
	if s == nil {
		return "GitHub does not say how many runners it has"
	}
	registered := s.TotalRegisteredRunners
	if dry {
		registered -= own
	}
	switch {
	case s.TotalBusyRunners > 0, s.TotalRunningJobs > 0, s.TotalAssignedJobs > 0:
		return fmt.Sprintf("it has jobs (%d assigned, %d running, %s)", s.TotalAssignedJobs, s.TotalRunningJobs, english.Count(s.TotalBusyRunners, "busy runner"))
	case registered > 0:
		return fmt.Sprintf("GitHub has %s of it: of another cluster, or of an earlier installation", english.Count(registered, "other runner"))
	}
	return ""
}

// unheld proves that no listener is connected: GitHub gives a scale set's message session to one client only. It has
// a result if the set must stay.
func (d *deregistration) unheld(ctx context.Context) Result {
	var session *scaleset.MessageSessionClient
	open := func(ctx context.Context) (err error) {
		session, err = d.client.api.MessageSessionClient(ctx, d.set.ID, "arc-cleanup")
		return err
	}
	failed := d.client.call(ctx, open)
	// The listener that this run has deleted may end just now.
	for reads := 1; failed != nil && failed.kind == conflict && reads <= settleReads && pause(ctx); reads++ {
		failed = d.client.call(ctx, open)
	}
	switch {
	case failed != nil && failed.kind == gone:
		return Result{Gone, ""}
	case failed != nil && failed.kind == conflict:
		return Result{Refused, "a listener is connected to it, or was until a few minutes ago"}
	case failed != nil:
		return d.kept(failed)
	case session.Session().SessionID == scaleset.RunnerScaleSetSession{}.SessionID:
		return d.kept(&failure{misunderstood, notUnderstood})
	}
	// Also if the run ends now: as long as the session is open, no listener can connect.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), Times.Try)
	defer cancel()
	failed = d.client.call(ctx, session.Close)
	switch {
	case failed != nil && failed.kind == gone:
		return Result{Gone, ""}
	case failed != nil:
		result := d.kept(failed)
		result.Why = "the message session that arc-cleanup opened did not close: " + result.Why
		return result
	}
	return Result{}
}

// Find returns the ID of a scale set by its name and the name of its runner group; 0 if there is none.
func (c *Client) Find(ctx context.Context, name, group string) (int, error) {
	id := defaultGroupID
	if group != "" && !strings.EqualFold(group, DefaultGroup) {
		var found *scaleset.RunnerGroup
		failed := c.call(ctx, func(ctx context.Context) (err error) {
			found, err = c.api.GetRunnerGroupByName(ctx, url.QueryEscape(group))
			return err
		})
		switch n := c.last.count; {
		case failed != nil && n != nil && *n == 0:
			return 0, fmt.Errorf("GitHub has no runner group %q that the credentials may see", group)
		case failed != nil:
			return 0, fmt.Errorf("asking GitHub for the runner group %q: %s", group, failed.why)
		}
		id = found.ID
	}
	var found *scaleset.RunnerScaleSet
	failed := c.call(ctx, func(ctx context.Context) (err error) {
		found, err = c.api.GetRunnerScaleSet(ctx, id, url.QueryEscape(name))
		return err
	})
	switch {
	case failed != nil:
		return 0, fmt.Errorf("asking GitHub for the scale set %q: %s", name, failed.why)
	case found == nil && c.last.count != nil:
		return 0, nil
	case found == nil, found.ID <= 0, !strings.EqualFold(found.Name, name):
		return 0, fmt.Errorf("asking GitHub for the scale set %q: %s", name, notUnderstood)
	}
	return found.ID, nil
}

// defaultGroupID is the ID of the group that is called "default"
// (controllers/actions.github.com/autoscalingrunnerset_controller.go, createRunnerScaleSet).
const defaultGroupID = 1

// errNothing is an answer that is valid JSON and says nothing.
var errNothing = errors.New("the answer says nothing")

// set reads a set. An answer without one is a failure.
func (c *Client) set(ctx context.Context, id int) (found *scaleset.RunnerScaleSet, failed *failure) {
	failed = c.call(ctx, func(ctx context.Context) (err error) {
		if found, err = c.api.GetRunnerScaleSetByID(ctx, id); err == nil && (found == nil || found.ID == 0) {
			return errNothing
		}
		return err
	})
	return found, failed
}

// runner reads a runner by its name; nil if there is none.
func (c *Client) runner(ctx context.Context, name string) (found *scaleset.RunnerReference, failed *failure) {
	failed = c.call(ctx, func(ctx context.Context) (err error) {
		if found, err = c.api.GetRunnerByName(ctx, url.QueryEscape(name)); err == nil && (c.last.count == nil || found != nil && found.ID == 0) {
			return errNothing
		}
		return err
	})
	return found, failed
}
