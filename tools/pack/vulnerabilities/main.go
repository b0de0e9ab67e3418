// Command vulnerabilities has govulncheck look at every module of the repository, and fails for
// each known vulnerability whose code is called, unless a file accepts it with a reason:
//
//	go -C tools/pack run ./vulnerabilities --govulncheck FILE --accepted FILE MODULE-FOLDER...
//
// Where the database of vulnerabilities cannot be reached it says so loudly, and fails only with --required.
package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"

	"github.com/arc-cleanup/arc-cleanup/tools/pack"
)

// Options is one invocation, parsed.
type Options struct {
	Govulncheck, Database, Accepted, Root string
	Modules                               []string
	Required                              bool
}

func main() { pack.Main("vulnerabilities", parseArgs, run) }

func parseArgs(args []string, _ string) (Options, error) {
	var opts Options
	flags := flag.NewFlagSet("vulnerabilities", flag.ContinueOnError)
	flags.StringVar(&opts.Govulncheck, "govulncheck", "", "`file` of the program")
	flags.StringVar(&opts.Database, "db", "https://vuln.go.dev", "`URL` of the database")
	flags.StringVar(&opts.Accepted, "accepted", "", "`file` with a line ID REASON for each vulnerability that is accepted")
	flags.BoolVar(&opts.Required, "required", false, "fail where the database cannot be reached")
	flags.StringVar(&opts.Root, "root", "../..", "`folder` that holds the modules")
	if err := flags.Parse(args); err != nil {
		return Options{}, err
	}
	if opts.Govulncheck == "" || opts.Accepted == "" || flags.NArg() == 0 {
		return Options{}, errors.New("--govulncheck, --accepted and at least one MODULE-FOLDER are needed")
	}
	opts.Modules = flags.Args()
	return opts, nil
}

var errUnreachable = errors.New("the database of vulnerabilities cannot be reached")

func run(out io.Writer, opts Options) error {
	text, err := os.ReadFile(opts.Accepted)
	if err != nil {
		return err
	}
	accepted, err := parseAccepted(string(text))
	if err != nil {
		return fmt.Errorf("%s: %w", opts.Accepted, err)
	}
	known, complete := map[string]*vulnerability{}, true
	for _, module := range opts.Modules {
		found, err := scan(opts, filepath.Join(opts.Root, module))
		if errors.Is(err, errUnreachable) && !opts.Required {
			fmt.Fprintf(out, "!!! NOT CHECKED: vulnerabilities of %s, and of what comes after it. %v\n", module, err)
			complete = false
			break // What is known until now counts.
		}
		if err != nil {
			return fmt.Errorf("%s: %w", module, err)
		}
		fmt.Fprintf(out, "%s: %d known\n", module, len(found))
		for id, v := range found {
			if known[id] == nil {
				known[id] = v
			}
			known[id].modules = append(known[id].modules, module)
		}
	}
	return judge(out, known, accepted, complete)
}

// judge prints what is known, and fails for what nobody has accepted, and, if every module was looked at, for what is
// accepted for nothing.
func judge(out io.Writer, known map[string]*vulnerability, accepted map[string]string, complete bool) error {
	var bad []error
	for _, id := range slices.Sorted(maps.Keys(known)) {
		v := known[id]
		about := fmt.Sprintf("%s in %s: %s (fixed in %s), called by %s", id, v.in, v.summary, v.fixed, strings.Join(v.modules, ", "))
		if reason, ok := accepted[id]; ok {
			fmt.Fprintf(out, "accepted: %s\n  because: %s\n", about, reason)
		} else {
			bad = append(bad, errors.New(about))
		}
	}
	for _, id := range slices.Sorted(maps.Keys(accepted)) {
		if complete && known[id] == nil {
			bad = append(bad, fmt.Errorf("%s is accepted, and nothing calls it any more: remove the line", id))
		}
	}
	return errors.Join(bad...)
}

// parseAccepted reads lines of an ID and a reason; # begins a comment.
func parseAccepted(text string) (map[string]string, error) {
	accepted := map[string]string{}
	for line := range strings.Lines(text) {
		if line = strings.TrimSpace(line); line == "" || line[0] == '#' {
			continue
		}
		id, reason, _ := strings.Cut(line, " ")
		if reason = strings.TrimSpace(reason); !strings.HasPrefix(id, "GO-") || reason == "" {
			return nil, fmt.Errorf("%q: want GO-YEAR-NUMBER REASON", line)
		}
		accepted[id] = reason
	}
	return accepted, nil
}

type vulnerability struct {
	summary, in, fixed string
	modules            []string
}

// scan returns what the code of a module, or of the tools that it pins, calls.
func scan(opts Options, module string) (map[string]*vulnerability, error) {
	patterns, err := packages(module)
	if err != nil || len(patterns) == 0 {
		return nil, err
	}
	check := exec.Command(opts.Govulncheck, append([]string{"-db", opts.Database, "-format", "json", "-C", module}, patterns...)...)
	var stdout, stderr bytes.Buffer
	check.Stdout, check.Stderr = &stdout, &stderr
	if err := check.Run(); err != nil {
		if strings.Contains(stderr.String(), "fetching vulnerabilities") {
			return nil, fmt.Errorf("%w: %s", errUnreachable, strings.TrimSpace(stderr.String()))
		}
		return nil, fmt.Errorf("govulncheck: %w\n%s", err, stderr.Bytes())
	}
	return parse(&stdout)
}

// packages are those of the module, and the tools that it pins. One that is only there for files of another module has
// neither, which govulncheck would call an error.
func packages(module string) (patterns []string, err error) {
	text, err := os.ReadFile(filepath.Join(module, "go.mod"))
	if err != nil {
		return nil, err
	}
	if bytes.Contains(text, []byte("\ntool ")) {
		patterns = append(patterns, "tool")
	}
	list := exec.Command("go", "list", "./...")
	list.Dir = module
	var stderr bytes.Buffer
	list.Stderr = &stderr
	own, err := list.Output()
	if err != nil {
		return nil, fmt.Errorf("go list: %w\n%s", err, stderr.Bytes())
	}
	if len(own) > 0 {
		patterns = append(patterns, "./...")
	}
	return patterns, nil
}

// parse reads what govulncheck says as JSON: what it knows, and where in the code it is called.
func parse(r io.Reader) (map[string]*vulnerability, error) {
	summaries, found := map[string]string{}, map[string]*vulnerability{}
	for decoder := json.NewDecoder(r); ; {
		var message struct {
			OSV     *struct{ ID, Summary string }
			Finding *struct {
				OSV          string
				FixedVersion string `json:"fixed_version"`
				Trace        []struct{ Module, Function string }
			}
		}
		err := decoder.Decode(&message)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, fmt.Errorf("the output of govulncheck: %w", err)
		}
		if o := message.OSV; o != nil {
			summaries[o.ID] = o.Summary
		}
		// Without a function it is only there, and nothing calls it.
		if f := message.Finding; f != nil && len(f.Trace) > 0 && f.Trace[0].Function != "" {
			found[f.OSV] = &vulnerability{in: f.Trace[0].Module, fixed: f.FixedVersion}
		}
	}
	for id, v := range found {
		v.summary = summaries[id]
		if v.fixed == "" {
			v.fixed = "no version"
		}
	}
	return found, nil
}
