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

// webhook holds the needed fields of a webhook in a ValidatingWebhookConfiguration or a
// MutatingWebhookConfiguration, which have the same names in both. The types of k8s.io/api would
// make the binary a third larger.
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

// eachWebhooks calls do for every webhook configuration, with its webhooks.
func eachWebhooks(ctx context.Context, c *kube.Client, do func(schema.GroupVersionResource, unstructured.Unstructured, []webhook) error) error {
	for _, gvr := range []schema.GroupVersionResource{object.ValidatingWebhooks, object.MutatingWebhooks} {
		configurations, err := c.List(ctx, gvr, "", "")
		if err != nil {
			return err
		}
		for _, u := range configurations {
			webhooks, err := webhooksOf(u)
			if err != nil {
				return fmt.Errorf("reading %s %s: %w", gvr.Resource, u.GetName(), err)
			}
			if err := do(gvr, u, webhooks); err != nil {
				return err
			}
		}
	}
	return nil
}

// FindObstacles finds unanswered webhooks that would block writes of a run, and unavailable
// APIServices, which block the deletion of namespaces. It ignores the selectors of webhooks, so it
// may name a webhook that blocks nothing.
func FindObstacles(ctx context.Context, c *kube.Client) ([]plan.Finding, error) {
	var found []plan.Finding
	err := eachWebhooks(ctx, c, func(gvr schema.GroupVersionResource, u unstructured.Unstructured, webhooks []webhook) error {
		for _, w := range webhooks {
			s := w.ClientConfig.Service
			if s.Name == "" || w.FailurePolicy == "Ignore" || !slices.ContainsFunc(w.Rules, webhookRule.coversOurs) {
				continue
			}
			why, err := unanswered(ctx, c, s.Namespace, s.Name)
			if err != nil {
				return err
			}
			if why != "" {
				found = append(found, plan.Finding{Object: target(gvr, u), Why: fmt.Sprintf("its webhook %s would refuse writes: %s", w.Name, why)})
				return nil
			}
		}
		return nil
	})
	if err != nil {
		return nil, err
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

// ourWrites returns the resources that a run may patch or delete.
func ourWrites() []schema.GroupVersionResource {
	return slices.Concat(arc.Resources(), arc.LegacyResources(), plan.ProtectedResources, []schema.GroupVersionResource{object.Pods, object.CRDs})
}

// coversOurs reports whether a rule covers a write of a run.
func (r webhookRule) coversOurs() bool {
	covers := func(names []string, each ...string) bool {
		return slices.ContainsFunc(append(each, "*"), func(name string) bool { return slices.Contains(names, name) })
	}
	return covers(r.Operations, "UPDATE", "DELETE") && slices.ContainsFunc(ourWrites(), func(gvr schema.GroupVersionResource) bool {
		return covers(r.APIGroups, gvr.Group) && covers(r.APIVersions, gvr.Version) && covers(r.Resources, gvr.Resource, "*/*")
	})
}

// unanswered says why a Service does not answer; "" if it may answer.
func unanswered(ctx context.Context, c *kube.Client, namespace, name string) (string, error) {
	service, err := c.Get(ctx, object.Services, namespace, name)
	if apierrors.IsNotFound(err) {
		return fmt.Sprintf("the Service %s/%s does not exist", namespace, name), nil
	}
	if err != nil {
		return "", err
	}
	// It has no endpoints: the API server connects to the external name (k8s.io/apiserver
	// pkg/util/proxy, ResolveCluster).
	if external, _, _ := unstructured.NestedString(service.Object, "spec", "externalName"); external != "" {
		return "", nil
	}
	answers := false
	err = c.EachPage(ctx, object.EndpointSlices, namespace, "kubernetes.io/service-name="+name, func(page []unstructured.Unstructured) error {
		for _, slice := range page {
			is, err := ready(slice)
			if err != nil {
				return fmt.Errorf("reading the EndpointSlice %s/%s: %w", namespace, slice.GetName(), err)
			}
			answers = answers || is
		}
		return nil
	})
	if err != nil || answers {
		return "", err
	}
	return fmt.Sprintf("the Service %s/%s has no ready endpoint", namespace, name), nil
}

// ready reports whether an EndpointSlice has a ready endpoint.
func ready(slice unstructured.Unstructured) (bool, error) {
	type endpoint struct {
		Conditions struct {
			Ready *bool `json:"ready"`
		} `json:"conditions"`
	}
	var read struct {
		Endpoints []endpoint `json:"endpoints"`
	}
	err := runtime.DefaultUnstructuredConverter.FromUnstructured(slice.Object, &read)
	return slices.ContainsFunc(read.Endpoints, func(e endpoint) bool {
		// A missing condition counts as ready (k8s.io/api/discovery/v1, EndpointConditions).
		return e.Conditions.Ready == nil || *e.Conditions.Ready
	}), err
}

// unavailable says why an APIService does not answer; "" if it does.
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
