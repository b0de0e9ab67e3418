package cli

import (
	"errors"
	"fmt"
	"regexp"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// UsageError is a mistake on the command line.
type UsageError struct{ error }

// Wrong makes an error one about the command line.
func Wrong(err error) UsageError { return UsageError{err} }

func (e UsageError) Unwrap() error { return e.error }

// FlagError words pflag's errors as arc-cleanup's own: the flag, what was typed, and what to type.
func FlagError(err error) error {
	var (
		invalid *pflag.InvalidValueError
		missing *pflag.ValueRequiredError
	)
	switch {
	case errors.As(err, &missing):
		return fmt.Errorf("--%s needs a value", missing.GetFlag().Name)
	case errors.As(err, &invalid):
		return fmt.Errorf("--%s %q: %w", invalid.GetFlag().Name, invalid.GetValue(), wanted(invalid))
	}
	return err
}

// wanted says what a flag takes.
func wanted(invalid *pflag.InvalidValueError) error {
	switch invalid.GetFlag().Value.Type() {
	case "duration":
		return errors.New("must be a time such as 90s, 5m or 1h30m")
	case "bool":
		return errors.New("must be true or false")
	}
	return invalid.Unwrap()
}

// argument matches the name of an argument in a usage line.
var argument = regexp.MustCompile(`^\[?[A-Z]+\]?$`)

// arguments returns a check that says what to type. The commands take one argument at most, which the usage
// line names after the command.
func arguments(check cobra.PositionalArgs) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if check(cmd, args) == nil {
			return nil
		}
		words := strings.Fields(cmd.Use)
		line := strings.TrimSuffix(cmd.UseLine(), " [flags]")
		switch {
		case len(words) < 2 || !argument.MatchString(words[1]):
			return Wrong(fmt.Errorf("%s takes no argument, and got %q: type %s", words[0], args[0], line))
		case len(args) == 0:
			return Wrong(fmt.Errorf("%s is missing: type %s", words[1], line))
		}
		return Wrong(fmt.Errorf("%s takes one argument, and got %q too: type %s", words[0], args[1], line))
	}
}

// Strict adds the commands help and completion, which are cobra's. Of a word that they do not know, cobra makes a
// help text and a success: a shell that reads the completion would run the text. Call it when the output is set,
// because completion keeps the one of that moment.
func Strict(root *cobra.Command, args []string) {
	root.InitDefaultHelpCmd()
	root.InitDefaultCompletionCmd(args...)
	for _, cmd := range root.Commands() {
		switch cmd.Name() {
		case "help":
			cmd.Args = func(cmd *cobra.Command, words []string) error {
				if _, _, err := cmd.Root().Find(words); err != nil {
					return Wrong(err)
				}
				return nil
			}
		case "completion":
			cmd.Args, cmd.RunE = knownWord, func(cmd *cobra.Command, _ []string) error { return cmd.Help() }
			for _, shell := range cmd.Commands() {
				shell.Args = arguments(cobra.NoArgs)
			}
		}
	}
}

// knownWord refuses a word that is none of the subcommands, and names these.
func knownWord(cmd *cobra.Command, words []string) error {
	if len(words) == 0 {
		return nil
	}
	var known []string
	for _, sub := range cmd.Commands() {
		known = append(known, sub.Name())
	}
	last := len(known) - 1
	return Wrong(fmt.Errorf("%s %q: must be %s or %s", cmd.Name(), words[0], strings.Join(known[:last], ", "), known[last]))
}
