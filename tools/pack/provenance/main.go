// Command provenance writes who built a release from what, as a SLSA v1 provenance predicate,
// which cosign then signs about each thing that is published:
//
//	go -C tools/pack run ./provenance --output ../../dist/provenance.json --version V --revision R
//
// On GitHub it is GitHub that says so, in the environment of the workflow.
package main

import (
	"encoding/json"
	"errors"
	"flag"
	"io"
	"os"
	"strings"

	"github.com/arc-cleanup/arc-cleanup/tools/pack"
)

const (
	repository = "https://github.com/arc-cleanup/arc-cleanup"
	byHand     = repository + "/blob/main/CONTRIBUTING.md#releases"
)

// Options is one invocation, parsed.
type Options struct {
	Output, Version, Revision string
	Env                       func(string) string
}

// Predicate is https://slsa.dev/spec/v1.0/provenance, as far as it is used.
type Predicate struct {
	BuildDefinition struct {
		BuildType            string         `json:"buildType"`
		ExternalParameters   map[string]any `json:"externalParameters"`
		ResolvedDependencies []Dependency   `json:"resolvedDependencies"`
	} `json:"buildDefinition"`
	RunDetails struct {
		Builder  map[string]string `json:"builder"`
		Metadata map[string]string `json:"metadata,omitempty"`
	} `json:"runDetails"`
}

// Dependency is what was built from.
type Dependency struct {
	URI    string            `json:"uri"`
	Digest map[string]string `json:"digest"`
}

func main() { pack.Main("provenance", parseArgs, run) }

func parseArgs(args []string, _ string) (Options, error) {
	opts := Options{Env: os.Getenv}
	flags := flag.NewFlagSet("provenance", flag.ContinueOnError)
	flags.StringVar(&opts.Output, "output", "", "`file` to write")
	flags.StringVar(&opts.Version, "version", "", "version that is released")
	flags.StringVar(&opts.Revision, "revision", "", "commit that it is built from")
	if err := flags.Parse(args); err != nil {
		return Options{}, err
	}
	if opts.Output == "" || opts.Version == "" || opts.Revision == "" || flags.NArg() > 0 {
		return Options{}, errors.New("--output, --version and --revision are needed, and nothing else")
	}
	return opts, nil
}

func run(_ io.Writer, opts Options) error {
	content, err := json.MarshalIndent(predicate(opts), "", "  ")
	if err != nil {
		return err
	}
	return pack.WriteFile(opts.Output, append(content, '\n'))
}

func predicate(opts Options) Predicate {
	var p Predicate
	source, ref := repository, "refs/tags/v"+opts.Version
	p.BuildDefinition.BuildType = byHand
	p.BuildDefinition.ExternalParameters = map[string]any{"version": opts.Version}
	p.RunDetails.Builder = map[string]string{"id": byHand}

	// owner/name/.github/workflows/release.yml@refs/tags/v1
	if workflow := opts.Env("GITHUB_WORKFLOW_REF"); workflow != "" {
		server := opts.Env("GITHUB_SERVER_URL")
		source = server + "/" + opts.Env("GITHUB_REPOSITORY")
		file, at, _ := strings.Cut(workflow, "@")
		ref = at
		p.BuildDefinition.BuildType = "https://actions.github.io/buildtypes/workflow/v1"
		p.BuildDefinition.ExternalParameters = map[string]any{"workflow": map[string]string{
			"repository": source, "ref": ref, "path": strings.TrimPrefix(file, opts.Env("GITHUB_REPOSITORY")+"/"),
		}}
		p.RunDetails.Builder["id"] = server + "/" + workflow
		p.RunDetails.Metadata = map[string]string{
			"invocationId": source + "/actions/runs/" + opts.Env("GITHUB_RUN_ID") + "/attempts/" + opts.Env("GITHUB_RUN_ATTEMPT"),
		}
	}
	p.BuildDefinition.ResolvedDependencies = []Dependency{{
		URI: "git+" + source + "@" + ref, Digest: map[string]string{"gitCommit": opts.Revision},
	}}
	return p
}
