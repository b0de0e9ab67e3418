package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"golang.org/x/sync/errgroup"

	"github.com/arc-cleanup/arc-cleanup/internal/kube"
	"github.com/arc-cleanup/arc-cleanup/internal/plan"
	"github.com/arc-cleanup/arc-cleanup/internal/shell"
	"github.com/arc-cleanup/arc-cleanup/internal/status"
	"github.com/arc-cleanup/arc-cleanup/internal/upgrade"
)

// contexts are the contexts of a kubeconfig that a command which only reads looks at.
type contexts struct {
	cluster
	all bool
}

func (c *contexts) register(f *pflag.FlagSet) {
	c.cluster.register(f)
	c.registerAll(f)
}

func (c *contexts) registerAll(f *pflag.FlagSet) {
	f.BoolVar(&c.all, "all-contexts", false, "look at the clusters of all contexts of the kubeconfig, in one table; to look at some only, give --context a,b instead")
}

// several returns the contexts to look at if there may be more than one; else none.
func (c *contexts) several(cmd *cobra.Command) ([]string, error) {
	names := strings.Split(c.context, ",")
	switch {
	case c.all && c.context != "":
		return nil, errors.New("--all-contexts and --context both say which clusters; give one")
	case !c.all && len(names) == 1:
		return nil, nil
	case slices.Contains(names, "") && !c.all:
		return nil, fmt.Errorf("--context %q: a context has a name", c.context)
	case underHelm() && os.Getenv("HELM_KUBEAPISERVER")+os.Getenv("HELM_KUBETOKEN") != "":
		return nil, errors.New("--kube-apiserver and --kube-token are for one cluster; leave them out to look at several contexts")
	}
	known, err := kube.Contexts(c.kubeconfig)
	if err != nil {
		return nil, failed(cmd, err)
	}
	switch {
	case c.all:
		return known, nil
	case slices.Contains(known, c.context): // a name with a comma in it
		return nil, nil
	}
	for _, name := range names {
		if !slices.Contains(known, name) {
			return nil, failed(cmd, fmt.Errorf("--context %s: the kubeconfig has no context %q: give some of %s", c.context, name, strings.Join(known, ", ")))
		}
	}
	slices.Sort(names)
	return slices.Compact(names), nil
}

// view is what a command sees through one context.
type view[T any] struct {
	Context  string `json:"context"`
	Server   string `json:"server,omitempty"`
	Error    string `json:"error,omitempty"`
	ExitCode int    `json:"exitCode"`
	// Document is what the command prints for one context; null if the cluster could not be reached.
	Document *T `json:"document"`
}

// views is the document about several contexts; see plan.DocumentVersion.
type views[T any] struct {
	Version  string             `json:"version"`
	Contexts plan.List[view[T]] `json:"contexts"`
}

// contextsAtOnce is how many clusters are looked at at the same time.
const contextsAtOnce = 8

// lookAt looks at the clusters of several contexts. A cluster that cannot be reached is in the result too.
func lookAt[T any](cmd *cobra.Command, c cluster, names []string, look func(context.Context, *kube.Client) (*T, int)) views[T] {
	all := make([]view[T], len(names))
	var g errgroup.Group
	g.SetLimit(contextsAtOnce)
	for i, name := range names {
		g.Go(func() error {
			v := &all[i]
			v.Context = name
			client, err := (&cluster{c.kubeconfig, name}).reach(cmd)
			if client != nil {
				v.Server = client.Server
			}
			if err == nil {
				v.Document, v.ExitCode = look(cmd.Context(), client)
			} else {
				v.Error, v.ExitCode = err.Error(), exitFailed
			}
			return nil
		})
	}
	_ = g.Wait() // the views say what failed
	return views[T]{"arc-cleanup/contexts/v1", all}
}

// worst returns the exit code for all contexts: that of the one with the worst.
func (v views[T]) worst() error {
	for _, code := range []int{exitInterrupted, exitFailed, exitNotPermitted, exitRefused, exitWork} {
		if slices.ContainsFunc(v.Contexts, func(v view[T]) bool { return v.ExitCode == code }) {
			return exitError(code)
		}
	}
	return nil
}

// unreached prints which clusters could not be reached.
func (v views[T]) unreached(w io.Writer) {
	for _, c := range v.Contexts {
		if c.Document == nil {
			fmt.Fprintf(w, "\nUNKNOWN: context %s: %s\n", shell.Visible(c.Context), shell.Visible(c.Error))
		}
	}
}

