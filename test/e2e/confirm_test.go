package e2e

import (
	"encoding/json"
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// digest is the one that plan prints, as a document and as text.
func (l *lab) digest() string {
	l.Helper()
	out, _ := l.hookjob("plan", "--all-namespaces", "--output", "json")
	var document struct{ Digest string }
	if err := json.Unmarshal([]byte(out), &document); err != nil {
		l.Fatal(err)
	}
	if text, _ := l.hookjob("plan", "--all-namespaces"); document.Digest == "" || !strings.Contains(text, "\nDigest: "+document.Digest+"\n") {
		l.Fatalf("the document has the digest %q, and the text\n%s", document.Digest, text)
	}
	return document.Digest
}

// TestRunOfAConfirmedPlan: the run carries out the confirmed plan, and nothing else.
func TestRunOfAConfirmedPlan(t *testing.T) {
	l := newLab(t)
	l.disaster()
	digest := l.digest()
	l.eventually("what Helm deleted is gone", func() bool {
		before := digest
		digest = l.digest()
		return before == digest
	})

	secret := &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "v1", "kind": "Secret",
		"metadata": map[string]any{
			"name": "unseen", "namespace": runnerNamespace, "finalizers": []any{"actions.github.com/cleanup-protection"},
			"labels": map[string]any{"app.kubernetes.io/part-of": "gha-rs", "actions.github.com/scale-set-name": "runners", "actions.github.com/scale-set-namespace": runnerNamespace},
		},
	}}
	l.create(secret)
	before := l.everything()
	out, code := l.hookjob("run", "--all-namespaces", "--confirm", digest)
	if code != 3 || !strings.Contains(out, "the plan has changed since it was confirmed") || !strings.Contains(out, "refused: nothing was written") {
		t.Errorf("exit code %d\n%s", code, out)
	}
	after := l.everything()
	for o := range before {
		if !after[o] {
			t.Errorf("%s is gone", o)
		}
	}
	u, err := l.resourceOf(secret).Get(l.ctx, "unseen", metav1.GetOptions{})
	if err != nil || len(u.GetFinalizers()) != 1 {
		t.Errorf("the Secret that nobody has seen: %v, %v", u, err)
	}
	if _, err := l.resourceOf(secret).Patch(l.ctx, "unseen", "application/merge-patch+json", []byte(`{"metadata":{"finalizers":null}}`), metav1.PatchOptions{}); err != nil {
		t.Fatal(err)
	}
	if err := l.resourceOf(secret).Delete(l.ctx, "unseen", metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	if out, code := l.hookjob("run", "--all-namespaces", "--confirm", digest); code != 0 {
		t.Errorf("exit code %d\n%s", code, out)
	}
	if out, code := l.hookjob("run", "--all-namespaces", "--confirm", digest); code != 0 || !strings.Contains(out, "there was nothing to do") {
		t.Errorf("once more: exit code %d\n%s", code, out)
	}
	l.nothingLeft()
}

// TestRunOfAConfirmedPlanWithAController: it is drained, and what that leaves is of the
// later rounds.
func TestRunOfAConfirmedPlanWithAController(t *testing.T) {
	l := newLab(t)
	l.installController()
	l.installScaleSet(4)
	of := []string{"--scope", "scale-set", "--release", "runners", "--release-namespace", runnerNamespace, "--controller-namespace", controllerNamespace}
	out, code := l.hookjob(append([]string{"plan", "--output", "json"}, of...)...)
	var document struct{ Digest string }
	if err := json.Unmarshal([]byte(out), &document); err != nil || code != 7 {
		t.Fatalf("exit code %d, %v", code, err)
	}
	if out, code := l.hookjob(append([]string{"run", "--confirm", document.Digest}, of...)...); code != 0 || !l.GitHub().Deregistered() {
		t.Errorf("exit code %d\n%s", code, out)
	}
	l.mustHelm(4, "uninstall", "runners", "--namespace", runnerNamespace)
	l.mustHelm(4, "uninstall", "arc", "--namespace", controllerNamespace)
	l.controllerGone()
	if out, code := l.hookjob("run", "--all-namespaces", "--confirm", l.digest()); code != 0 {
		t.Errorf("the CRDs: exit code %d\n%s", code, out)
	}
	l.nothingLeft()
}
