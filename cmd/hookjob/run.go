package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/rs/zerolog"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"golang.org/x/term"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/arc-cleanup/arc-cleanup/internal/cleanup"
	"github.com/arc-cleanup/arc-cleanup/internal/cli"
	"github.com/arc-cleanup/arc-cleanup/internal/english"
	"github.com/arc-cleanup/arc-cleanup/internal/kube"
	"github.com/arc-cleanup/arc-cleanup/internal/plan"
)

const (
	// reportLines is how many lines of one sort a report prints for people: a page in all.
	reportLines = 10
	// machineLines is how many of one sort the log for machines has.
	machineLines = 50
	// terminationBytes is what Kubernetes keeps of a termination message.
	terminationBytes = 4096
	terminationLines = 10
)

type runFlags struct {
	target
	budget         time.Duration
	yes            bool
	log            logFlags
	terminationLog string
	onResidue      string
	output         string

	// client and job are there as far as they could be had.
	client *kube.Client
	job    *unstructured.Unstructured
	// unread says that the hook was not permitted to read its Job.
	unread bool
}

// What to do about residue.
const (
	failOnResidue = "fail"
	warnOnResidue = "warn"
)

func newRun() *cobra.Command {
	var f runFlags
	cmd := &cobra.Command{
		Use:   "run",
		Short: "Clean up: what the hook Job does, or by hand on a cluster that is stuck",
		Long: `Run surveys the cluster, refuses if anything stands in the way, and otherwise
drains what is left of ARC, removes ARC's finalizers, and no others, and
deletes the CRDs. You can stop it and run it again at any point.

By hand you say what to clean: the whole cluster (--all-namespaces), one namespace that
hangs in Terminating (--namespace), or what a release left (--release, --scope
scale-set). It prints the plan and asks first; without a terminal it needs --yes, or
--confirm with the digest of a plan that you have looked at. It runs the plan that was
confirmed. If the plan has changed since, it refuses, and writes nothing.

` + exitHelp,
		Example: `  # A cluster that is stuck: the controller is gone, namespaces hang in Terminating
  arc-cleanup run --all-namespaces

  # One namespace that hangs in Terminating; nothing else of ARC is touched
  arc-cleanup run --namespace arc-runners

  # After an uninstall whose hook could not run; Helm's record of the release must prove it
  arc-cleanup run --release arc --release-namespace arc-systems --require-uninstalling

  # Exactly the plan that you have looked at, by the digest that plan printed
  arc-cleanup run --all-namespaces --confirm sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855

  # In a script: no question, the report as JSON, 15 minutes
  arc-cleanup run --all-namespaces --yes --budget 15m --output json`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return f.run(cmd) },
	}
	f.register(cmd.Flags())
	return cmd
}

func (f *runFlags) register(fs *pflag.FlagSet) {
	f.target.register(fs)
	fs.DurationVar(&f.budget, "budget", 255*time.Second, "time for everything; with --job counted from the Job's start, across its retries")
	fs.BoolVarP(&f.yes, "yes", "y", false, "do not ask; needed by hand without a terminal")
	fs.StringVar(&f.options.Confirmed, "confirm", "", "digest of a plan, as plan prints it: do not ask, and run that plan and no other")
	f.log.register(fs)
	cli.OneOf(fs, &f.onResidue, "on-residue", "", failOnResidue, "when something is left: fail, or warn (and exit with 0); a refusal always fails", failOnResidue, warnOnResidue)
	cli.OneOf(fs, &f.output, "output", "o", "text", "json is the report as a document on standard output; the log is on standard error", "text", "json")
	fs.StringVar(&f.terminationLog, "termination-log", "", "file to write the verdict to, for Kubernetes to show")
}

// check completes what the flags say. Its errors are wrong usage.
func (f *runFlags) check(cmd *cobra.Command) error {
	fs := cmd.Flags()
	f.takeHelmNamespace(fs)
	if err := f.complete(fs); err != nil {
		return err
	}
	switch given := fs.Changed("confirm"); {
	case f.budget <= 0:
		return fmt.Errorf("--budget %s: must be more than 0", f.budget)
	case given && !plan.IsDigest(f.options.Confirmed): // an empty one, too: a pipeline has lost it
		return fmt.Errorf("--confirm %q: want sha256: and 64 hexadecimal digits, as plan prints it", f.options.Confirmed)
	case given && f.options.Job != "":
		return errors.New("--confirm does not go with --job: a hook prints no plan")
	case f.asks() && !isTerminal(cmd.InOrStdin()):
		return fmt.Errorf("by hand, run asks before it writes, and there is no terminal to ask on: "+
			"look at what %s plan prints with the same flags, then give --yes", called())
	}
	return nil
}

