package kube

import (
	"errors"
	"fmt"
	"regexp"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// DryRun returns a client whose writes are dry runs: the API server takes them through admission and then
// does not carry them out.
func (c *Client) DryRun() *Client {
	dry := *c
	dry.dryRun = []string{metav1.DryRunAll}
	return &dry
}

// creating returns the options to create an object.
func (c *Client) creating() metav1.CreateOptions { return metav1.CreateOptions{DryRun: c.dryRun} }

// Denial is a write that admission denies. A policy or a webhook chooses the code of the answer: by default
// 422 for a policy and 403 for a webhook. So a denial is recognised by its words.
type Denial struct {
	// Policy is a ValidatingAdmissionPolicy, and Binding is its binding. Otherwise Webhook is the name of a
	// webhook in a configuration.
	Policy, Binding, Webhook string
	// AnyKind says that the policy may also be a MutatingAdmissionPolicy: the answer does not tell.
	AnyKind bool
	// Unanswered says that the webhook could not be called.
	Unanswered bool
	Message    string
}

func (d Denial) String() string {
	switch {
	case d.Unanswered:
		return fmt.Sprintf("the admission webhook %s, which must answer, does not: %s", d.Webhook, d.Message)
	case d.Webhook != "":
		return fmt.Sprintf("the admission webhook %s says: %s", d.Webhook, d.Message)
	}
	policy := "ValidatingAdmissionPolicy " + d.Policy
	if d.AnyKind {
		policy = "admission policy " + d.Policy
	}
	if d.Binding != "" {
		policy += fmt.Sprintf(" (binding %s)", d.Binding)
	}
	return fmt.Sprintf("the %s says: %s", policy, d.Message)
}

// The words are from k8s.io/apiserver: pkg/admission/plugin/policy/validating/dispatcher.go,
// pkg/admission/plugin/webhook/errors/statuserror.go, and dispatcher.go of the webhooks. A policy's words
// follow the name of the object, unless it is a mutating one or could not be evaluated (policy_dispatcher.go).
// A webhook that changes what is deleted fails the deletion each time (mutating/dispatcher.go).
var (
	byPolicy = regexp.MustCompile(`(?s)^\S+(?: "[^"]*")? is forbidden: ` +
		`ValidatingAdmissionPolicy '([^']*)'(?: with binding '([^']*)')? denied request: (.*)$`)
	byAnyPolicy  = regexp.MustCompile(`(?s)^policy (?:'([^']*)' with binding '([^']*)'|"([^"]*)") denied request: (.*)$`)
	byChange     = regexp.MustCompile(`(?s)^Internal error occurred: admission webhook "([^"]*)" (attempted to modify the object, .*)$`)
	byWebhook    = regexp.MustCompile(`(?s)^admission webhook "([^"]*)" denied the request:? (.*)$`)
	byNobody     = regexp.MustCompile(`(?s)^Internal error occurred: failed calling webhook "([^"]*)": (.*)$`)
	withoutTrial = regexp.MustCompile(`^admission webhook "([^"]*)" does not support dry run$`)
)

// Denied returns admission's denial, if the error is one. An unanswered webhook is a denial, too, though it
// may answer later.
func Denied(err error) (Denial, bool) {
	message := statusMessage(err)
	if m := byPolicy.FindStringSubmatch(message); m != nil {
		return Denial{Policy: m[1], Binding: m[2], Message: m[3]}, true
	}
	if m := byAnyPolicy.FindStringSubmatch(message); m != nil {
		return Denial{Policy: m[1] + m[3], Binding: m[2], AnyKind: true, Message: m[4]}, true
	}
	if m := byChange.FindStringSubmatch(message); m != nil {
		return Denial{Webhook: m[1], Message: m[2]}, true
	}
	if m := byWebhook.FindStringSubmatch(message); m != nil {
		return Denial{Webhook: m[1], Message: m[2]}, true
	}
	if m := byNobody.FindStringSubmatch(message); m != nil && apierrors.IsInternalError(err) {
		return Denial{Webhook: m[1], Unanswered: true, Message: m[2]}, true
	}
	return Denial{}, false
}

// Refused reports whether admission has decided to deny a write. A retry would not change that.
func Refused(err error) bool {
	d, is := Denied(err)
	return is && !d.Unanswered
}

// NoDryRun returns the webhook that does not support the dry run of a write; "" if there is none.
func NoDryRun(err error) string {
	if m := withoutTrial.FindStringSubmatch(statusMessage(err)); m != nil {
		return m[1]
	}
	return ""
}

func statusMessage(err error) string {
	var status apierrors.APIStatus
	if !errors.As(err, &status) {
		return ""
	}
	return status.Status().Message
}
