package cleanup

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/arc-cleanup/arc-cleanup/internal/arc"
	"github.com/arc-cleanup/arc-cleanup/internal/shell"
)

// Verdict is how a run ended.
type Verdict string

// The verdicts. Done and Off are successes.
const (
	Done         Verdict = "done"
	Off          Verdict = "off"           // switched off, on purpose
	Residue      Verdict = "residue"       // something is left
	Refused      Verdict = "refused"       // by a guard, before anything was begun, or by admission
	NotPermitted Verdict = "not-permitted" // a right is missing
	OutOfTime    Verdict = "out-of-time"   // the budget is used up
	Interrupted  Verdict = "interrupted"   // told to stop
	Failed       Verdict = "failed"        // the API server could not be used
)

// Outcome is one thing that was done.
type Outcome struct {
	Action Action
	Object *Object
}

// Left is something that should be gone and is not.
type Left struct {
	Object *Object
	Why    string
}

// Registration is a scale set or a runner that was freed without its controller,
// so that nobody has told GitHub.
type Registration struct {
	Object *Object
	// Set is empty for a runner.
	Set ScaleSetInfo
}

func (r Registration) String() string {
	if r.Set.ID == "" {
		return "runner " + r.Object.Name
	}
	return shell.Visible(fmt.Sprintf("scale set %s (id %s) of %s", r.Set.Name, r.Set.ID, r.Set.URL))
}

// Took is how long a phase lasted.
type Took struct {
	Phase    PhaseName
	Duration time.Duration
}

// Report is what a run did, and what is left.
type Report struct {
	Scope    Scope
	Verdict  Verdict
	Refusals []Refusal
	Done     []Outcome
	Kept     []Kept
	Left     []Left
	// Remains is, after a success, what there is of ARC that this uninstall was not about.
	Remains []Remain
	// Obstacles are, where something is left, likely to be why.
	Obstacles []Obstacle
	// Registered is what is still registered at GitHub. GitHub removes a scale set
	// that nobody has connected to for seven days, and a runner after about one.
	Registered []Registration
	Phases     []Took
	Errs       []error
	// Revoked says that Helm took the hook's rights away while it ran, and by which
	// answer that shows; nil if it did not.
	Revoked error
}

// did says in one line what was written.
func (r *Report) did() string {
	var parts []string
	for _, action := range []Action{Create, Stop, Delete, Wake, Nudge, Relax, Release} {
		counts := map[string]int{}
		var order []string
		for _, o := range r.Done {
			if o.Action == action {
				kind := o.Object.Resource.Resource
				if counts[kind]++; counts[kind] == 1 {
					order = append(order, kind)
				}
			}
		}
		if len(order) == 0 {
			continue
		}
		for i, kind := range order {
			order[i] = fmt.Sprintf("%d %s", counts[kind], kind)
		}
		verb := map[Action]string{
			Create: "wrote a backup into ", Stop: "scaled to zero ", Delete: "deleted ",
			Wake: "had the controller try again for ", Nudge: "had the controller skip GitHub for ",
			Relax: "relaxed the schema of ", Release: "removed ARC's finalizers from ",
		}[action]
		parts = append(parts, verb+strings.Join(order, ", "))
	}
	if n := len(r.Registered); n > 0 {
		parts = append(parts, fmt.Sprintf("%d registrations are left at GitHub", n))
	}
	return cmp.Or(strings.Join(parts, "; "), "nothing was written")
}

// Summary is the verdict in one line.
func (r *Report) Summary() string {
	done := r.did()
	gone := "nothing of ARC is left"
	switch r.Scope {
	case Legacy:
		gone = "nothing of legacy ARC is left"
	case ScaleSet:
		gone = "nothing of this release's scale sets is left"
	case Namespace:
		gone = "nothing of ARC is left in the namespace, nor the namespace"
	}
	if r.Revoked != nil {
		return shell.Visible(fmt.Sprintf("not-permitted: Helm took this hook's rights away while it worked, as it does when its --timeout passes first (%v); uninstall again, with a --timeout of helmTimeoutSeconds or more, which goes on from here: %s", r.Revoked, done))
	}
	switch r.Verdict {
	case Done:
		switch {
		case len(r.Remains) > 0:
			kept := ""
			if len(r.Kept) > 0 {
				kept = fmt.Sprintf("kept %d objects, ", len(r.Kept))
			}
			return shell.Visible(fmt.Sprintf("done, %sand of ARC there is still %s: %s", kept, remains(r.Remains), done))
		case len(r.Kept) > 0:
			return fmt.Sprintf("done, and kept %d objects: %s", len(r.Kept), done)
		case len(r.Done) == 0:
			return "done: " + gone + ", there was nothing to do"
		}
		return "done: " + gone + ": " + done
	case Off:
		return fmt.Sprintf("off: %v: %s", errOff, done)
	case Residue:
		return fmt.Sprintf("residue: %d objects are left: %s", len(r.Left), done)
	case Refused, NotPermitted:
		return fmt.Sprintf("%s: %s", r.Verdict, done)
	case OutOfTime:
		return "out-of-time: the budget is used up; run it again to go on: " + done
	case Interrupted:
		return "interrupted: run it again to go on: " + done
	default:
		return fmt.Sprintf("%s: %s", r.Verdict, done)
	}
}

