package main

import (
	"fmt"

	"github.com/arc-cleanup/arc-cleanup/internal/plan"
)

// Exit codes. The chart's podFailurePolicy uses them: Kubernetes does not retry a refusal.
const (
	exitDone         = 0
	exitFailed       = 1
	exitUsage        = 2
	exitRefused      = 3
	exitResidue      = 4
	exitNotPermitted = 5
	exitOutOfTime    = 6
	exitWork         = 7
	exitInterrupted  = 130
)

const exitHelp = `Exit codes:
  0    done: nothing is left to do, or the hook is switched off
  1    failed: the API server could not be reached or read, or the output not written
  2    wrong usage
  3    refused; the reason and what to do are printed
  4    residue: something is left; the report names it
  5    not permitted: a right is missing; the report names it
  6    the time budget is used up; run it again to go on
  7    from plan, --dry-run, or from sweep or deregister without --yes: there is something to do
  130  interrupted; run it again to go on`

// exitError is the exit code of a result that is already printed.
type exitError int

func (e exitError) Error() string { return fmt.Sprintf("exit code %d", int(e)) }

func exitCode(v plan.Verdict) int {
	switch v {
	case plan.Done, plan.Off:
		return exitDone
	case plan.Refused:
		return exitRefused
	case plan.Residue:
		return exitResidue
	case plan.NotPermitted:
		return exitNotPermitted
	case plan.OutOfTime:
		return exitOutOfTime
	case plan.Interrupted:
		return exitInterrupted
	}
	return exitFailed
}