// asks reports whether a person has to confirm the plan.
func (f *runFlags) asks() bool { return f.options.Job == "" && f.options.Confirmed == "" && !f.yes }

func (f *runFlags) run(cmd *cobra.Command) error {
	if err := f.check(cmd); err != nil {
		return err
	}
	console := f.log.console(cmd.ErrOrStderr())
	log := f.log.logger(cmd.ErrOrStderr(), console, isTerminal(cmd.ErrOrStderr()))
	var progress func(cleanup.Progress)
	if console && isTerminal(cmd.ErrOrStderr()) {
		bar := &bar{out: cmd.ErrOrStderr()}
		defer bar.end()
		cmd.SetErr(bar)
		progress = bar.show
		log = f.log.logger(bar, console, true)
	}

	if f.badCredentials != nil && f.options.GitHub == plan.Deregister {
		log.Warn().Err(f.badCredentials).Msg("goes on with the credentials of the scale sets only")
	}
	client, err := f.connect()
	f.client = client
	if err != nil {
		return f.end(cmd, log, console, &cleanup.Report{Verdict: plan.Failed, Errs: []error{err}})
	}
	start := time.Now()
	if unreached := f.reach(cmd.Context(), log); unreached != nil {
		return f.end(cmd, log, console, unreached)
	}
	f.backUp(client, start)
	if f.asks() {
		proceed, err := f.confirm(cmd, client)
		if err != nil || !proceed {
			return err
		}
		start = time.Now() // you may look at the plan as long as you like
	}
	if f.options.Job != "" {
		start = f.beginning(cmd.Context(), log, start)
	}
	ctx, cancel := context.WithDeadlineCause(cmd.Context(), start.Add(f.budget), cleanup.ErrBudget)
	defer cancel()
	log.Debug().Str("server", client.Server).Stringer("budget", time.Until(start.Add(f.budget)).Round(time.Second)).Msg("arc-cleanup begins")
	report := cleanup.Run(ctx, client, f.options, log, cleanup.Person{Progress: progress, GitHub: f.credentials})
	f.findJob()
	return f.end(cmd, log, console, report)
}

// findJob reads the hook's Job for its Event if that was not permitted when the hook began: its rights may have come later.
func (f *runFlags) findJob() {
	if f.options.Job == "" || !f.unread {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), eventTime)
	defer cancel()
	if job, err := readJob(ctx, f.client, f.options.ReleaseNamespace, f.options.Job); err == nil {
		f.job = job
	}
}

// beginning reads the hook's Job, and returns when it began: from then on the budget is
// counted, and so every Pod of the Job means the same backup.
func (f *runFlags) beginning(ctx context.Context, log zerolog.Logger, now time.Time) time.Time {
	ctx, cancel := context.WithDeadline(ctx, now.Add(f.budget))
	defer cancel()
	var err error
	f.job, err = readJob(ctx, f.client, f.options.ReleaseNamespace, f.options.Job)
	f.unread = apierrors.IsForbidden(err)
	var began time.Time
	if err == nil {
		began, err = jobStart(f.job)
	}
	if err != nil {
		log.Warn().Err(err).Msg("the budget is counted from now: the Job's start is unknown")
		return now
	}
	f.backUp(f.client, began)
	return began
}

// end says how it went: on the log, whose last line is the verdict, and in the
// termination message.
func (f *runFlags) end(cmd *cobra.Command, log zerolog.Logger, console bool, r *cleanup.Report) error {
	if f.terminationLog != "" {
		if err := os.WriteFile(f.terminationLog, []byte(clipped(r, terminationBytes)), 0o600); err != nil {
			log.Warn().Err(err).Msg("could not write the termination message")
		}
	}
	code := f.exitCode(r.Verdict)
	if f.job != nil && r.Revoked == nil { // or the Event would only be refused
		if err := record(f.client, f.job, r, code == exitDone); err != nil {
			log.Warn().Err(err).Msg("the verdict is in this log only")
		}
	}
	if len(r.Phases) > 0 {
		log.Debug().Msg("time: " + r.Times())
	}
	if console {
		fmt.Fprintln(cmd.ErrOrStderr(), asCalled(r.Text(reportLines)))
	} else {
		logReport(log, r)
		level := zerolog.InfoLevel
		switch {
		case code != exitDone:
			level = zerolog.ErrorLevel
		case len(r.Left) > 0:
			level = zerolog.WarnLevel
		}
		log.WithLevel(level).Str("verdict", string(r.Verdict)).Msg(r.Summary())
	}
	if f.output == "json" {
		if err := printJSON(cmd.OutOrStdout(), r); err != nil {
			return fmt.Errorf("writing the report: %w", err)
		}
	}
	if code != exitDone {
		return exitError(code)
	}
	return nil
}

