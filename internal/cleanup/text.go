package cleanup

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/arc-cleanup/arc-cleanup/internal/english"
	"github.com/arc-cleanup/arc-cleanup/internal/github"
	"github.com/arc-cleanup/arc-cleanup/internal/plan"
	"github.com/arc-cleanup/arc-cleanup/internal/shell"
)

// Summary returns the verdict and what the run did, in one line.
func (r *Report) Summary() string {
	did := r.did()
	switch {
	case r.Revoked != nil:
		return shell.Visible(fmt.Sprintf("not-permitted: Helm took this hook's rights away while it worked, as it does when its --timeout passes first (%v); "+
			"uninstall again, with a --timeout of helmTimeoutSeconds or more, which goes on from here: %s", r.Revoked, did))
	case r.Verdict == plan.Done:
		return shell.Visible(r.success(did))
	case r.Verdict == plan.Off:
		return fmt.Sprintf("off: %v: %s", errOff, did)
	case r.Verdict == plan.Residue && len(r.Left) == 0 && (r.staying() > 0 || len(r.Records) > 0):
		return "residue: nothing is left in the cluster, but at GitHub: " + did
	case r.Verdict == plan.Residue:
		return fmt.Sprintf("residue: %s %s left: %s", english.Count(len(r.Left), "object"), english.Agree(len(r.Left), "is", "are"), did)
	case r.Verdict == plan.OutOfTime:
		return "out-of-time: the budget is used up; run it again to go on: " + did
	case r.Verdict == plan.Interrupted:
		return "interrupted: run it again to go on: " + did
	}
	return fmt.Sprintf("%s: %s", r.Verdict, did)
}

// success returns the summary of a run that is done: what it proved and what it did.
func (r *Report) success(did string) string {
	kept := "kept " + english.Count(len(r.Kept), "object")
	switch {
	case len(r.Remains) > 0 && len(r.Kept) > 0:
		return fmt.Sprintf("done, %s; also there: %s: %s", kept, remains(r.Remains), did)
	case len(r.Remains) > 0:
		return fmt.Sprintf("done; also there: %s: %s", remains(r.Remains), did)
	case len(r.Kept) > 0:
		return fmt.Sprintf("done, and %s: %s", kept, did)
	}
	gone := "nothing of ARC is left"
	switch r.Scope {
	case plan.ScopeLegacy:
		gone = "nothing of legacy ARC is left"
	case plan.ScopeScaleSet:
		gone = "nothing of this release's scale sets is left"
	case plan.ScopeNamespace:
		gone = "nothing of ARC is left in the namespace, and the namespace is gone"
	case plan.ScopeController:
	}
	if len(r.Done) == 0 {
		return "done: " + gone + ", there was nothing to do"
	}
	return "done: " + gone + ": " + did
}

// did returns the writes in one line.
func (r *Report) did() string {
	var parts []string
	for _, action := range []plan.Action{plan.Create, plan.Stop, plan.Delete, plan.Wake, plan.Nudge, plan.Relax, plan.Free} {
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
			order[i] = english.Count(counts[kind], strings.TrimSuffix(kind, "s"))
		}
		parts = append(parts, verbs[action]+strings.Join(order, ", "))
	}
	if n := r.registered(github.Removed); n > 0 {
		parts = append(parts, "removed "+english.Count(n, "registration")+" at GitHub")
	}
	if n := r.registered(github.Gone); n > 0 {
		parts = append(parts, english.Count(n, "registration")+english.Agree(n, " was", " were")+" gone already")
	}
	if n := r.staying(); n > 0 {
		parts = append(parts, english.Count(n, "registration")+english.Agree(n, " is", " are")+" left at GitHub")
	}
	return cmp.Or(strings.Join(parts, "; "), "nothing was written")
}

// staying counts what is still registered at GitHub.
func (r *Report) staying() int {
	return len(r.Registered) - r.registered(github.Removed) - r.registered(github.Gone)
}

// registered counts the registrations with an outcome.
func (r *Report) registered(outcome github.Outcome) (n int) {
	for _, reg := range r.Registered {
		if reg.Outcome == outcome {
			n++
		}
	}
	return n
}

// verbs are the words for what an action did to the objects that follow.
var verbs = map[plan.Action]string{
	plan.Create: "wrote a backup into ", plan.Stop: "scaled to zero ", plan.Delete: "deleted ",
	plan.Wake: "had the controller try again for ", plan.Nudge: "had the controller skip GitHub for ",
	plan.Relax: "relaxed the schema of ", plan.Free: "removed ARC's finalizers from ",
}

