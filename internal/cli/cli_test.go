package cli

import (
	"bytes"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

type colour string

func newTree() *cobra.Command {
	root := &cobra.Command{Use: "paint", Long: "Paint things.\n\nExit codes:\n  0  dry"}
	sub := &cobra.Command{
		Use: "wall NAME", Short: "Paint a wall", Long: "Wall paints a wall.\n\nExit codes:\n  0  dry", Example: "  paint wall north\n  # again\n  paint wall north",
		Args: cobra.ExactArgs(1), Run: func(*cobra.Command, []string) {},
	}
	sub.Flags().Duration("dry", 0, "how long")
	sub.Flags().Bool("twice", false, "again")
	hidden := &cobra.Command{Use: "ceiling", Hidden: true, Args: cobra.NoArgs, Run: func(*cobra.Command, []string) {}}
	root.AddCommand(sub, hidden)
	OneOf(sub.Flags(), new(colour), "in-colour", "c", "", "which `colour|mix`", "red", "green", "blue")
	sub.Flags().String("list", "", "file of walls")
	sub.Flags().Int("coats", 2, "how many")
	Finish(root, "list")
	return root
}

func TestOneOf(t *testing.T) {
	tests := map[string]struct {
		args []string
		want colour
		err  string
	}{
		"nothing":        {nil, "", ""},
		"a word":         {[]string{"-c", "green"}, "green", ""},
		"the fallback":   {[]string{"--in-colour="}, "", ""},
		"another word":   {[]string{"--in-colour", "pink"}, "", `invalid argument "pink" for "-c, --in-colour" flag: must be red, green or blue`},
		"a part of one":  {[]string{"--in-colour", "re"}, "", "must be red, green or blue"},
		"the wrong case": {[]string{"--in-colour", "Red"}, "", "must be red, green or blue"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			var got colour
			fs := pflag.NewFlagSet("paint", pflag.ContinueOnError)
			OneOf(fs, &got, "in-colour", "c", "", "which", "red", "green", "blue")
			err := fs.Parse(test.args)
			if (err == nil) != (test.err == "") || err != nil && !strings.Contains(err.Error(), test.err) {
				t.Errorf("error %v, want %q", err, test.err)
			}
			if got != test.want {
				t.Errorf("got %q, want %q", got, test.want)
			}
		})
	}
}

func TestCompletion(t *testing.T) {
	tests := map[string]struct {
		args []string
		want string
	}{
		"words of a flag":   {[]string{"wall", "--in-colour", ""}, "red\ngreen\nblue\n:4\n"},
		"nothing free":      {[]string{"wall", "--coats", ""}, ":4\n"},
		"files":             {[]string{"wall", "--list", ""}, ":0\n"},
		"no files as names": {[]string{"wall", ""}, ":4\n"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			root := newTree()
			var out bytes.Buffer
			root.SetOut(&out)
			root.SetErr(&bytes.Buffer{})
			root.SetArgs(append([]string{cobra.ShellCompRequestCmd}, test.args...))
			if err := root.Execute(); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(test.want, out.String()); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestReference(t *testing.T) {
	root := newTree()
	const want = "<!-- Written by `make docs` from the commands themselves. -->\n\n" + `# paint

~~~text
Paint things.

Exit codes:
  0  dry
~~~

## paint wall

Paint a wall.

~~~text
Wall paints a wall.
~~~

~~~text
paint wall NAME [flags]
~~~

~~~sh
paint wall north
# again
paint wall north
~~~

| flag | default | |
|---|---|---|
| ·--coats int·<br>·P_COATS· | ·2· | how many |
| ·--dry duration·<br>·P_DRY· | ·0s· | how long |
| ·-c, --in-colour colour\|mix·<br>·P_IN_COLOUR· |  | which colour\|mix |
| ·--list string·<br>·P_LIST· |  | file of walls |
| ·--twice·<br>·P_TWICE· | ·false· | again |
`
	if diff := cmp.Diff(strings.NewReplacer("~~~", "```", "·", "`").Replace(want), Reference(root, "P_")); diff != "" {
		t.Error(diff)
	}
}

func TestWrongUsage(t *testing.T) {
	for name, test := range map[string]struct {
		args []string
		want string
	}{
		"nothing wrong":     {[]string{"wall", "north"}, ""},
		"no argument":       {[]string{"wall"}, "NAME is missing: type paint wall NAME"},
		"one too many":      {[]string{"wall", "north", "south"}, `wall takes one argument, and got "south" too: type paint wall NAME`},
		"none is taken":     {[]string{"ceiling", "low"}, `ceiling takes no argument, and got "low": type paint ceiling`},
		"a wrong word":      {[]string{"wall", "north", "-c", "pink"}, `--in-colour "pink": must be red, green or blue`},
		"a wrong time":      {[]string{"wall", "north", "--dry", "soon"}, `--dry "soon": must be a time such as 90s, 5m or 1h30m`},
		"a wrong switch":    {[]string{"wall", "north", "--twice=often"}, `--twice "often": must be true or false`},
		"no value":          {[]string{"wall", "north", "--coats"}, "--coats needs a value"},
		"no value of -c":    {[]string{"wall", "north", "-c"}, "--in-colour needs a value"},
		"an unknown flag":   {[]string{"wall", "--wet"}, "unknown flag: --wet"},
		"a command of none": {[]string{"door"}, `unknown command "door" for "paint"`},
		"help of none":      {[]string{"help", "door"}, `unknown command "door" for "paint"`},
		"help":              {[]string{"help", "wall"}, ""},
		"a shell of none":   {[]string{"completion", "tcsh"}, `completion "tcsh": must be bash, fish, powershell or zsh`},
		"a word too many":   {[]string{"completion", "zsh", "x"}, `zsh takes no argument, and got "x": type paint completion zsh`},
		"no shell":          {[]string{"completion"}, ""},
		"a shell":           {[]string{"completion", "zsh"}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			root := newTree()
			root.SilenceErrors, root.SilenceUsage = true, true
			root.SetArgs(test.args)
			var out bytes.Buffer
			root.SetOut(&out)
			Strict(root, test.args)
			got := ""
			if err := root.Execute(); err != nil {
				got = err.Error()
				if out.Len() > 0 {
					t.Errorf("printed beside the error:\n%s", out.String())
				}
			}
			if got != test.want {
				t.Errorf("got %q, want %q", got, test.want)
			}
		})
	}
}
