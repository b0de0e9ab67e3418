// Package cli is what both programs share: flags that take one of several words, completion, errors about wrong
// usage, and the generated reference.
package cli

import (
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// choice is a flag that takes one of some words.
type choice[T ~string] struct {
	target   *T
	fallback T
	words    []T
}

// OneOf adds a flag that takes one of some words. The fallback may be empty, if the default depends on other
// flags.
func OneOf[T ~string](fs *pflag.FlagSet, target *T, name, shorthand string, fallback T, usage string, words ...T) {
	*target = fallback
	fs.VarP(&choice[T]{target, fallback, words}, name, shorthand, usage)
}

func (c *choice[T]) String() string { return string(*c.target) }

// Type stands for the value in the help.
func (c *choice[T]) Type() string { return strings.Join(c.Words(), "|") }

func (c *choice[T]) Set(word string) error {
	if T(word) != c.fallback && !slices.Contains(c.words, T(word)) {
		words := c.Words()
		last := len(words) - 1
		return fmt.Errorf("must be %s or %s", strings.Join(words[:last], ", "), words[last])
	}
	*c.target = T(word)
	return nil
}

func (c *choice[T]) Words() []string {
	words := make([]string, len(c.words))
	for i, w := range c.words {
		words[i] = string(w)
	}
	return words
}

// helpColumns is where the help's lines are wrapped.
const helpColumns = "100"

// Finish prepares a command and its subcommands for people: a help that fits a terminal, errors that say what to
// type, and completion. Completion offers the words of a flag, and files only for the flags in fileFlags.
func Finish(root *cobra.Command, fileFlags ...string) {
	root.SetUsageTemplate(strings.ReplaceAll(root.UsageTemplate(), ".FlagUsages ", ".FlagUsagesWrapped "+helpColumns+" "))
	root.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return Wrong(FlagError(err)) })
	each(root, func(cmd *cobra.Command) {
		if cmd.Args != nil {
			cmd.Args = arguments(cmd.Args)
		}
		if cmd.ValidArgsFunction == nil {
			cmd.ValidArgsFunction = cobra.NoFileCompletions
		}
		cmd.Flags().VisitAll(func(f *pflag.Flag) {
			complete := cobra.NoFileCompletions
			if c, ok := f.Value.(interface{ Words() []string }); ok {
				complete = cobra.FixedCompletions(c.Words(), cobra.ShellCompDirectiveNoFileComp)
			}
			if _, has := cmd.GetFlagCompletionFunc(f.Name); has || slices.Contains(fileFlags, f.Name) {
				return
			}
			// It fails only for a flag that is not there, or has one already.
			_ = cmd.RegisterFlagCompletionFunc(f.Name, complete)
		})
	})
}

func each(cmd *cobra.Command, do func(*cobra.Command)) {
	do(cmd)
	for _, sub := range cmd.Commands() {
		each(sub, do)
	}
}
