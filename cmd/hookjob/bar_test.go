package main

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/arc-cleanup/arc-cleanup/internal/cleanup"
	"github.com/arc-cleanup/arc-cleanup/internal/plan"
)

func TestTheBarStaysBelowTheLog(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	b := &bar{out: &out}
	fmt.Fprintln(b, "before")
	b.show(cleanup.Progress{Phase: plan.PhaseFree, Done: 1, Total: 3})
	b.show(cleanup.Progress{Phase: plan.PhaseFree, Done: 2, Total: 3}) // too soon
	fmt.Fprintln(b, "meanwhile")
	b.drawn = time.Time{}
	b.show(cleanup.Progress{Phase: plan.PhaseFree, Done: 3, Total: 3})
	b.end()
	fmt.Fprintln(b, "after")

	third := "free       [" + strings.Repeat("#", 10) + strings.Repeat(".", 20) + "] 1/3"
	want := "before\n" + clearLine + third + clearLine + "meanwhile\n" + third +
		clearLine + "free       [" + strings.Repeat("#", 30) + "] 3/3" + clearLine + "after\n"
	if out.String() != want {
		t.Errorf("got  %q\nwant %q", out.String(), want)
	}
}

func TestTheBarCanShowNothing(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	b := &bar{out: &out}
	b.show(cleanup.Progress{})
	b.end()
	if out.Len() > 0 {
		t.Errorf("wrote %q", out.String())
	}
}
