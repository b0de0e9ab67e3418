package e2e

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	admissionv1 "k8s.io/api/admissionregistration/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"

	"github.com/arc-cleanup/arc-cleanup/test/harness"
)

var (
	crds         = schema.GroupVersionResource{Group: "apiextensions.k8s.io", Version: "v1", Resource: "customresourcedefinitions"}
	runnerSets   = schema.GroupVersionResource{Group: "actions.github.com", Version: "v1alpha1", Resource: "autoscalingrunnersets"}
	ephemeralCRD = "ephemeralrunners.actions.github.com"
	refusesAll   = `{"rule": "self == oldSelf && false", "message": "nothing may change"}`
	rulesPath    = "/spec/versions/0/schema/openAPIV3Schema/x-kubernetes-validations"
)

// TestUninstallWithItsScaleSets: one helm uninstall for the controller and the
// scale sets that nobody has uninstalled, which have no hook of their own.
func TestUninstallWithItsScaleSets(t *testing.T) {
	l := newLab(t)
	l.installController(append(viaPostRenderer, "--post-renderer-args", "--set", "--post-renderer-args", "policy.scaleSets=uninstall")...)
	l.installScaleSet(3)

	l.mustHelm(4, "uninstall", "arc", "--namespace", controllerNamespace)
	if out := l.mustHelm(4, "list", "--all-namespaces", "--output", "json"); strings.TrimSpace(out) != "[]" {
		t.Errorf("Helm still has releases: %s", out)
	}
	if !l.GitHub().Deregistered() {
		t.Error("still registered at GitHub")
	}
	events, err := l.client.CoreV1().Events(controllerNamespace).List(l.ctx, metav1.ListOptions{FieldSelector: "reason=CleanupDone"})
	if err != nil || len(events.Items) != 1 || events.Items[0].InvolvedObject.Kind != "Job" {
		t.Errorf("events of the verdict: %v, %v", events.Items, err)
	}
	if n := l.removeBackups(); n != 1 {
		t.Errorf("%d backups of the scale set", n)
	}
	l.nothingLeft()
}

