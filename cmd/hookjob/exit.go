package main

import (
	"fmt"

	"github.com/arc-cleanup/arc-cleanup/internal/plan"
)

// Exit codes. The chart's podFailurePolicy knows them: a refusal is not retried.
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
  0    done, nothing is left, or switched off; of plan: there is nothing to do
  1    failed: the API server could not be reached or read
  2    wrong usage
  3    refused by a guard; the reason and what to do are printed
  4    residue: something is left, and named
  5    not permitted: a right is missing, and named
  6    the time budget is used up; run it again to go on
  7    of plan: there is something to do
  130  interrupted; run it again to go on`

// exitError is a result that was already printed; only the code is left to say.
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
