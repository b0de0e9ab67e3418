package tools

import (
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"
)

// TestTimeouts: the examples give Helm the time at a destroy that the chart counts on. A hook that is quick does not need it,
// so that no test on a cluster sees a timeout that is too short, or helmfile's, which counts only with deleteWait.
func TestTimeouts(t *testing.T) {
	read := func(path ...string) string {
		text, err := os.ReadFile(filepath.Join(append([]string{"..", ".."}, path...)...))
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	m := regexp.MustCompile(`(?m)^helmTimeoutSeconds: (\d+)$`).FindStringSubmatch(read("charts", "arc-cleanup", "values.yaml"))
	if m == nil {
		t.Fatal("the chart has no helmTimeoutSeconds")
	}
	least, err := time.ParseDuration(m[1] + "s")
	if err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct {
		text, pattern string
		times         int
	}{
		{read("examples", "terraform", "main.tf"), `(?m)^  timeout += (\d+)`, 2},
		{read("examples", "helmfile", "helmfile.yaml"), `(?m)^helmDefaults:\n(?:  .*\n)*  deleteWait: true\n(?:  .*\n)*?  deleteTimeout: (\d+)`, 1},
		{read("examples", "flux", "arc.yaml"), `(?m)^    timeout: (\d+m)`, 2},
	} {
		found := regexp.MustCompile(tc.pattern).FindAllStringSubmatch(tc.text, -1)
		if len(found) != tc.times {
			t.Errorf("%s: %d times, want %d:\n%s", tc.pattern, len(found), tc.times, tc.text)
		}
		for _, m := range found {
			if _, err := strconv.Atoi(m[1]); err == nil {
				m[1] += "s"
			}
			if d, err := time.ParseDuration(m[1]); err != nil || d < least {
				t.Errorf("%s, less than the %s that the hook counts on: %v", strings.TrimSpace(m[0]), least, err)
			}
		}
	}
}