// Text is the report for people: what stands in the way or is left, at most maxLines
// of each, and the summary as the last line. A refusal begins with the reason, and ends
// with the commands.
func (r *Report) Text(maxLines int) string {
	var b strings.Builder
	refused := len(r.Refusals) > 0
	for i, f := range clip(r.Refusals, maxLines) {
		first := ""
		if i == 0 {
			first = fmt.Sprintf("%s, %s: ", r.Verdict, r.did())
		}
		say(&b, first, "%s", f.Message)
	}
	more(&b, len(r.Refusals), maxLines)
	if !refused {
		r.kept(&b, maxLines)
	}
	for _, l := range clip(r.Left, maxLines) {
		say(&b, "", "left: %s: %s", l.Object, l.Why)
	}
	more(&b, len(r.Left), maxLines)
	for _, x := range clip(r.Remains, maxLines) {
		say(&b, "", "also there: %s", x.What)
		for _, do := range x.Do {
			say(&b, "    ", "%s", do)
		}
	}
	more(&b, len(r.Remains), maxLines)
	for _, x := range clip(r.Obstacles, maxLines) {
		say(&b, "", "likely in the way: %s: %s", x.Object, x.Why)
	}
	more(&b, len(r.Obstacles), maxLines)
	for _, line := range r.StillRegistered(maxLines) {
		say(&b, "", "still registered at GitHub, which removes it in time: %s", line)
	}
	for _, o := range r.Done {
		if o.Action == Create {
			say(&b, "", "backed up in %s: %s", o.Object, shell.Command("arc-cleanup", "restore", "--from", o.Object.Name, "--namespace", o.Object.Namespace, "--all-namespaces"))
		}
	}
	for _, err := range clip(r.Errs, maxLines) {
		say(&b, "", "error: %v", err)
	}
	more(&b, len(r.Errs), maxLines)
	if !refused {
		b.WriteString(r.Summary())
		return b.String()
	}
	var do []string
	for _, f := range clip(r.Refusals, maxLines) {
		for _, d := range f.Do {
			if !slices.Contains(do, d) {
				do = append(do, d)
			}
		}
	}
	for _, d := range do {
		say(&b, "    ", "%s", d)
	}
	return strings.TrimSuffix(b.String(), "\n")
}

// kept names what was kept, all of one reason in one line.
func (r *Report) kept(b *strings.Builder, maxLines int) {
	var why []string
	kept := map[string][]string{}
	for _, k := range r.Kept {
		if kept[k.Why] == nil {
			why = append(why, k.Why)
		}
		kept[k.Why] = append(kept[k.Why], k.Object.Name)
	}
	for _, w := range clip(why, maxLines) {
		say(b, "", "kept %s: %s", strings.Join(clip(kept[w], maxLines), ", "), w)
	}
	more(b, len(why), maxLines)
}

// Times says how long each phase took.
func (r *Report) Times() string {
	times := make([]string, len(r.Phases))
	for i, took := range r.Phases {
		times[i] = fmt.Sprintf("%s %.1fs", took.Phase, took.Duration.Seconds())
	}
	return strings.Join(times, ", ")
}

// say adds a line as a terminal should get it, after what begins it: some objects may be
// called anything, and errors and messages have names in them.
func say(b *strings.Builder, begin, format string, args ...any) {
	b.WriteString(begin + shell.Visible(fmt.Sprintf(format, args...)) + "\n")
}

// StillRegistered names what GitHub has not been told of: scale sets one by one,
// and runners, of which there may be thousands, in one line.
func (r *Report) StillRegistered(most int) []string {
	var sets, runners []string
	for _, reg := range r.Registered {
		if reg.Set.ID == "" {
			runners = append(runners, reg.Object.Name)
		} else {
			sets = append(sets, reg.String())
		}
	}
	lines := clip(sets, most)
	if more := len(sets) - most; more > 0 {
		lines = append(lines, fmt.Sprintf("%d more scale sets", more))
	}
	if n := len(runners); n > 0 {
		line := fmt.Sprintf("%d runners: %s", n, strings.Join(clip(runners, 3), ", "))
		if n > 3 {
			line += ", ..."
		}
		lines = append(lines, line)
	}
	return lines
}

func clip[T any](items []T, most int) []T { return slices.Clip(items[:min(len(items), most)]) }

func more(b *strings.Builder, all, most int) {
	if all > most {
		fmt.Fprintf(b, "... and %d more\n", all-most)
	}
}

// leftovers turns a plan that should be empty into what is left.
func leftovers(p *Plan) []Left {
	var left []Left
	seen := map[string]bool{}
	for _, phase := range p.Phases {
		for _, s := range phase.Steps() {
			if key := s.Object.String(); !seen[key] && s.Action != Create {
				seen[key] = true
				why := held(s.Object)
				if s.Object.Resource == namespaceResource {
					why = s.Why
				}
				left = append(left, Left{s.Object, why})
			}
		}
	}
	return left
}

// held says what keeps an object that should be gone.
func held(o *Object) string {
	own, foreign := arc.Finalizers(o.Finalizers)
	switch {
	case o.Resource == crdResource && o.Deleting:
		return "is being deleted, and waits for its objects"
	case slices.Equal(o.Finalizers, []string{metav1.FinalizerDeleteDependents}):
		return "waits for Kubernetes' garbage collector to delete what it owns"
	case len(foreign) > 0:
		return "held by finalizers which are not ARC's: " + strings.Join(foreign, ", ")
	case len(own) > 0:
		return "still has ARC's finalizers"
	case o.Deleting:
		return "is being deleted, and not gone yet"
	}
	return "still there"
}
