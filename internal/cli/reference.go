package cli

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// Reference returns a page of Markdown about a command and its subcommands, made from their help. With an
// environment prefix, it names the variables that set their flags.
func Reference(root *cobra.Command, environment string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "<!-- Written by `make docs` from the commands themselves. -->\n\n# %s\n", root.Name())
	each(root, func(cmd *cobra.Command) {
		if cmd.Hidden || cmd.Name() == "help" || cmd.Name() == "completion" || cmd.HasParent() && cmd.Parent().Name() == "completion" {
			return
		}
		if cmd != root {
			fmt.Fprintf(&b, "\n## %s\n\n%s.\n", cmd.CommandPath(), cmd.Short)
		}
		text := cmd.Long
		if cmd != root {
			text, _, _ = strings.Cut(text, "\n\nExit codes:") // the root has them
		}
		// The text is laid out for a terminal, so it stays as it is.
		if text != "" {
			fmt.Fprintf(&b, "\n```text\n%s\n```\n", text)
		}
		if cmd.Runnable() {
			fmt.Fprintf(&b, "\n```text\n%s\n```\n", cmd.UseLine())
		}
		if cmd.Example != "" {
			fmt.Fprintf(&b, "\n```sh\n%s\n```\n", unindent(cmd.Example))
		}
		if flags := flagTable(cmd, environment); flags != "" && cmd.Runnable() {
			fmt.Fprintf(&b, "\n%s", flags)
		}
	})
	return b.String()
}

func flagTable(cmd *cobra.Command, environment string) string {
	var b strings.Builder
	cmd.Flags().VisitAll(func(f *pflag.Flag) {
		if f.Hidden || f.Name == "help" || f.Name == "version" {
			return
		}
		if b.Len() == 0 {
			b.WriteString("| flag | default | |\n|---|---|---|\n")
		}
		kind, usage := pflag.UnquoteUsage(f)
		name := "--" + f.Name
		if kind != "" {
			name += " " + kind
		}
		if f.Shorthand != "" {
			name = "-" + f.Shorthand + ", " + name
		}
		cell := strings.ReplaceAll("`"+name+"`", "|", `\|`)
		if environment != "" {
			cell += "<br>`" + Variable(environment, f.Name) + "`"
		}
		fallback := ""
		if f.DefValue != "" && f.DefValue != "[]" {
			fallback = "`" + f.DefValue + "`"
		}
		fmt.Fprintf(&b, "| %s | %s | %s |\n", cell, fallback, strings.ReplaceAll(usage, "|", `\|`))
	})
	return b.String()
}

// Variable is the environment variable that sets a flag.
func Variable(prefix, flag string) string {
	return prefix + strings.ToUpper(strings.ReplaceAll(flag, "-", "_"))
}

func unindent(text string) string {
	lines := strings.Split(text, "\n")
	for i, line := range lines {
		lines[i] = strings.TrimPrefix(line, "  ")
	}
	return strings.Join(lines, "\n")
}
