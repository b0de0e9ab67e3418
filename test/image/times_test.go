//go:build e2enode

package image

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
)

// What an uninstall of ARC's controller may take longer than one whose hook does
// nothing, which has the same rights, and than one without a hook.
const (
	aboveEmpty = 2500 * time.Millisecond
	aboveNone  = 5 * time.Second
)

// TestTimes measures how long helm uninstall of the controller takes on a clean
// cluster: without a hook, with one of the same rights that does nothing, and with
// ours. The README has what it prints.
func TestTimes(t *testing.T) {
	kinds := []string{"without a hook", "with an empty hook", "with the hook"}
	for _, major := range []int{3, 4} {
		took := map[string][]time.Duration{}
		for range 3 {
			for _, kind := range kinds {
				l := newLab(t)
				l.installController(major)
				if kind != kinds[0] {
					args := []string{"enrol", "arc", "--namespace", controllerNamespace}
					if kind == kinds[1] {
						args = append(args, "--set", "image.repository="+nothing)
					}
					if out, code := l.hookjob(args...); code != 0 {
						t.Fatalf("enrol: exit code %d\n%s", code, out)
					}
				}
				start := time.Now()
				l.mustHelm(major, "uninstall", "arc", "--namespace", controllerNamespace)
				took[kind] = append(took[kind], time.Since(start))
			}
		}
		var median []time.Duration
		line := fmt.Sprintf("helm %d uninstall of the controller takes", major)
		for _, kind := range kinds {
			slices.Sort(took[kind])
			median = append(median, took[kind][1])
			line += fmt.Sprintf(" %.1f s %s,", took[kind][1].Seconds(), kind)
		}
		t.Log(strings.TrimSuffix(line, ","))
		if over := median[2] - median[1]; over > aboveEmpty {
			t.Errorf("helm %d: the hook takes %s longer than an empty one", major, over)
		}
		if over := median[2] - median[0]; over > aboveNone {
			t.Errorf("helm %d: the hook takes %s longer than none", major, over)
		}
	}
}
