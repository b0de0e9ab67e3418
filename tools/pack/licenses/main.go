// Command licenses writes the licences of everything that is linked into the programs, on
// any platform that they are published for:
//
//	go -C tools/pack run ./licenses --output ../../THIRD_PARTY_LICENSES.txt
//
// Versions are not in it: a new version of a module seldom has another licence, and the
// bill of materials names the versions.
package main

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/google/licensecheck"

	"github.com/arc-cleanup/arc-cleanup/tools/pack"
)

// The programs are published for these, and their modules differ.
var platforms = []string{"linux/amd64", "linux/arm64", "darwin/amd64", "darwin/arm64", "windows/amd64", "windows/arm64"}

// allowed may be linked into a program under Apache-2.0.
var allowed = []string{"Apache-2.0", "BSD-2-Clause", "BSD-3-Clause", "ISC", "MIT", "MPL-2.0"}

// standard is what the texts of Go's own library are listed under.
const standard = "Go's standard library"

// Options is one invocation, parsed.
type Options struct{ Output, Source string }

func main() { pack.Main("licenses", parseArgs, run) }

func parseArgs(args []string, _ string) (Options, error) {
	var opts Options
	flags := flag.NewFlagSet("licenses", flag.ContinueOnError)
	flags.StringVar(&opts.Output, "output", "", "`file` to write")
	flags.StringVar(&opts.Source, "source", "../..", "`folder` of the module whose commands are linked")
	if err := flags.Parse(args); err != nil {
		return Options{}, err
	}
	if opts.Output == "" || flags.NArg() > 0 {
		return Options{}, errors.New("--output is needed, and nothing else")
	}
	return opts, nil
}

func run(_ io.Writer, opts Options) error {
	text, err := generate(opts.Source)
	if err != nil {
		return err
	}
	return pack.WriteFile(opts.Output, text)
}

// generate returns the whole file.
func generate(source string) ([]byte, error) {
	folders := map[string][]string{} // by what is linked
	for _, platform := range platforms {
		if err := linked(source, platform, folders); err != nil {
			return nil, fmt.Errorf("listing what is linked for %s: %w", platform, err)
		}
	}
	texts, err := collect(folders)
	if err != nil {
		return nil, err
	}
	return render(texts), nil
}

// linked adds the folders in which a licence of a linked package can be: its own, and all
// up to the top of its module. A module may hold code of others, with their licences.
func linked(source, platform string, folders map[string][]string) error {
	goos, goarch, _ := strings.Cut(platform, "/")
	list := exec.Command("go", "list", "-deps", "-json=Dir,Standard,Module", "./cmd/...")
	list.Dir = source
	list.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS="+goos, "GOARCH="+goarch)
	var stderr bytes.Buffer
	list.Stderr = &stderr
	out, err := list.Output()
	if err != nil {
		return fmt.Errorf("%w\n%s", err, stderr.Bytes())
	}
	root, err := exec.Command("go", "env", "GOROOT").Output()
	if err != nil {
		return fmt.Errorf("go env GOROOT: %w", err)
	}
	for decoder := json.NewDecoder(bytes.NewReader(out)); ; {
		var p struct {
			Dir      string
			Standard bool
			Module   *struct {
				Path, Dir string
				Main      bool
			}
		}
		err := decoder.Decode(&p)
		switch {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return err
		case p.Standard:
			folders[standard] = []string{strings.TrimSpace(string(root))}
		case p.Module.Main:
		default:
			for dir := p.Dir; len(dir) >= len(p.Module.Dir); dir = filepath.Dir(dir) {
				if !slices.Contains(folders[p.Module.Path], dir) {
					folders[p.Module.Path] = append(folders[p.Module.Path], dir)
				}
			}
		}
	}
}

// A text is a file of legal words, and everything that comes with the same words.
type text struct {
	words   string
	license string // "" of a notice
	of      []string
}

// legal are the names of files with legal words; those of a licence are the first group.
var legal = regexp.MustCompile(`(?i)^(?:(licen[cs]e|copying)|copyright|notice|patents)([.-].*)?$`)

// collect reads the texts. Something without a licence, or with one that is not allowed, is an error.
func collect(folders map[string][]string) ([]text, error) {
	byWords := map[string]*text{}
	var bad []error
	for name, dirs := range folders {
		var licensed bool
		for _, dir := range dirs {
			entries, err := os.ReadDir(dir)
			if err != nil {
				return nil, err
			}
			for _, e := range entries {
				if e.IsDir() || !legal.MatchString(e.Name()) || filepath.Ext(e.Name()) == ".go" {
					continue
				}
				content, err := os.ReadFile(filepath.Join(dir, e.Name()))
				if err != nil {
					return nil, err
				}
				// Line ends differ, words do not.
				words := strings.TrimSpace(strings.ReplaceAll(string(content), "\r\n", "\n"))
				var license string
				if legal.FindStringSubmatch(e.Name())[1] != "" {
					licensed = true
					if license, err = classify(words); err != nil {
						bad = append(bad, fmt.Errorf("%s: %s: %w", name, e.Name(), err))
					}
				}
				if byWords[words] == nil {
					byWords[words] = &text{words: words, license: license}
				}
				if t := byWords[words]; !slices.Contains(t.of, name) {
					t.of = append(t.of, name)
				}
			}
		}
		if !licensed {
			bad = append(bad, fmt.Errorf("%s: no licence in it", name))
		}
	}
	var out []text
	for _, t := range byWords {
		slices.Sort(t.of)
		out = append(out, *t)
	}
	slices.SortFunc(out, func(a, b text) int {
		return cmp.Or(cmp.Compare(a.license, b.license), slices.Compare(a.of, b.of), cmp.Compare(a.words, b.words))
	})
	return out, errors.Join(bad...)
}

// classify returns which licences a text is.
func classify(words string) (string, error) {
	var found []string
	for _, match := range licensecheck.Scan([]byte(words)).Match {
		if !match.IsURL && !slices.Contains(found, match.ID) {
			found = append(found, match.ID)
		}
	}
	if len(found) == 0 {
		return "", errors.New("a licence that is not known")
	}
	for _, id := range found {
		if !slices.Contains(allowed, id) {
			return "", fmt.Errorf("licence %s, not one of %s", id, strings.Join(allowed, ", "))
		}
	}
	slices.Sort(found)
	return strings.Join(found, " and "), nil
}

func render(texts []text) []byte {
	var b bytes.Buffer
	b.WriteString("The programs of arc-cleanup contain the software below, each under the licence that follows it.\n" +
		"Its source is at https://pkg.go.dev, under the names given here; the bill of materials of a release names the versions.\n")
	for _, t := range texts {
		fmt.Fprintf(&b, "\n%s\n", strings.Repeat("=", 80))
		for _, name := range t.of {
			fmt.Fprintln(&b, name)
		}
		fmt.Fprintf(&b, "%s\n\n%s\n", cmp.Or(t.license, "Notice"), t.words)
	}
	return b.Bytes()
}
