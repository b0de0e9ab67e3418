package main

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"

	"github.com/arc-cleanup/arc-cleanup/internal/shell"
)

// printJSON prints a document as JSON.
func printJSON(w io.Writer, document any) error {
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	return e.Encode(document)
}

// table prints rows under a heading.
func table[T any](w io.Writer, heading []string, rows []T, cells func(T) []any) {
	t := tabwriter.NewWriter(w, 0, 0, 3, ' ', 0)
	fmt.Fprintln(t, strings.Join(heading, "\t"))
	for _, row := range rows {
		for i, cell := range cells(row) {
			if i > 0 {
				fmt.Fprint(t, "\t")
			}
			fmt.Fprint(t, shell.Visible(fmt.Sprint(cell)))
		}
		fmt.Fprintln(t)
	}
	// A table that cannot be written cannot be reported on the same stream.
	_ = t.Flush()
}

// printCommands prints what to do, a line each, below what it is about.
func printCommands(w io.Writer, commands []string) {
	for _, do := range commands {
		fmt.Fprintf(w, "    %s\n", shell.Visible(asCalled(do)))
	}
}
