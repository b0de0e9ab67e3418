package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"
	"unsafe"

	"github.com/arc-cleanup/arc-cleanup/internal/cleanup"
)

// terminal is a terminal on which somebody typed this.
func terminal(t *testing.T, typed string) *os.File {
	t.Helper()
	master, err := os.OpenFile("/dev/ptmx", os.O_RDWR|syscall.O_NOCTTY, 0)
	if err != nil {
		t.Skipf("no pseudo terminals here: %v", err)
	}
	t.Cleanup(func() { _ = master.Close() })
	var unlock, number uint32
	control := func(request uintptr, value *uint32) {
		if _, _, errno := syscall.Syscall(syscall.SYS_IOCTL, master.Fd(), request, uintptr(unsafe.Pointer(value))); errno != 0 {
			t.Skipf("no pseudo terminals here: %v", errno)
		}
	}
	control(syscall.TIOCSPTLCK, &unlock)
	control(syscall.TIOCGPTN, &number)
	side, err := os.OpenFile(fmt.Sprintf("/dev/pts/%d", number), os.O_RDWR|syscall.O_NOCTTY, 0)
	if err != nil {
		t.Skipf("no pseudo terminals here: %v", err)
	}
	t.Cleanup(func() { _ = side.Close() })
	if _, err := master.WriteString(typed); err != nil {
		t.Fatal(err)
	}
	return side
}

func TestRunByHandAsksFirst(t *testing.T) {
	t.Parallel()
	const question = "Do this? [y/N] "
	tests := map[string]struct {
		api     *api
		typed   string
		args    []string
		code    int
		asked   bool
		deleted int
		stderr  string
	}{
		"yes":                  {withCRDs(), "yes\n", nil, exitDone, true, 4, "done: nothing of ARC is left"},
		"y":                    {withCRDs(), " Y \n", nil, exitDone, true, 4, `(context "test")`},
		"no":                   {withCRDs(), "n\n", nil, exitRefused, true, 0, "Nothing was written."},
		"nothing is no":        {withCRDs(), "\n", nil, exitRefused, true, 0, "Nothing was written."},
		"anything else is no":  {withCRDs(), "yesterday\n", nil, exitRefused, true, 0, "Nothing was written."},
		"the end of input":     {withCRDs(), "\x04", nil, exitRefused, true, 0, "Nothing was written."},
		"not with --yes":       {withCRDs(), "n\n", []string{"--yes"}, exitDone, false, 4, "done"},
		"not with nothing":     {&api{}, "n\n", nil, exitDone, false, 0, "Nothing to do."},
		"not when it refuses":  {mixed(), "y\n", nil, exitRefused, false, 0, "REFUSED: scale set live"},
		"nor without a right":  {&api{fail: map[string]int{"LIST pod": http.StatusForbidden}}, "y\n", nil, exitNotPermitted, false, 0, "NOT PERMITTED"},
		"nor what is not read": {&api{fail: map[string]int{"LIST pod": http.StatusConflict}}, "y\n", nil, exitFailed, false, 0, "FAILED"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			args := append([]string{"run", "-A", "--kubeconfig", test.api.kubeconfig(t)}, test.args...)
			got := command(t.Context(), terminal(t, test.typed), args...)
			if got.code != test.code || strings.Contains(got.stderr, question) != test.asked || !strings.Contains(got.stderr, test.stderr) {
				t.Errorf("exit code %d, want %d:\n%s", got.code, test.code, got.stderr)
			}
			if !test.asked && test.args == nil && strings.Contains(got.stderr, "arc-cleanup begins") {
				t.Errorf("went on without asking:\n%s", got.stderr)
			}
			if len(test.api.deleted()) != test.deleted {
				t.Errorf("deleted %q", test.api.deleted())
			}
		})
	}
}

// questioned is called at the question, before the answer is read.
type questioned struct {
	bytes.Buffer
	do func()
}

func (q *questioned) Write(p []byte) (int, error) {
	if bytes.Contains(p, []byte("Do this?")) {
		q.do()
	}
	return q.Buffer.Write(p)
}

// The time in which you look at the plan is not the run's.
func TestTheBudgetBeginsWithTheAnswer(t *testing.T) {
	t.Parallel()
	a := withCRDs()
	stderr := &questioned{do: func() { time.Sleep(3 * time.Second) }}
	code := execute(t.Context(), []string{"run", "-A", "--budget", "3s", "--kubeconfig", a.kubeconfig(t)}, terminal(t, "yes\n"), io.Discard, stderr)
	if code != exitDone || len(a.deleted()) != 4 {
		t.Errorf("exit code %d, deleted %q\n%s", code, a.deleted(), stderr)
	}
}

// Ctrl-C at the question ends it at once, as at any other moment.
func TestInterruptedAtTheQuestion(t *testing.T) {
	t.Parallel()
	a := withCRDs()
	ctx, cancel := context.WithCancelCause(t.Context())
	stderr := &questioned{do: func() { cancel(cleanup.ErrInterrupted) }}
	code := execute(ctx, []string{"run", "-A", "--kubeconfig", a.kubeconfig(t)}, terminal(t, ""), io.Discard, stderr)
	if code != exitInterrupted || len(a.deleted()) > 0 || !strings.Contains(stderr.String(), "Nothing was written.") {
		t.Errorf("exit code %d, deleted %q\n%s", code, a.deleted(), stderr)
	}
}