// printStatuses prints the status of several clusters in one table, and which command says more.
func printStatuses(w io.Writer, all views[statusDocument]) {
	var rows [][]any
	for _, c := range all.Contexts {
		switch d := c.Document; {
		case d == nil:
			rows = append(rows, []any{c.Context, "not reached", "", "", "", "", "", ""})
		case len(d.Releases) == 0:
			none := "none"
			if len(d.Unknown) > 0 {
				none = "none known" // see below what could not be read
			}
			rows = append(rows, []any{c.Context, none, "", "", "", "", "", len(d.Stuck)})
		default:
			for _, r := range d.Releases {
				ready := "no"
				if r.Uninstall.Ready {
					ready = "yes"
				}
				rows = append(rows, []any{c.Context, r.Name, r.Namespace, r.Installs, r.Chart.AppVersion, r.Hook.State, ready, len(d.Stuck)})
			}
		}
	}
	heading := []string{"CONTEXT", "RELEASE", "NAMESPACE", "INSTALLS", "APP", "HOOK", "UNINSTALL READY", "STUCK"}
	table(w, heading, rows, func(row []any) []any { return row })
	more := ""
	for _, c := range all.Contexts {
		if c.Document != nil && c.Document.Upgrade != nil {
			printWay(w, c.Context, c.Document.Upgrade)
			more = " --upgrade-to " + c.Document.Upgrade.Version
		}
	}
	all.unreached(w)
	for _, c := range all.Contexts {
		if c.Document != nil {
			printTroubles(w, c.Context, c.Document.Document)
		}
	}
	fmt.Fprintf(w, "\nMore about one: %s status --context NAME%s\n", called(), more)
}

// printTroubles prints which controllers of a context are down, and what is not known of it.
func printTroubles(w io.Writer, context string, d *status.Document) {
	for _, c := range d.Controllers {
		if c.Down != "" {
			fmt.Fprintf(w, "\nDOWN: context %s: the controller %s in namespace %s %s\n", shell.Visible(context), c.Name, c.Namespace, c.Down)
		}
	}
	for _, u := range d.Unknown {
		fmt.Fprintf(w, "\nUNKNOWN: context %s: %s\n", shell.Visible(context), shell.Visible(u))
	}
}

// printWay prints in one line how the releases of a context would be upgraded.
func printWay(w io.Writer, context string, f *upgrade.Forecast) {
	how := fmt.Sprintf("%s, because %s", f.Way, f.Why)
	if f.Way == upgrade.NoWay {
		how = "nothing to do: " + f.Why
	}
	fmt.Fprintf(w, "\nTo %s in context %s: %s\n", f.Version, shell.Visible(context), shell.Visible(how))
}

// statusDocument is the JSON document of status.
type statusDocument struct {
	*status.Document
	Upgrade *upgrade.Forecast `json:"upgrade,omitempty"`
}

// printPlans prints the plans for several clusters in one table.
func printPlans(w io.Writer, all views[plan.Plan]) {
	var rows [][]any
	for _, c := range all.Contexts {
		p := c.Document
		if p == nil {
			rows = append(rows, []any{c.Context, "-", "not reached", "", "", ""})
			continue
		}
		before := len(rows)
		for _, r := range p.Refusals {
			rows = append(rows, []any{c.Context, "-", string(r.Verdict), "", "", r.Message})
		}
		for _, phase := range p.Phases {
			for _, s := range phase.Steps() {
				rows = append(rows, []any{c.Context, phase.Name, s.Action, s.Object.Namespace, name(s.Object), asCalled(s.Why)})
			}
		}
		for _, k := range p.Kept {
			rows = append(rows, []any{c.Context, "-", "keep", k.Object.Namespace, name(k.Object), k.Why})
		}
		for _, r := range p.Remains {
			rows = append(rows, []any{c.Context, "-", "also there", "", "", r.What})
		}
		if len(rows) == before {
			rows = append(rows, []any{c.Context, "-", "nothing to do", "", "", ""})
		}
	}
	table(w, []string{"CONTEXT", "PHASE", "ACTION", "NAMESPACE", "OBJECT", "WHY"}, rows, func(row []any) []any { return row })
	all.unreached(w)
	if slices.ContainsFunc(all.Contexts, func(v view[plan.Plan]) bool { return v.ExitCode == exitWork }) {
		fmt.Fprintf(w, "\nTo do this in one cluster, give %s run the same flags and --context NAME.\n", called())
	}
}
