package cleanup

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/arc-cleanup/arc-cleanup/internal/kube/kubetest"
	"github.com/arc-cleanup/arc-cleanup/internal/plan/plantest"
	"github.com/arc-cleanup/arc-cleanup/internal/survey"
)

// hooked is a webhook configuration with one webhook for an operation on a resource.
func hooked(text, service, failurePolicy, operation, group, resource string) kubetest.Item {
	it := kubetest.Whole(kubetest.Object(text))[0]
	w := map[string]any{
		"name": "w", "failurePolicy": failurePolicy, "clientConfig": map[string]any{"url": "https://elsewhere"},
		"rules": []any{map[string]any{"apiGroups": []any{group}, "apiVersions": []any{"*"}, "operations": []any{operation}, "resources": []any{resource}}},
	}
	if service != "" {
		n := kubetest.Named(service)
		w["clientConfig"] = map[string]any{"service": map[string]any{"namespace": n.Namespace, "name": n.Name}}
	}
	it.Rest = map[string]any{"webhooks": []any{w}}
	return it
}

func TestObstaclesAreWhatNobodyAnswers(t *testing.T) {
	t.Parallel()
	apiService := func(name, status string) kubetest.Item {
		it := kubetest.Whole(kubetest.Object("apiservice " + name))[0]
		it.Rest = map[string]any{"status": map[string]any{"conditions": []any{map[string]any{"type": "Available", "status": status, "message": "no endpoints"}}}}
		return it
	}
	items := append(kubetest.Endpoints("web/live", true), append(kubetest.Endpoints("web/unsaid", nil), kubetest.Endpoints("web/dead", false)...)...)
	elsewhere := kubetest.Whole(kubetest.Object("svc web/elsewhere"))[0]
	elsewhere.Rest = map[string]any{"spec": map[string]any{"type": "ExternalName", "externalName": "hooks.example.com"}}
	items = append(items, elsewhere,
		hooked("vwc elsewhere", "web/elsewhere", "Fail", "UPDATE", "*", "*"),
		hooked("vwc gone", "web/gone", "Fail", "UPDATE", "actions.github.com", "ephemeralrunners"),
		hooked("vwc every", "web/gone", "", "*", "*", "*/*"),
		hooked("vwc pods", "web/dead", "Fail", "DELETE", "", "pods"),
		hooked("mwc roles", "web/dead", "Fail", "UPDATE", "rbac.authorization.k8s.io", "roles"),
		hooked("vwc answered", "web/live", "Fail", "UPDATE", "*", "*"),
		hooked("vwc unsaid", "web/unsaid", "Fail", "UPDATE", "*", "*"),
		hooked("vwc ignored", "web/gone", "Ignore", "UPDATE", "*", "*"),
		hooked("vwc creation", "web/gone", "Fail", "CREATE", "*", "*"),
		hooked("vwc others", "web/gone", "Fail", "UPDATE", "example.com", "*"),
		hooked("vwc url", "", "Fail", "UPDATE", "*", "*"),
		apiService("v1beta1.metrics", "False"), apiService("v1.apps", "True"),
	)
	a, c := kubetest.New(t, items...)
	found, err := survey.FindObstacles(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, x := range found {
		got = append(got, fmt.Sprintf("%s: %s", kubetest.Ref(x.Object), x.Why))
	}
	const refuses = "its webhook w would refuse writes: the Service "
	want := []string{
		"vwc every: " + refuses + "web/gone does not exist",
		"vwc gone: " + refuses + "web/gone does not exist",
		"vwc pods: " + refuses + "web/dead has no ready endpoint",
		"mwc roles: " + refuses + "web/dead has no ready endpoint",
		"apiservice v1beta1.metrics: no namespace can be deleted while it is not available: no endpoints",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}

	// Obstacles are named if there is something to do, and again with what is left.
	for _, it := range kubetest.Stuck() {
		a.Put(it)
	}
	a.Fault = func(request string) int {
		if strings.HasPrefix(request, "PATCH er ") {
			return 403
		}
		return 0
	}
	if r := Run(t.Context(), c, graced(plantest.OfRelease, ample), quiet, Person{}); len(r.Obstacles) != len(want) || !strings.Contains(r.Text(10), "likely in the way: validatingwebhookconfigurations") {
		t.Errorf("%s", r.Text(10))
	}
}

func TestObstaclesThatCannotBeReadHinderNothing(t *testing.T) {
	t.Parallel()
	a, c := kubetest.New(t, kubetest.Stuck()...)
	a.Fault = func(request string) int {
		if strings.HasPrefix(request, "LIST vwc") {
			return 403
		}
		return 0
	}
	p := Preview(t.Context(), c, plantest.ByHand, nil)
	if len(p.Refusals) > 0 || p.ObstaclesErr == nil {
		t.Errorf("refusals %v, error %v", p.Refusals, p.ObstaclesErr)
	}
}
