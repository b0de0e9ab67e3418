package main

import (
	"fmt"
	"strings"
	"time"

	"github.com/arc-cleanup/arc-cleanup/test/bench/page"
)

// A result is what was measured with a number of runners.
type result struct {
	runners                       int
	ours, bare, cheapest, kubectl time.Duration
	// phases are the parts of ours, by the names of internal/plan/phases.go.
	phases map[string]time.Duration
	memory int64 // of ours, at most, in bytes
}

// table is the one of docs/performance.md.
func table(results []result, versions ...string) page.Table {
	t := page.Table{Command: "make bench", Versions: versions, Header: []string{"time"}}
	rows := []struct {
		what string
		cell func(result) string
	}{
		{"`arc-cleanup run`, from its start until the CRDs are gone", func(result) string { return "1" }},
		{"of it: removing finalizers", func(r result) string { return page.Ratio(r.phases["free"], r.ours) }},
		{"of it: deleting the CRDs, until they are gone", func(r result) string { return page.Ratio(r.phases["crds"], r.ours) }},
		{"of it: everything else, which is reading the cluster before and after", func(r result) string { return page.Ratio(r.ours-r.phases["free"]-r.phases["crds"], r.ours) }},
		{"ideal client, finalizer patches only", func(r result) string { return page.Ratio(r.bare, r.ours) }},
		{"ideal client, the cheapest patches only", func(r result) string { return page.Ratio(r.cheapest, r.ours) }},
		{"kubectl, patches only", func(r result) string { return page.Ratio(r.kubectl, r.ours) }},
		{"client-go's default limit, patches only", func(r result) string { return page.Ratio(atDefaultLimit(r.runners), r.ours) }},
		{"memory of `arc-cleanup run`, at most", func(r result) string { return fmt.Sprintf("%d MiB", r.memory>>20) }},
	}
	for _, row := range rows {
		cells := []string{row.what}
		for _, r := range results {
			cells = append(cells, row.cell(r))
		}
		t.Rows = append(t.Rows, cells)
	}
	for _, r := range results {
		t.Header = append(t.Header, thousands(r.runners)+" runners")
	}
	most := results[len(results)-1]
	t.After = fmt.Sprintf("A ratio is the time divided by that of `arc-cleanup run`. With %s runners, the whole run takes %s times as\nlong as the bare patches of an ideal client. Patches with kubectl take %.0f times as long as the whole run.",
		thousands(most.runners), page.Ratio(most.ours, most.bare), float64(most.kubectl)/float64(most.ours))
	return t
}

// atDefaultLimit is how long one patch for each runner takes with client-go's default limit.
func atDefaultLimit(runners int) time.Duration {
	return time.Duration(runners) * time.Second / defaultQPS
}

func thousands(n int) string {
	text := fmt.Sprint(n)
	for at := len(text) - 3; at > 0; at -= 3 {
		text = strings.Join([]string{text[:at], text[at:]}, ",")
	}
	return text
}
