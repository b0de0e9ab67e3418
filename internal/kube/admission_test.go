package kube

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/arc-cleanup/arc-cleanup/internal/object"
)

// held is the thing with one of our finalizers.
var held = func() object.Object {
	t := thing
	t.Finalizers = []string{"own/a"}
	return t
}()

func saying(code int32, reason metav1.StatusReason, message string) *apierrors.StatusError {
	return &apierrors.StatusError{ErrStatus: metav1.Status{TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "Status"}, Status: metav1.StatusFailure, Code: code, Reason: reason, Message: message}}
}

func TestDenied(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		err    error
		denial Denial
		is     bool
	}{
		"a policy": {
			saying(422, metav1.StatusReasonInvalid, `customresourcedefinitions.apiextensions.k8s.io "a" is forbidden: ValidatingAdmissionPolicy 'p' with binding 'b' denied request: CRDs: stay`),
			Denial{Policy: "p", Binding: "b", Message: "CRDs: stay"},
			true,
		},
		"a policy that is not bound right": {
			saying(403, metav1.StatusReasonForbidden, `roles.rbac.authorization.k8s.io "system:a" is forbidden: ValidatingAdmissionPolicy 'p' denied request: failed to configure policy: x`),
			Denial{Policy: "p", Message: "failed to configure policy: x"},
			true,
		},
		"an object that is generated": {
			saying(422, metav1.StatusReasonInvalid, `events is forbidden: ValidatingAdmissionPolicy 'p' with binding 'b' denied request: no`),
			Denial{Policy: "p", Binding: "b", Message: "no"},
			true,
		},
		"a policy of either kind": {
			saying(403, metav1.StatusReasonInvalid, `policy 'p' with binding 'b' denied request: expression: no such key`),
			Denial{Policy: "p", Binding: "b", AnyKind: true, Message: "expression: no such key"},
			true,
		},
		"a policy of either kind, without a binding": {
			saying(403, metav1.StatusReasonForbidden, `policy "p" denied request: no such kind`), Denial{Policy: "p", AnyKind: true, Message: "no such kind"}, true,
		},
		"a webhook that changes what is deleted": {
			apierrors.NewInternalError(errors.New(`admission webhook "w" attempted to modify the object, which is not supported for this operation`)),
			Denial{Webhook: "w", Message: "attempted to modify the object, which is not supported for this operation"},
			true,
		},
		"a webhook":                {saying(403, metav1.StatusReasonForbidden, `admission webhook "w" denied the request: no`), Denial{Webhook: "w", Message: "no"}, true},
		"a webhook that is silent": {saying(400, "", `admission webhook "w" denied the request without explanation`), Denial{Webhook: "w", Message: "without explanation"}, true},
		"a webhook, throttling":    {saying(429, metav1.StatusReasonTooManyRequests, `admission webhook "w" denied the request: later`), Denial{Webhook: "w", Message: "later"}, true},
		"wrapped":                  {fmt.Errorf("deleting x: %w", saying(403, metav1.StatusReasonForbidden, `admission webhook "w" denied the request: no`)), Denial{Webhook: "w", Message: "no"}, true},
		"nobody answers": {
			apierrors.NewInternalError(errors.New(`failed calling webhook "w": no endpoints`)), Denial{Webhook: "w", Unanswered: true, Message: "no endpoints"}, true,
		},
		"no right":            {apierrors.NewForbidden(schema.GroupResource{Resource: "pods"}, "a", errors.New("User cannot")), Denial{}, false},
		"a quota":             {apierrors.NewForbidden(schema.GroupResource{Resource: "pods"}, "a", errors.New("exceeded quota: q")), Denial{}, false},
		"what an object says": {apierrors.NewForbidden(schema.GroupResource{Resource: "pods"}, "a", errors.New(`x is forbidden: ValidatingAdmissionPolicy 'p' denied request: y`)), Denial{}, false},
		"no answer":           {errors.New(`admission webhook "w" denied the request: no`), Denial{}, false},
		"nothing":             {nil, Denial{}, false},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, is := Denied(test.err)
			if diff := cmp.Diff(test.denial, got); diff != "" || is != test.is {
				t.Errorf("%v (-want +got):\n%s", is, diff)
			}
			if Refused(test.err) != (is && !got.Unanswered) {
				t.Error("a refusal is a denial of somebody who answers")
			}
		})
	}
}

// A webhook may answer with any code: none of them is success, and none is tried again.
func TestAWebhooksNoIsNoSuccess(t *testing.T) {
	t.Parallel()
	for code, reason := range map[int]metav1.StatusReason{
		http.StatusNotFound: metav1.StatusReasonNotFound, http.StatusConflict: metav1.StatusReasonConflict,
		http.StatusTooManyRequests: metav1.StatusReasonTooManyRequests, http.StatusInternalServerError: metav1.StatusReasonInternalError,
	} {
		no := reply{code: code, body: saying(int32(code), reason, `admission webhook "w" denied the request: no`).ErrStatus}
		for name, write := range map[string]func(*Client) error{
			"a deletion":    func(c *Client) error { return c.Delete(t.Context(), thing, metav1.DeletePropagationBackground) },
			"finalizers":    func(c *Client) error { return c.RemoveFinalizers(t.Context(), held, isOurs) },
			"an annotation": func(c *Client) error { return c.Annotate(t.Context(), thing, map[string]any{"a": "b"}) },
		} {
			c, s := script(t, no)
			if err := write(c); err == nil || !Refused(err) || len(s.methods()) != 1 {
				t.Errorf("%s, %d: %v after %v", name, code, err, s.methods())
			}
		}
	}
}

func TestADryRunSaysSo(t *testing.T) {
	t.Parallel()
	for name, write := range map[string]func(*Client) error{
		"a deletion":    func(c *Client) error { return c.Delete(t.Context(), thing, metav1.DeletePropagationBackground) },
		"finalizers":    func(c *Client) error { return c.RemoveFinalizers(t.Context(), held, isOurs) },
		"an annotation": func(c *Client) error { return c.Annotate(t.Context(), thing, map[string]any{"a": "b"}) },
		"replicas":      func(c *Client) error { return c.ScaleToZero(t.Context(), thing) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for _, dry := range []bool{true, false} {
				c, s := script(t, found("1"))
				if dry {
					c = c.DryRun()
				}
				check(t, write(c), "")
				var options metav1.DeleteOptions
				_ = json.Unmarshal([]byte(s.requests[0].Body), &options)
				if got := strings.Contains(s.requests[0].Query, "dryRun=All") || len(options.DryRun) > 0; got != dry {
					t.Errorf("dry: %v, want %v: %+v", got, dry, s.requests[0])
				}
			}
		})
	}
}
