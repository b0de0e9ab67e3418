package main

import (
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

const anchor = `apiVersion: apps/v1
kind: Deployment
metadata:
  name: c
  labels: {app.kubernetes.io/instance: arc, actions.github.com/controller-service-account-name: c}
  annotations: {postrenderer.helm.sh/postrender-filename: c/templates/deployment.yaml}
`

// unmarked has the marks of no Helm.
var unmarked, _, _ = strings.Cut(anchor, "  annotations:")

func TestRun(t *testing.T) {
	values := filepath.Join(t.TempDir(), "values.yaml")
	if err := os.WriteFile(values, []byte("backoffLimit: 9\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	tests := map[string]struct {
		args   []string
		stdin  string
		env    string // HELM_NAMESPACE
		code   int
		stdout []string // parts; none: nothing at all
		stderr string
	}{
		"adds the hook": {
			args: []string{"-n", "ns", "--values", values, "--set", "image.tag=v1", "--set-string", "podLabels.team=1", "--release", "r"}, stdin: anchor,
			stdout: []string{anchor + "---\n", "backoffLimit: 9\n", "arc-hookjob:v1", "team: \"1\"\n", "name: r-arc-cleanup\n", "namespace: ns\n"},
		},
		"namespace of the environment":  {stdin: anchor, env: "env", stdout: []string{"namespace: env\n"}},
		"not ARC":                       {stdin: "a: 1", stdout: []string{"a: 1"}},
		"says what it would do":         {args: []string{"--check", "-n", "ns"}, stdin: anchor, stdout: []string{"Found the Deployment c in line 1", "Job arc-arc-cleanup"}},
		"version":                       {args: []string{"--version"}, stdout: []string{"dev"}},
		"help":                          {args: []string{"--help"}, stdout: []string{"\n  4  which Helm reads the output is not known"}},
		"no namespace":                  {stdin: anchor, code: exitTarget, stderr: "give --namespace"},
		"broken YAML":                   {stdin: anchor + "a: b: c\n", code: exitInput, stderr: "c/templates/deployment.yaml, line 7 of the input"},
		"told Helm 3":                   {args: []string{"--helm", "3", "-n", "ns"}, stdin: anchor, stdout: []string{anchor + "---\n", "kind: Deployment\nmetadata:\n  name: arc-arc-cleanup-enrol\n"}},
		"a value the chart refuses":     {args: []string{"-n", "ns", "--set", "x=1"}, stdin: anchor, code: exitValues, stderr: "it has no value \"x\""},
		"a release's name that is none": {args: []string{"-n", "ns", "--release", "R_"}, stdin: anchor, code: exitValues, stderr: `release name "R_"`},
		"no Helm to be told":            {args: []string{"-n", "ns"}, stdin: unmarked, code: exitHelm, stderr: "say --helm 3 or --helm 4"},
		"broken YAML in a large input":  {args: []string{"-n", "ns"}, stdin: strings.Repeat("a: 1\n---\n", 1<<18) + anchor + "spec: {\n", code: exitInput, stderr: "is not valid YAML"},
		"a log that cannot be":          {args: []string{"--log-file", filepath.Join(values, "log")}, stdin: anchor, code: exitUsage, stderr: "--log-file (or ARC_CLEANUP_LOG_FILE): open"},
		"a Helm we do not know":         {args: []string{"--helm", "2"}, code: 2, stderr: `--helm "2": must be 3 or 4`},
		"a value that is none":          {args: []string{"--set", "a[x]=1"}, code: 2, stderr: "--set a[x]=1"},
		"an unknown flag":               {args: []string{"--nope"}, code: 2, stderr: "unknown flag: --nope"},
		"no shell of completion":        {args: []string{"completion", "tcsh"}, code: 2, stderr: `completion "tcsh": must be bash, fish, powershell or zsh`},
		"too much for completion":       {args: []string{"completion", "bash", "x"}, code: 2, stderr: `bash takes no argument, and got "x": type arc-postrender completion bash`},
		"an argument":                   {args: []string{"file.yaml"}, code: 2, stderr: `arc-postrender takes no argument, and got "file.yaml": type arc-postrender [flags] < manifests`},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Setenv("HELM_NAMESPACE", test.env)
			var stdout, stderr bytes.Buffer
			code := run(test.args, strings.NewReader(test.stdin), &stdout, &stderr)
			if code != test.code {
				t.Errorf("exit code %d, want %d", code, test.code)
			}
			if len(test.stdout) == 0 && stdout.Len() > 0 {
				t.Errorf("stdout is %q, want nothing", stdout.String())
			}
			for _, part := range test.stdout {
				if !strings.Contains(stdout.String(), part) {
					t.Errorf("stdout has no %q:\n%s", part, stdout.String())
				}
			}
			if !strings.Contains(stderr.String(), test.stderr) || (test.stderr == "" && stderr.Len() > 0) {
				t.Errorf("stderr is %q, want %q", stderr.String(), test.stderr)
			}
		})
	}
}

