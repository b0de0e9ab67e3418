package survey

import (
	"context"
	"fmt"
	"slices"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/arc-cleanup/arc-cleanup/internal/arc"
	"github.com/arc-cleanup/arc-cleanup/internal/kube"
	"github.com/arc-cleanup/arc-cleanup/internal/object"
	"github.com/arc-cleanup/arc-cleanup/internal/plan"
)

// webhook is what matters here of one in a ValidatingWebhookConfiguration or a
// MutatingWebhookConfiguration, which have it in the same places. With the types
// of k8s.io/api the binary would be a third larger.
type webhook struct {
	Name          string `json:"name"`
	FailurePolicy string `json:"failurePolicy"`
	ClientConfig  struct {
		Service struct {
			Namespace string `json:"namespace"`
			Name      string `json:"name"`
		} `json:"service"`
	} `json:"clientConfig"`
	Rules []webhookRule `json:"rules"`
}

type webhookRule struct {
	APIGroups   []string `json:"apiGroups"`
	APIVersions []string `json:"apiVersions"`
	Operations  []string `json:"operations"`
	Resources   []string `json:"resources"`
}

func webhooksOf(u unstructured.Unstructured) ([]webhook, error) {
	var configuration struct {
		Webhooks []webhook `json:"webhooks"`
	}
	err := runtime.DefaultUnstructuredConverter.FromUnstructured(u.Object, &configuration)
	return configuration.Webhooks, err
}

// FindObstacles looks for webhooks that would refuse writes of ours, and for
// APIServices that keep namespaces from going. Selectors of webhooks are not
// looked at, so that one which is named may turn out not to matter.
func FindObstacles(ctx context.Context, c *kube.Client) ([]plan.Finding, error) {
	var found []plan.Finding
	for _, gvr := range []schema.GroupVersionResource{object.ValidatingWebhooks, object.MutatingWebhooks} {
		configurations, err := c.List(ctx, gvr, "", "")
		if err != nil {
			return nil, err
		}
		for _, u := range configurations {
			webhooks, err := webhooksOf(u)
			if err != nil {
				return nil, fmt.Errorf("reading %s %s: %w", gvr.Resource, u.GetName(), err)
			}
			for _, w := range webhooks {
				s := w.ClientConfig.Service
				if s.Name == "" || w.FailurePolicy == "Ignore" || !slices.ContainsFunc(w.Rules, webhookRule.coversOurs) {
					continue
				}
				why, err := unanswered(ctx, c, s.Namespace, s.Name)
				if err != nil {
					return nil, err
				}
				if why != "" {
					found = append(found, plan.Finding{Object: target(gvr, u), Why: fmt.Sprintf("its webhook %s would refuse writes: %s", w.Name, why)})
					break
				}
			}
		}
	}
	services, err := c.List(ctx, object.APIServices, "", "")
	if err != nil {
		return nil, err
	}
	for _, u := range services {
		if why := unavailable(u); why != "" {
			found = append(found, plan.Finding{Object: target(object.APIServices, u), Why: "no namespace can be deleted while it is not available: " + why})
		}
	}
	return found, nil
}

func target(gvr schema.GroupVersionResource, u unstructured.Unstructured) *object.Object {
	return &object.Object{Resource: gvr, Name: u.GetName(), UID: u.GetUID()}
}

// ourWrites are the resources that may be patched or deleted in a run.
func ourWrites() []schema.GroupVersionResource {
	return slices.Concat(arc.Resources(), arc.LegacyResources(), plan.ProtectedResources, []schema.GroupVersionResource{object.Pods, object.CRDs})
}

// coversOurs reports whether a write of ours would have to pass the webhook.
func (r webhookRule) coversOurs() bool {
	covers := func(names []string, each ...string) bool {
		return slices.ContainsFunc(append(each, "*"), func(name string) bool { return slices.Contains(names, name) })
	}
	return covers(r.Operations, "UPDATE", "DELETE") && slices.ContainsFunc(ourWrites(), func(gvr schema.GroupVersionResource) bool {
		return covers(r.APIGroups, gvr.Group) && covers(r.APIVersions, gvr.Version) && covers(r.Resources, gvr.Resource, "*/*")
	})
}

// unanswered says why nobody answers at a Service; "" means that somebody may.
func unanswered(ctx context.Context, c *kube.Client, namespace, name string) (string, error) {
	service, err := c.Get(ctx, object.Services, namespace, name)
	if apierrors.IsNotFound(err) {
		return fmt.Sprintf("the Service %s/%s does not exist", namespace, name), nil
	}
	if err != nil {
		return "", err
	}
	// It has no endpoints: the API server asks at its name
	// (k8s.io/apiserver pkg/util/proxy, ResolveCluster).
	if external, _, _ := unstructured.NestedString(service.Object, "spec", "externalName"); external != "" {
		return "", nil
	}
	found, err := c.List(ctx, object.EndpointSlices, namespace, "kubernetes.io/service-name="+name)
	if err != nil {
		return "", err
	}
	for _, slice := range found {
		endpoints, _, _ := unstructured.NestedSlice(slice.Object, "endpoints")
		for _, e := range endpoints {
			endpoint, _ := e.(map[string]any)
			// Absent is to be taken for ready (k8s.io/api/discovery/v1, EndpointConditions).
			if ready, found, _ := unstructured.NestedBool(endpoint, "conditions", "ready"); ready || !found {
				return "", nil
			}
		}
	}
	return fmt.Sprintf("the Service %s/%s has no ready endpoint", namespace, name), nil
}

// unavailable says why an APIService's server cannot be asked; "" means that it
// can.
func unavailable(u unstructured.Unstructured) string {
	conditions, _, _ := unstructured.NestedSlice(u.Object, "status", "conditions")
	for _, c := range conditions {
		condition, _ := c.(map[string]any)
		if condition["type"] == "Available" && condition["status"] == "False" {
			return fmt.Sprint(condition["message"])
		}
	}
	return ""
}
