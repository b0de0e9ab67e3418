package main

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestPageTable(t *testing.T) {
	t.Parallel()
	table := pageTable([]tool{{name: "arc-postrender"}, {name: "kustomize"}}, []stream{{name: "small", size: 1000}, {name: "10 MB", size: largest}}, [][]result{
		{{10 * time.Millisecond, 5e6}, {25 * time.Millisecond, 9e6}},
		{{300 * time.Millisecond, 2.5e7}, {patience, 0}},
	})
	want := [][]string{{"small", "1", "2.50", ""}, {"10 MB", "1", "over 200", "2.5 times the stream"}}
	if diff := cmp.Diff(want, table.Rows); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]string{"stream", "`arc-postrender`", "`kustomize`", "memory of `arc-postrender`"}, table.Header); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}