// The log has what a Helm drops that drops stderr, one entry a run, even if --log-file comes after a wrong flag.
func TestLog(t *testing.T) {
	tests := map[string]struct {
		args  []string
		stdin string
		code  int
		want  []string
	}{
		"an error":      {nil, unmarked, exitHelm, []string{": exit code 4\narc-postrender: found the Deployment c:", "say --helm 3 or --helm 4"}},
		"wrong usage":   {[]string{"--nope", "x"}, "", exitUsage, []string{": exit code 2\narc-postrender: unknown flag: --nope\nRun "}},
		"a hook":        {nil, anchor, 0, []string{": exit code 0\nFound the Deployment c", "Job arc-arc-cleanup"}},
		"nothing to do": {nil, "a: 1", 0, []string{": exit code 0\nNothing to add"}},
		"only help":     {[]string{"--help"}, "", 0, nil},
	}
	for name, test := range tests {
		for _, how := range []string{"flag", "environment"} {
			t.Run(name+" by "+how, func(t *testing.T) {
				t.Setenv("HELM_NAMESPACE", "ns")
				path, args := filepath.Join(t.TempDir(), "log"), test.args
				if how == "flag" {
					args = append(slices.Clone(args), "--log-file", path)
				} else {
					t.Setenv("ARC_CLEANUP_LOG_FILE", path)
				}
				for range 2 {
					if code := run(args, strings.NewReader(test.stdin), io.Discard, io.Discard); code != test.code {
						t.Errorf("exit code %d, want %d", code, test.code)
					}
				}
				got, err := os.ReadFile(path)
				if err != nil && len(test.want) > 0 {
					t.Fatal(err)
				}
				if len(test.want) == 0 && len(got) > 0 {
					t.Errorf("the log has\n%s", got)
				}
				for _, want := range test.want {
					if strings.Count(string(got), want) != 2 {
						t.Errorf("%q is not in the log twice:\n%s", want, got)
					}
				}
			})
		}
	}
}

type brokenPipe struct{}

func (brokenPipe) Write([]byte) (int, error) { return 0, errors.New("broken pipe") }
func (brokenPipe) Read([]byte) (int, error)  { return 0, errors.New("input gone") }

func TestRunInputOutputErrors(t *testing.T) {
	var out, stderr bytes.Buffer
	if code := run(nil, strings.NewReader("a: 1"), brokenPipe{}, &stderr); code != exitFailed || !strings.Contains(stderr.String(), "writing stdout: broken pipe") {
		t.Errorf("code %d, stderr %q", code, stderr.String())
	}
	if code := run(nil, brokenPipe{}, &out, &stderr); code != exitFailed || out.Len() > 0 || !strings.Contains(stderr.String(), "reading stdin: input gone") {
		t.Errorf("code %d, stdout %q, stderr %q", code, out.String(), stderr.String())
	}
}
