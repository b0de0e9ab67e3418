package object

import "k8s.io/apimachinery/pkg/runtime/schema"

// The kinds of Kubernetes that arc-cleanup reads or writes. ARC's own kinds are in package arc.
var (
	ConfigMaps      = core("configmaps")
	Events          = core("events")
	Namespaces      = core("namespaces")
	Pods            = core("pods")
	Secrets         = core("secrets")
	ServiceAccounts = core("serviceaccounts")
	Services        = core("services")

	Deployments    = v1("apps", "deployments")
	StatefulSets   = v1("apps", "statefulsets")
	Jobs           = v1("batch", "jobs")
	Leases         = v1("coordination.k8s.io", "leases")
	EndpointSlices = v1("discovery.k8s.io", "endpointslices")
	Roles          = v1("rbac.authorization.k8s.io", "roles")
	RoleBindings   = v1("rbac.authorization.k8s.io", "rolebindings")

	CRDs               = v1("apiextensions.k8s.io", "customresourcedefinitions")
	APIServices        = v1("apiregistration.k8s.io", "apiservices")
	ValidatingWebhooks = v1("admissionregistration.k8s.io", "validatingwebhookconfigurations")
	MutatingWebhooks   = v1("admissionregistration.k8s.io", "mutatingwebhookconfigurations")

	// The reviews are questions about rights: the API server answers them and stores nothing.
	SelfSubjectAccessReviews  = v1("authorization.k8s.io", "selfsubjectaccessreviews")
	SubjectAccessReviews      = v1("authorization.k8s.io", "subjectaccessreviews")
	LocalSubjectAccessReviews = v1("authorization.k8s.io", "localsubjectaccessreviews")
)

func core(resource string) schema.GroupVersionResource { return v1("", resource) }

func v1(group, resource string) schema.GroupVersionResource {
	return schema.GroupVersionResource{Group: group, Version: "v1", Resource: resource}
}