// Text returns the report for people: what blocks the run or is left, at most maxLines of each, and
// the summary as the last line. A refusal begins with the reason and ends with the commands.
func (r *Report) Text(maxLines int) string {
	var b strings.Builder
	for i, f := range clip(r.Refusals, maxLines) {
		first := ""
		if i == 0 {
			first = fmt.Sprintf("%s, %s: ", r.Verdict, r.did())
		}
		say(&b, first, "%s", f.Message)
	}
	more(&b, len(r.Refusals), maxLines)
	refused := len(r.Refusals) > 0
	if !refused {
		r.kept(&b, maxLines)
	}
	r.details(&b, maxLines)
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

// details writes what is left, what remains of ARC, and what went wrong.
func (r *Report) details(b *strings.Builder, maxLines int) {
	for _, l := range clip(r.Left, maxLines) {
		say(b, "", "left: %s: %s", l.Object, l.Why)
	}
	more(b, len(r.Left), maxLines)
	for _, x := range clip(r.Remains, maxLines) {
		say(b, "", "also there: %s", x.What)
		for _, do := range x.Do {
			say(b, "    ", "%s", do)
		}
	}
	more(b, len(r.Remains), maxLines)
	for _, x := range clip(r.Obstacles, maxLines) {
		say(b, "", "likely in the way: %s: %s", x.Object, x.Why)
	}
	more(b, len(r.Obstacles), maxLines)
	for _, line := range r.StillRegistered(maxLines) {
		say(b, "", "still registered at GitHub: %s", line)
	}
	for _, do := range r.deregisterCommands(maxLines) {
		say(b, "    ", "%s", do)
	}
	for _, o := range clip(r.Records, maxLines) {
		forget := shell.Command("kubectl", "delete", "secret", o.Name, "--namespace", o.Namespace)
		say(b, "", "the next run reads what is registered from %s; to forget it: %s", o, forget)
	}
	for _, o := range r.Done {
		if o.Action == plan.Create {
			restore := shell.Command("arc-cleanup", "restore", "--from", o.Object.Name, "--namespace", o.Object.Namespace, "--all-namespaces")
			say(b, "", "backed up in %s: %s", o.Object, restore)
		}
	}
	for _, err := range clip(r.Errs, maxLines) {
		say(b, "", "error: %v", err)
	}
	more(b, len(r.Errs), maxLines)
}

// kept writes what was kept, with all objects of one reason in one line.
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

// Times returns how long each phase took.
func (r *Report) Times() string {
	times := make([]string, len(r.Phases))
	for i, took := range r.Phases {
		times[i] = fmt.Sprintf("%s %.1fs", took.Phase, took.Seconds)
	}
	return strings.Join(times, ", ")
}

// say writes a line. It makes everything after begin safe for a terminal, because the names of
// objects, in errors and messages too, may be any text.
func say(b *strings.Builder, begin, format string, args ...any) {
	b.WriteString(begin + shell.Visible(fmt.Sprintf(format, args...)) + "\n")
}

// StillRegistered returns what is still registered at GitHub, and why: each scale set in a line of its own, and the runners, of
// which there may be thousands, in one line for each reason.
func (r *Report) StillRegistered(most int) []string {
	var sets, reasons []string
	runners := map[string][]string{}
	for _, reg := range r.Registered {
		switch {
		case !reg.Stays():
		case reg.IsSet():
			sets = append(sets, reg.String()+": "+reg.Why)
		default:
			if runners[reg.Why] == nil {
				reasons = append(reasons, reg.Why)
			}
			runners[reg.Why] = append(runners[reg.Why], reg.Object.Name)
		}
	}
	lines := clip(sets, most)
	if more := len(sets) - most; more > 0 {
		lines = append(lines, english.Count(more, "more scale set"))
	}
	for _, why := range clip(reasons, most) {
		names := runners[why]
		line := english.Count(len(names), "runner") + ": " + strings.Join(clip(names, 3), ", ")
		if len(names) > 3 {
			line += ", ..."
		}
		lines = append(lines, line+": "+why)
	}
	return lines
}

// deregisterCommands returns the commands that remove what was kept because nothing asked for its removal, or
// because this run had no credentials for what an earlier one has freed. A scale set with more
// runners than a command line should have needs a document. There is no command for a server that is not GitHub's own: its
// address is written by the team of the scale set, and whoever runs the command would send it credentials.
func (r *Report) deregisterCommands(most int) (commands []string) {
	const runnersOfACommand = 5
	for _, set := range r.Registered {
		u, err := github.ParseConfigURL(set.Set.URL)
		if !set.IsSet() || set.Why != keptByPolicy && set.Why != errRecorded.Error() || len(commands) == most || err != nil || !u.Hosted() {
			continue
		}
		args := []string{"arc-cleanup", "deregister", "--url", set.Set.URL, "--scale-set", set.Set.Name}
		if set.Set.Group != "" && !strings.EqualFold(set.Set.Group, github.DefaultGroup) {
			args = append(args, "--runner-group", set.Set.Group)
		}
		runners := 0
		for _, reg := range r.Registered {
			if !reg.IsSet() && reg.Object.ScaleSet == set.Object.ScaleSet && reg.Set.ID == set.Set.ID {
				runners++
				args = append(args, "--runner", reg.Object.Name)
			}
		}
		if runners <= runnersOfACommand {
			commands = append(commands, shell.Command(args...))
		}
	}
	return commands
}

func clip[T any](items []T, most int) []T { return slices.Clip(items[:min(len(items), most)]) }

func more(b *strings.Builder, all, most int) {
	if all > most {
		fmt.Fprintf(b, "... and %d more\n", all-most)
	}
}
