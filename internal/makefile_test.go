package internal

import (
	"os/exec"
	"regexp"
	"strings"
	"testing"
)

// dryRun returns the commands of a target of the Makefile, without running them.
func dryRun(t *testing.T, args ...string) []string {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), "make", append([]string{"-C", "..", "--dry-run", "--no-print-directory"}, args...)...).Output()
	if err != nil {
		t.Fatal(err)
	}
	return strings.Split(strings.ReplaceAll(strings.TrimSpace(string(out)), "\\\n", " "), "\n")
}

// TestInstallWithSudo: a user who is not root installs as root what was built as the user. root may have no Go.
func TestInstallWithSudo(t *testing.T) {
	t.Parallel()
	var installed, built int
	for _, command := range dryRun(t, "install", "SUDO=yes") {
		switch {
		case strings.Contains(command, "go build"):
			if built++; strings.Contains(command, "sudo") {
				t.Errorf("root builds: %s", command)
			}
		case strings.Contains(command, "/usr/local/bin"):
			if installed++; !strings.HasPrefix(command, "sudo ") {
				t.Errorf("the user installs: %s", command)
			}
		}
	}
	if installed != 2 || built != 2 {
		t.Errorf("%d commands install and %d build, want 2 and 2", installed, built)
	}
	for _, command := range dryRun(t, "install", "PREFIX=/home/you/.local") {
		if strings.Contains(command, "sudo") {
			t.Errorf("the home needs no root: %s", command)
		}
	}
}

// TestCompiledOnce: packages are shared between builds with the same flags. So `make demo` has compiled nearly all that
// the tests and the other commands that start a cluster need.
func TestCompiledOnce(t *testing.T) {
	t.Parallel()
	for _, target := range []string{
		"demo", "picture", "build", "bench", "bench-postrender", "cluster-up", "cluster-down", "test-unit", "test-cluster", "release-check",
	} {
		runs := 0
		for _, command := range dryRun(t, target) {
			// With -modfile a program of another project is built.
			if !regexp.MustCompile(`\bgo (-C \S+ )?(build|run|test) `).MatchString(command) || strings.Contains(command, "-modfile=") {
				continue
			}
			if runs++; !regexp.MustCompile(`CGO_ENABLED=0 go (build|run|test) (-buildvcs=false )?-trimpath `).MatchString(command) {
				t.Errorf("make %s: other flags than those of the builds: %s", target, command)
			}
		}
		if runs == 0 {
			t.Errorf("make %s compiles nothing", target)
		}
	}
}
