//go:build e2enode

package e2enode

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
)

// most is how many times as long an uninstall of ARC's controller may take as one whose
// hook does nothing, and has the same rights. On an idle machine it is 1.2 to 1.4 times, and
// 1.5 under load. What an empty hook takes is Helm's and the kubelet's.
const most = 2

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
		if median[2] > most*median[1] {
			t.Errorf("helm %d: an uninstall takes more than %d times as long as with an empty hook", major, most)
		}
	}
}
