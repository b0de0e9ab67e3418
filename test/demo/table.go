package main

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"text/tabwriter"

	"github.com/arc-cleanup/arc-cleanup/test/harness"
)

// counts are numbers of objects by kind. What does not exist is not in it.
type counts map[string]int

// Rows of the table that are no kinds.
const (
	hanging    = "namespaces that hang"
	registered = "scale sets and runners at GitHub"
)

// column is what existed at one time.
type column struct {
	when string
	counts
}

// begin has count leave out what exists now.
func (d *demo) begin(ctx context.Context) (err error) {
	d.before, err = harness.Inventory(ctx, d.config)
	return err
}

// count tells how many objects of each kind there are that were not there at the beginning; namespaces apart.
func (d *demo) count(ctx context.Context) (counts, error) {
	now, err := harness.Inventory(ctx, d.config)
	if err != nil {
		return nil, err
	}
	c := counts{}
	for o := range now {
		mine := d.kubeContext == "" || o.Namespace == d.controllers || o.Namespace == d.runners || o.Namespace == ""
		if !d.before[o] && mine && o.Resource != "namespaces" {
			c[o.Resource]++
		}
	}
	if d.github != nil {
		if n := len(d.github.ScaleSets()) + len(d.github.Runners()); n > 0 {
			c[registered] = n
		}
	}
	return c, nil
}

// summary names what Helm leaves in one line.
func (c counts) summary() string {
	custom := c["autoscalinglisteners"] + c["autoscalingrunnersets"] + c["ephemeralrunners"] + c["ephemeralrunnersets"]
	return fmt.Sprintf("%d CRDs, %d custom resources, %d Pods, %d %s", c["customresourcedefinitions"], custom, c["pods"], c[registered], registered)
}

// table prints columns side by side, with a row for each kind of which there ever was an object.
func (d *demo) table(columns ...column) {
	rows := map[string]bool{}
	for _, c := range columns {
		for kind := range c.counts {
			rows[kind] = true
		}
	}
	kinds := slices.DeleteFunc(slices.Sorted(maps.Keys(rows)), func(row string) bool { return row == hanging || row == registered })
	for _, last := range []string{hanging, registered} {
		if rows[last] {
			kinds = append(kinds, last)
		}
	}
	w := tabwriter.NewWriter(d.out, 0, 0, 3, ' ', tabwriter.AlignRight)
	for _, c := range columns {
		fmt.Fprintf(w, "%s\t", c.when)
	}
	fmt.Fprintln(w)
	for _, kind := range kinds {
		for _, c := range columns {
			fmt.Fprintf(w, "%d\t", c.counts[kind])
		}
		fmt.Fprintf(w, "  %s\n", kind)
	}
	_ = w.Flush() // to a terminal
}

// nothingLeft fails if there is more than at the beginning.
func (d *demo) nothingLeft(ctx context.Context) error {
	left, err := d.count(ctx)
	if err == nil && len(left) > 0 {
		err = fmt.Errorf("something is left: %v", left)
	}
	return err
}
