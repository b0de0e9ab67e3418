package e2e

import (
	"fmt"
	"strings"
	"testing"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/arc-cleanup/arc-cleanup/test/cluster/github"
)

// TestTimeoutBelowWhatTheHookNeeds gives Helm a --timeout that passes while the hook
// waits. Both Helms take the hook's rights away at once and leave the Job: it says so
// in one line, and ends with its first Pod. The next uninstall goes on.
func TestTimeoutBelowWhatTheHookNeeds(t *testing.T) {
	t.Parallel()
	for _, major := range []int{3, 4} {
		t.Run(fmt.Sprintf("helm%d", major), func(t *testing.T) {
			l := newLab(t)
			l.installController()
			l.installScaleSet(major)
			if out, code := l.hookjob("enrol", "runners", "--namespace", runnerNamespace); code != 0 {
				t.Fatalf("enrol: exit code %d\n%s", code, out)
			}
			l.GitHub().SetMode(github.Down) // so that the drain takes longer
			if out, err := l.helm(major, "uninstall", "runners", "--namespace", runnerNamespace, "--timeout", "8s"); err == nil {
				t.Fatalf("helm uninstall has not timed out:\n%s", out)
			}
			rights, err := l.client.RbacV1().RoleBindings("").List(l.ctx, metav1.ListOptions{LabelSelector: "app.kubernetes.io/name=arc-cleanup"})
			if err != nil || len(rights.Items) > 0 {
				t.Errorf("Helm has left %d RoleBindings of the hook, %v", len(rights.Items), err)
			}
			accounts, err := l.client.CoreV1().ServiceAccounts(runnerNamespace).List(l.ctx, metav1.ListOptions{LabelSelector: "app.kubernetes.io/name=arc-cleanup"})
			if err != nil || len(accounts.Items) > 0 {
				t.Errorf("Helm has left %d ServiceAccounts of the hook, %v", len(accounts.Items), err)
			}

			const job = "runners-arc-cleanup-scale-set"
			l.eventually("the Job has failed", func() bool {
				j, err := l.client.BatchV1().Jobs(runnerNamespace).Get(l.ctx, job, metav1.GetOptions{})
				if err != nil {
					t.Fatal(err)
				}
				for _, c := range j.Status.Conditions {
					if c.Type == batchv1.JobFailed && c.Status == corev1.ConditionTrue {
						return c.Reason == batchv1.JobReasonPodFailurePolicy
					}
				}
				return false
			})
			pods, err := l.client.CoreV1().Pods(runnerNamespace).List(l.ctx, metav1.ListOptions{LabelSelector: "job-name=" + job})
			if err != nil || len(pods.Items) != 1 {
				t.Fatalf("the Job has %d Pods, %v", len(pods.Items), err)
			}
			log, err := l.client.CoreV1().Pods(runnerNamespace).GetLogs(pods.Items[0].Name, &corev1.PodLogOptions{}).DoRaw(l.ctx)
			if err != nil || !strings.HasPrefix(lastLine(string(log)), "not-permitted: Helm took this hook's rights away") {
				t.Errorf("the log's last line does not say it, %v", err)
			}
			if n := strings.Count(strings.TrimSpace(string(log)), "\n"); n != 1 { // what was found, and this
				t.Errorf("the log has %d lines", n+1)
			}
			t.Logf("the Job's log:\n%s", log)

			l.GitHub().SetMode(github.OK)
			l.mustHelm(major, "uninstall", "runners", "--namespace", runnerNamespace)
			if !l.GitHub().Deregistered() {
				t.Error("still registered at GitHub")
			}
			l.mustHelm(major, "uninstall", "arc", "--namespace", controllerNamespace)
			if out, code := l.hookjob("run", "--all-namespaces", "--yes"); code != 0 {
				t.Errorf("run: exit code %d\n%s", code, out)
			}
			l.nothingLeft()
		})
	}
}