// logReport is the report for machines, at most machineLines lines of each sort.
func logReport(log zerolog.Logger, r *cleanup.Report) {
	some(log, r.Refusals, func(x plan.Refusal) { log.Error().Strs("do", x.Do).Msg(x.Message) })
	some(log, r.Kept, func(x plan.Finding) { log.Info().Stringer("object", x.Object).Str("why", x.Why).Msg("kept") })
	for _, line := range r.StillRegistered(machineLines) {
		log.Warn().Str("registration", line).Msg("still registered at GitHub")
	}
	some(log, r.Left, func(x plan.Finding) { log.Error().Stringer("object", x.Object).Str("why", x.Why).Msg("left") })
	some(log, r.Remains, func(x plan.Remain) { log.Warn().Strs("do", x.Do).Msg("also there: " + x.What) })
	some(log, r.Obstacles, func(x plan.Finding) {
		log.Error().Stringer("object", x.Object).Str("why", x.Why).Msg("likely in the way")
	})
	some(log, r.Errs, func(err error) { log.Error().Msg(err.Error()) })
}

func some[T any](log zerolog.Logger, items []T, line func(T)) {
	for _, x := range items[:min(len(items), machineLines)] {
		line(x)
	}
	if more := len(items) - machineLines; more > 0 {
		log.Info().Int("more", more).Msg("and more of these")
	}
}

// exitCode is that of the verdict, unless what is left is only to be warned of.
func (f *runFlags) exitCode(v plan.Verdict) int {
	if f.onResidue == warnOnResidue && (v == plan.Residue || v == plan.OutOfTime) {
		return exitDone
	}
	return exitCode(v)
}

// confirm prints the plan and asks. There is nothing to proceed with if the plan is empty. The answer is not bound
// to this one plan, as --confirm is: while you read, runners finish their jobs, and the plan becomes another.
func (f *runFlags) confirm(cmd *cobra.Command, client *kube.Client) (proceed bool, err error) {
	out := cmd.ErrOrStderr()
	planned := preview(cmd.Context(), client, &f.target)
	fmt.Fprintf(out, "Cluster %s (context %q)\n\n", client.Server, client.Context)
	printPlan(out, planned)
	answers := bufio.NewReader(cmd.InOrStdin())
	if planned.LeftAtGitHub > 0 && len(planned.Refusals) == 0 && !cmd.Flags().Changed("github") {
		also, err := ask(cmd, answers, fmt.Sprintf("Remove %s and %s runners at GitHub too, once the cluster is clean?",
			english.Count(planned.LeftAtGitHub, "scale set"), english.Agree(planned.LeftAtGitHub, "its", "their")))
		if err != nil {
			return false, err
		}
		if also {
			f.options.GitHub = plan.Deregister
			planned = preview(cmd.Context(), client, &f.target)
			fmt.Fprintln(out)
			printPlan(out, planned)
		}
	}
	if len(planned.Refusals) > 0 {
		return false, exitError(exitCode(planned.Verdict()))
	}
	if len(planned.Phases) == 0 {
		return false, nil
	}
	return doThis(cmd, answers)
}

// doThis asks whether to do what was printed. A no is a refusal.
func doThis(cmd *cobra.Command, answers *bufio.Reader) (bool, error) {
	yes, err := ask(cmd, answers, "Do this?")
	if err == nil && !yes {
		fmt.Fprintln(cmd.ErrOrStderr(), "Nothing was written.")
		err = exitError(exitRefused)
	}
	return yes, err
}

// ask waits for a yes; anything else is a no.
func ask(cmd *cobra.Command, answers *bufio.Reader, question string) (bool, error) {
	fmt.Fprintf(cmd.ErrOrStderr(), "\n%s [y/N] ", question)
	type line struct {
		text string
		err  error
	}
	typed := make(chan line, 1)
	go func() { // which Ctrl-C does not end
		text, err := answers.ReadString('\n')
		typed <- line{text, err}
	}()
	select {
	case <-cmd.Context().Done():
		fmt.Fprintln(cmd.ErrOrStderr(), "\nNothing was written.")
		return false, exitError(exitInterrupted)
	case answer := <-typed:
		if answer.err != nil && !errors.Is(answer.err, io.EOF) {
			return false, fmt.Errorf("reading the answer: %w", answer.err)
		}
		text := strings.ToLower(strings.TrimSpace(answer.text))
		return text == "y" || text == "yes", nil
	}
}

func isTerminal(stream any) bool {
	f, ok := stream.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}
