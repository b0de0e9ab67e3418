package e2e

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// strict is what clusters ask of Pods: OpenShift that they name no user outside their
// namespace's range, clusters with Windows nodes that they say which they are for, a
// policy that they limit their ephemeral storage, a LimitRange that limits are no more
// than ten times the requests, and a quota that there are any.
const strict = `
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicy
metadata: {name: strict}
spec:
  matchConstraints:
    namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: arc-systems}}
    objectSelector: {matchLabels: {app.kubernetes.io/name: arc-cleanup}}
    resourceRules: [{operations: [CREATE], apiGroups: [""], apiVersions: [v1], resources: [pods]}]
  variables:
    - name: users
      expression: >-
        [object.spec.?securityContext.?runAsUser] +
        object.spec.containers.map(c, c.?securityContext.?runAsUser)
  validations:
    - expression: variables.users.all(u, u.orValue(1000680000) >= 1000680000 && u.orValue(1000680000) <= 1000689999)
      message: "runAsUser: must be in the ranges: [1000680000, 1000689999]"
    - expression: object.spec.?nodeSelector[?'kubernetes.io/os'].orValue('') == 'linux'
      message: a Pod has to say for which system it is
    - expression: object.spec.containers.all(c, c.?resources.?limits[?'ephemeral-storage'].hasValue())
      message: a Pod has to say how much ephemeral storage it takes
---
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicyBinding
metadata: {name: strict}
spec: {policyName: strict, validationActions: [Deny]}
---
apiVersion: v1
kind: LimitRange
metadata: {name: strict, namespace: arc-systems}
spec:
  limits:
    - type: Container
      min: {cpu: 50m, memory: 32Mi}
      max: {cpu: "2", memory: 1Gi}
      maxLimitRequestRatio: {cpu: "10", memory: "10"}
---
apiVersion: v1
kind: ResourceQuota
metadata: {name: strict, namespace: arc-systems}
spec:
  hard:
    requests.cpu: "4"
    limits.cpu: "8"
    requests.memory: 4Gi
    limits.memory: 8Gi
    requests.ephemeral-storage: 4Gi
    limits.ephemeral-storage: 8Gi
`

// TestStrictAdmission installs and uninstalls where all of it is asked for. What the
// hook's Pod was before, or may be made by values, is refused, each for its own reason.
func TestStrictAdmission(t *testing.T) {
	t.Parallel()
	for _, major := range []int{3, 4} {
		t.Run(fmt.Sprintf("helm%d", major), func(t *testing.T) {
			l := newLab(t)
			if err := l.createNamespace(controllerNamespace); err != nil {
				t.Fatal(err)
			}
			rules := parseObjects(t, []byte(strict))
			for _, o := range rules {
				l.create(o)
			}
			l.eventually("the hook's Pod is admitted", func() bool { return l.admits(major) == nil })
			for set, reason := range map[string]string{
				"podSecurityContext.runAsUser=65532":             "must be in the ranges",
				"securityContext.runAsUser=65532":                "must be in the ranges",
				`nodeSelector.kubernetes\.io/os=null`:            "for which system",
				"resources.requests.cpu=50m":                     "cpu max limit to request ratio per Container is 10",
				"resources.limits.ephemeral-storage=null":        "how much ephemeral storage",
				"podSecurityContext.runAsUser=1000680000":        "",
				"podSecurityContext.seccompProfile=null":         "",
				"env[0].name=HTTPS_PROXY,env[0].value=http://x/": "",
			} {
				var err error
				// A policy is in force some moments after it was created.
				l.eventually("the answer to "+set+" is: "+reason, func() bool {
					err = l.admits(major, "--set", set)
					return (err == nil) == (reason == "")
				})
				if reason != "" && (!apierrors.IsForbidden(err) && !apierrors.IsInvalid(err) || !strings.Contains(err.Error(), reason)) {
					t.Errorf("%s: %v", set, err)
				}
			}

			args := []string{}
			for _, r := range []string{"cpu=100m", "memory=64Mi", "ephemeral-storage=16Mi"} {
				args = append(args, "--set", "resources.requests."+r, "--set", "resources.limits."+r)
			}
			if major == 3 {
				l.install(3, slices.Concat(args, viaHelm3())...)
				l.awaitEnrolled("arc", controllerNamespace)
			} else {
				l.install(4, slices.Concat(args, viaPostRenderer)...)
			}
			l.mustHelm(major, "uninstall", "arc", "--namespace", controllerNamespace)
			for _, o := range rules {
				if err := l.resourceOf(o).Delete(l.ctx, o.GetName(), metav1.DeleteOptions{}); err != nil {
					t.Fatal(err)
				}
			}
			l.nothingLeft()
		})
	}
}

// admits asks the API server whether it would take the Pod of the hook's Job.
func (l *lab) admits(major int, args ...string) error {
	l.Helper()
	out, err := l.helmCommand(major, slices.Concat([]string{
		"template", "arc", hookChart(), "--namespace", controllerNamespace, "--kube-version", "1.37",
	}, args)...).Output()
	if err != nil {
		l.Fatalf("helm template: %v", err)
	}
	for _, o := range parseObjects(l.T, out) {
		if o.GetKind() != "Job" {
			continue
		}
		template, _, err := unstructured.NestedMap(o.Object, "spec", "template")
		if err != nil {
			l.Fatal(err)
		}
		pod := &unstructured.Unstructured{Object: template}
		pod.SetAPIVersion("v1")
		pod.SetKind("Pod")
		pod.SetName("tried")
		pod.SetNamespace(controllerNamespace)
		// It is there during an uninstall only.
		unstructured.RemoveNestedField(pod.Object, "spec", "serviceAccountName")
		_, err = l.resourceOf(pod).Create(l.ctx, pod, metav1.CreateOptions{DryRun: []string{metav1.DryRunAll}})
		return err
	}
	l.Fatal("the chart has no Job")
	return nil
}
