package kube

import (
	"errors"
	"fmt"
	"regexp"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// DryRun is the same client, whose writes the API server takes through admission
// and then does not carry out.
func (c *Client) DryRun() *Client {
	dry := *c
	dry.dryRun = []string{metav1.DryRunAll}
	return &dry
}

// Creating are the options with which to create an object.
func (c *Client) Creating() metav1.CreateOptions { return metav1.CreateOptions{DryRun: c.dryRun} }

// Denial is a write that admission does not let through. It answers with whatever
// code a policy or a webhook asks for: 422 by default of a policy, 403 of a
// webhook, and any other. So it is known by its words.
type Denial struct {
	// Policy is a ValidatingAdmissionPolicy, Binding what binds it. Or else Webhook is
	// the name of a webhook in some configuration.
	Policy, Binding, Webhook string
	// Unanswered is set where the webhook could not be called, and said nothing.
	Unanswered bool
	Message    string
}

func (d Denial) String() string {
	switch {
	case d.Unanswered:
		return fmt.Sprintf("the admission webhook %s, which must answer, does not: %s", d.Webhook, d.Message)
	case d.Webhook != "":
		return fmt.Sprintf("the admission webhook %s says: %s", d.Webhook, d.Message)
	case d.Binding == "":
		return fmt.Sprintf("the ValidatingAdmissionPolicy %s says: %s", d.Policy, d.Message)
	}
	return fmt.Sprintf("the ValidatingAdmissionPolicy %s (binding %s) says: %s", d.Policy, d.Binding, d.Message)
}

// The words are in k8s.io/apiserver: pkg/admission/plugin/policy/validating/dispatcher.go,
// pkg/admission/plugin/webhook/errors/statuserror.go, and dispatcher.go of the
// webhooks. Before a policy's stands the name of the object.
var (
	byPolicy     = regexp.MustCompile(`(?s)^\S+(?: "[^"]*")? is forbidden: ValidatingAdmissionPolicy '([^']*)'(?: with binding '([^']*)')? denied request: (.*)$`)
	byWebhook    = regexp.MustCompile(`(?s)^admission webhook "([^"]*)" denied the request:? (.*)$`)
	byNobody     = regexp.MustCompile(`(?s)^Internal error occurred: failed calling webhook "([^"]*)": (.*)$`)
	withoutTrial = regexp.MustCompile(`^admission webhook "([^"]*)" does not support dry run$`)
)

// Denied returns admission's denial, if the error is one; an unanswered webhook's,
// too, which may be answered again.
func Denied(err error) (Denial, bool) {
	message := statusMessage(err)
	if m := byPolicy.FindStringSubmatch(message); m != nil {
		return Denial{Policy: m[1], Binding: m[2], Message: m[3]}, true
	}
	if m := byWebhook.FindStringSubmatch(message); m != nil {
		return Denial{Webhook: m[1], Message: m[2]}, true
	}
	if m := byNobody.FindStringSubmatch(message); m != nil && apierrors.IsInternalError(err) {
		return Denial{Webhook: m[1], Unanswered: true, Message: m[2]}, true
	}
	return Denial{}, false
}

// Refused reports whether admission has looked at a write and does not let it
// through, which trying again does not change.
func Refused(err error) bool {
	d, is := Denied(err)
	return is && !d.Unanswered
}

// NoDryRun returns the webhook on whose account a write cannot be tried dry; ""
// means that it can.
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
