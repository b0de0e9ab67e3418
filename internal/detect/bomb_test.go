package detect

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

// A tenant can write a Helm record whose few kilobytes stand for billions of nodes, and status reads each record.
func TestAliasesDoNotMultiply(t *testing.T) {
	t.Parallel()
	const n = 20_000
	for name, item := range map[string]string{
		"one Deployment, again and again": "- *d\n",
		"its containers, again and again": "- {apiVersion: apps/v1, kind: Deployment, metadata: {name: b}, spec: {template: {spec: {containers: *c}}}}\n",
		"its labels, again and again":     "- {apiVersion: apps/v1, kind: Deployment, metadata: {name: b, labels: *l}}\n",
	} {
		var b strings.Builder
		b.WriteString("kind: List\napiVersion: v1\nitems:\n- &d\n  apiVersion: apps/v1\n  kind: Deployment\n  metadata:\n    name: a\n    labels: &l\n")
		for i := range n {
			fmt.Fprintf(&b, "      l%d: a\n", i)
		}
		b.WriteString("  spec:\n    template:\n      spec:\n        containers: &c\n        - args: [--auto-scaling-runner-set-only]\n")
		for range n {
			b.WriteString("        - {}\n")
		}
		b.WriteString(strings.Repeat(item, n/4))
		start := time.Now()
		if _, _, err := Find([]byte(b.String())); err == nil || !strings.Contains(err.Error(), "aliases stand for more") {
			t.Errorf("%s: %v", name, err)
		}
		if took := time.Since(start); took > 10*time.Second {
			t.Errorf("%s took %s", name, took)
		}
	}
}
