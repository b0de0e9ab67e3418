package main

import (
	"bufio"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// makeDemo is `make demo`, or what it would do.
func makeDemo(t *testing.T, environment []string, args ...string) *exec.Cmd {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "make", append([]string{"-C", "../..", "--no-print-directory", "demo"}, args...)...)
	cmd.Env = append(os.Environ(), environment...)
	return cmd
}

// TestOnlyTheCommandNamesYourCluster: a variable of the environment may be there for something else.
func TestOnlyTheCommandNamesYourCluster(t *testing.T) {
	production := []string{"KUBE_CONTEXT=production", "IMAGE=registry.example/another"}
	for want, args := range map[bool][]string{false: {"--dry-run"}, true: {"--dry-run", "KUBE_CONTEXT=mine"}} {
		out, err := makeDemo(t, production, args...).CombinedOutput()
		if err != nil || strings.Contains(string(out), "--kube-context") != want {
			t.Errorf("make demo %s: %v, want --kube-context: %t\n%s", args, err, want, out)
		}
	}
}

// TestEnds: whichever way the demo ends, nothing of it is left, neither a process nor a file. SIGTERM is sent to make alone,
// SIGKILL to the demo.
func TestEnds(t *testing.T) {
	for _, signal := range []syscall.Signal{syscall.SIGTERM, syscall.SIGKILL} {
		t.Run(signal.String(), func(t *testing.T) {
			temporary := t.TempDir()
			demo := makeDemo(t, []string{"TMPDIR=" + temporary})
			demo.Stderr = os.Stderr
			output, err := demo.StdoutPipe()
			if err != nil {
				t.Fatal(err)
			}
			if err := demo.Start(); err != nil {
				t.Fatal(err)
			}
			lines := bufio.NewScanner(output)
			for lines.Scan() && !strings.Contains(lines.Text(), "$ helm install") {
			}
			if running := under(t, temporary); len(running) < 4 {
				t.Errorf("only %q", running)
			}
			pid := demo.Process.Pid
			if signal == syscall.SIGKILL {
				pid = demoOf(t, temporary)
			}
			if err := syscall.Kill(pid, signal); err != nil {
				t.Fatal(err)
			}
			for lines.Scan() {
				if strings.Contains(lines.Text(), "What existed:") {
					t.Error("it went on to its end")
				}
			}
			demo.Wait() //nolint:errcheck // it was ended
			var files []os.DirEntry
			for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline); time.Sleep(100 * time.Millisecond) {
				if files, err = os.ReadDir(temporary); err == nil && len(files) == 0 && len(under(t, temporary)) == 0 {
					return
				}
			}
			t.Errorf("left behind: files %v (%v), processes %v", files, err, under(t, temporary))
		})
	}
}

// under finds processes by the folder that they work in or keep temporary files in.
func under(t *testing.T, temporary string) []string {
	t.Helper()
	processes, err := filepath.Glob("/proc/[0-9]*/environ")
	if err != nil || len(processes) == 0 {
		t.Fatal("no process in /proc: the demo needs Linux")
	}
	var found []string
	for _, file := range processes {
		if environ, err := os.ReadFile(file); err == nil && strings.Contains(string(environ), "TMPDIR="+temporary+"\x00") {
			found = append(found, filepath.Dir(file))
		}
	}
	return found
}

// demoOf is the process of the demo itself.
func demoOf(t *testing.T, temporary string) int {
	t.Helper()
	for _, process := range under(t, temporary) {
		if name, err := os.ReadFile(filepath.Join(process, "comm")); err == nil && string(name) == "demo\n" {
			pid, err := strconv.Atoi(filepath.Base(process))
			if err != nil {
				t.Fatal(err)
			}
			return pid
		}
	}
	t.Fatal("no process of the demo")
	return 0
}