// TestRescueOfANamespace frees one namespace and leaves the rest of ARC alone.
func TestRescueOfANamespace(t *testing.T) {
	l := newLab(t)
	l.disaster()
	if out, code := l.hookjob("run", "--yes", "--namespace", runnerNamespace); code != 3 {
		t.Errorf("a namespace that nobody deletes: exit code %d\n%s", code, out)
	}
	if err := l.client.CoreV1().Namespaces().Delete(l.ctx, runnerNamespace, metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	time.Sleep(3 * time.Second)
	if l.namespaceGone(runnerNamespace) {
		t.Fatal("the namespace does not hang")
	}
	if out, code := l.hookjob("run", "--yes", "--namespace", runnerNamespace); code != 0 {
		t.Errorf("exit code %d\n%s", code, out)
	}
	if !l.namespaceGone(runnerNamespace) {
		t.Error("the namespace still hangs, though the rescue says that it is done")
	}
	if !l.everything()[harness.Object{Resource: "customresourcedefinitions", Name: ephemeralCRD}] {
		t.Error("the CRDs are gone")
	}
	l.hookjob("run", "--all-namespaces", "--yes")
	l.nothingLeft()
}

// TestASchemaThatRefusesIsRelaxed: objects that are invalid to the schema of a
// later version, which refuses even the patch of a finalizer.
func TestASchemaThatRefusesIsRelaxed(t *testing.T) {
	l := newLab(t)
	l.disaster()
	patch := `[{"op": "add", "path": "` + rulesPath + `", "value": [` + refusesAll + `]}]`
	if _, err := l.dynamic.Resource(crds).Patch(l.ctx, ephemeralCRD, types.JSONPatchType, []byte(patch), metav1.PatchOptions{}); err != nil {
		t.Fatal(err)
	}
	l.eventually("the schema refuses", func() bool {
		ephemeral := schema.GroupVersionResource{Group: "actions.github.com", Version: "v1alpha1", Resource: "ephemeralrunners"}
		all, err := l.dynamic.Resource(ephemeral).List(l.ctx, metav1.ListOptions{})
		if err != nil || len(all.Items) == 0 {
			t.Fatalf("%v, error %v", all, err)
		}
		r := all.Items[0]
		_, err = l.dynamic.Resource(ephemeral).Namespace(r.GetNamespace()).Patch(l.ctx, r.GetName(), types.MergePatchType,
			[]byte(`{"metadata": {"labels": {"any": "thing"}}}`), metav1.PatchOptions{DryRun: []string{metav1.DryRunAll}})
		return err != nil && strings.Contains(err.Error(), "nothing may change")
	})
	out, code := l.hookjob("run", "--all-namespaces", "--yes")
	if code != 0 || !strings.Contains(out, "relaxed the schema of 1 customresourcedefinition") {
		t.Errorf("exit code %d\n%s", code, out)
	}
	l.nothingLeft()
}

// TestAWebhookThatNobodyAnswers is named, and nothing is begun.
func TestAWebhookThatNobodyAnswers(t *testing.T) {
	l := newLab(t)
	l.disaster()
	none := admissionv1.SideEffectClassNone
	dead := &admissionv1.ValidatingWebhookConfiguration{
		ObjectMeta: metav1.ObjectMeta{Name: "dead"},
		Webhooks: []admissionv1.ValidatingWebhook{{
			Name: "dead.example.com", SideEffects: &none, AdmissionReviewVersions: []string{"v1"},
			ClientConfig: admissionv1.WebhookClientConfig{Service: &admissionv1.ServiceReference{Namespace: "nowhere", Name: "nobody"}},
			Rules: []admissionv1.RuleWithOperations{{
				Operations: []admissionv1.OperationType{admissionv1.Update},
				Rule:       admissionv1.Rule{APIGroups: []string{"actions.github.com"}, APIVersions: []string{"*"}, Resources: []string{"ephemeralrunners"}},
			}},
		}},
	}
	webhooks := l.client.AdmissionregistrationV1().ValidatingWebhookConfigurations()
	if _, err := webhooks.Create(l.ctx, dead, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	time.Sleep(2 * time.Second) // until the API server calls it
	const named = "the Service nowhere/nobody does not exist"
	if out, code := l.hookjob("plan", "--all-namespaces"); code != 3 || !strings.Contains(out, named) {
		t.Errorf("plan: exit code %d\n%s", code, out)
	}
	out, code := l.hookjob("run", "--all-namespaces", "--yes", "--log-format", "console", "--budget", "20s")
	if code != 3 || !strings.Contains(out, "the admission webhook dead.example.com, which must answer, does not") || !strings.Contains(out, "refused, nothing was written: ") || !strings.Contains(out, "likely in the way: validatingwebhookconfigurations.admissionregistration.k8s.io/dead: its webhook dead.example.com would refuse writes: "+named) {
		t.Errorf("run: exit code %d\n%s", code, out)
	}
	if err := webhooks.Delete(l.ctx, dead.Name, metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	time.Sleep(2 * time.Second)
	if out, code := l.hookjob("run", "--all-namespaces", "--yes"); code != 0 {
		t.Errorf("without it: exit code %d\n%s", code, out)
	}
	l.nothingLeft()
}

// TestABackupIsRestored: what people wrote comes back as it was.
func TestABackupIsRestored(t *testing.T) {
	l := newLab(t)
	l.installControllerFrom(whole)
	l.installScaleSet(4)
	before := l.runnerSet()
	l.uninstallControllerFirst()
	out, code := l.hookjob("run", "--all-namespaces", "--yes", "--output", "json")
	var report struct {
		Version, Verdict string
		Done             []struct{ Action, Resource, Namespace, Name string }
	}
	// The log is on standard error, and comes first.
	_, document, _ := strings.Cut(out, "\n{\n")
	if err := json.Unmarshal([]byte("{"+document), &report); err != nil {
		t.Fatalf("%v in\n%s", err, out)
	}
	if code != 0 || report.Version != "arc-cleanup/report/v1" || report.Verdict != "done" || report.Done[0].Action != "create" {
		t.Fatalf("exit code %d, report %+v", code, report)
	}
	backup := report.Done[0]

	if out, code := l.hookjob("restore", "--from", backup.Name, "--namespace", backup.Namespace, "--all-namespaces"); code != 1 || !strings.Contains(out, "creating autoscalingrunnersets.actions.github.com/runners in namespace arc-runners") {
		t.Errorf("without the CRDs: exit code %d\n%s", code, out)
	}
	l.installControllerFrom(whole, "--set", "replicaCount=0")
	for _, want := range []string{"restored", "exists already"} {
		if out, code := l.hookjob("restore", "--from", backup.Name, "--namespace", backup.Namespace, "--all-namespaces"); code != 0 || !strings.Contains(out, want) {
			t.Errorf("exit code %d, not %q\n%s", code, want, out)
		}
	}
	after := l.runnerSet()
	if want, got := marshal(t, before.Object["spec"]), marshal(t, after.Object["spec"]); want != got {
		t.Errorf("its spec was\n%s\nand is\n%s", want, got)
	}
	if id := after.GetAnnotations()["runner-scale-set-id"]; id != "" {
		t.Errorf("it still has the id %s, which is not its any more", id)
	}
	l.mustHelm(4, "uninstall", "arc", "--namespace", controllerNamespace)
	l.hookjob("run", "--all-namespaces", "--yes", "--scale-sets", "delete")
	l.nothingLeft()
}

func (l *lab) runnerSet() *unstructured.Unstructured {
	l.Helper()
	u, err := l.dynamic.Resource(runnerSets).Namespace(runnerNamespace).Get(l.ctx, "runners", metav1.GetOptions{})
	if err != nil {
		l.Fatal(err)
	}
	return u
}

func marshal(t *testing.T, v any) string {
	t.Helper()
	text, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}
