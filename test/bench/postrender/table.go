package main

import (
	"fmt"

	"github.com/arc-cleanup/arc-cleanup/test/bench/page"
)

// pageTable is the one of docs/performance.md: for each stream the results of all tools, of which
// arc-postrender is the first.
func pageTable(tools []tool, streams []stream, results [][]result, versions ...string) page.Table {
	t := page.Table{Command: "make bench-postrender", Versions: versions, Header: []string{"stream"}}
	for _, tool := range tools {
		t.Header = append(t.Header, "`"+tool.name+"`")
	}
	t.Header = append(t.Header, "memory of `arc-postrender`")
	for i, s := range streams {
		ours := results[i][0]
		cells := []string{s.name}
		for j, r := range results[i] {
			switch {
			case j == 0:
				cells = append(cells, "1")
			case r.took >= patience:
				cells = append(cells, "over "+page.Ratio(patience, ours.took))
			default:
				cells = append(cells, page.Ratio(r.took, ours.took))
			}
		}
		memory := "" // that of a small stream is the program's own
		if s.size >= largest {
			memory = fmt.Sprintf("%.1f times the stream", float64(ours.memory)/float64(s.size))
		}
		t.Rows = append(t.Rows, append(cells, memory))
	}
	t.After = fmt.Sprintf("A ratio is the time divided by that of `arc-postrender`. A tool that takes longer than %.0f s is stopped.", patience.Seconds())
	return t
}
