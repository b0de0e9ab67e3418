package cleanup

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// hooked is a webhook configuration whose one webhook is called for an operation
// on a resource.
func hooked(text, service, failurePolicy, operation, group, resource string) item {
	it := whole(obj(text))[0]
	w := map[string]any{
		"name": "w", "failurePolicy": failurePolicy, "clientConfig": map[string]any{"url": "https://elsewhere"},
		"rules": []any{map[string]any{"apiGroups": []any{group}, "apiVersions": []any{"*"}, "operations": []any{operation}, "resources": []any{resource}}},
	}
	if service != "" {
		n := named(service)
		w["clientConfig"] = map[string]any{"service": map[string]any{"namespace": n.Namespace, "name": n.Name}}
	}
	it.rest = map[string]any{"webhooks": []any{w}}
	return it
}

// endpoints is a Service and its slice; ready is true, false or nil.
func endpoints(name string, ready any) []item {
	n := named(name)
	items := whole(obj("svc "+name), obj("eps "+name+"-abc"))
	items[1].labels["kubernetes.io/service-name"] = n.Name
	conditions := map[string]any{}
	if ready != nil {
		conditions["ready"] = ready
	}
	items[1].rest = map[string]any{"endpoints": []any{map[string]any{"conditions": conditions}}}
	return items
}

func TestObstaclesAreWhatNobodyAnswers(t *testing.T) {
	t.Parallel()
	apiService := func(name, status string) item {
		it := whole(obj("apiservice " + name))[0]
		it.rest = map[string]any{"status": map[string]any{"conditions": []any{map[string]any{"type": "Available", "status": status, "message": "no endpoints"}}}}
		return it
	}
	items := append(endpoints("web/live", true), append(endpoints("web/unsaid", nil), endpoints("web/dead", false)...)...)
	elsewhere := whole(obj("svc web/elsewhere"))[0]
	elsewhere.rest = map[string]any{"spec": map[string]any{"type": "ExternalName", "externalName": "hooks.example.com"}}
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
	a, c := newAPI(t, items...)
	found, err := findObstacles(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, x := range found {
		got = append(got, fmt.Sprintf("%s: %s", ref(x.Object), x.Why))
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

	// They are named where there is something to do, and in what is left then.
	for _, it := range stuck() {
		a.put(it)
	}
	a.fault = func(request string) int {
		if strings.HasPrefix(request, "PATCH er ") {
			return 403
		}
		return 0
	}
	if r := Run(t.Context(), c, graced(ofRelease, ample), quiet, nil); len(r.Obstacles) != len(want) || !strings.Contains(r.Text(10), "likely in the way: validatingwebhookconfigurations") {
		t.Errorf("%s", r.Text(10))
	}
}

func TestObstaclesThatCannotBeReadHinderNothing(t *testing.T) {
	t.Parallel()
	a, c := newAPI(t, stuck()...)
	a.fault = func(request string) int {
		if strings.HasPrefix(request, "LIST vwc") {
			return 403
		}
		return 0
	}
	p := Preview(t.Context(), c, byHand)
	if len(p.Refusals) > 0 || p.ObstaclesErr == nil {
		t.Errorf("refusals %v, error %v", p.Refusals, p.ObstaclesErr)
	}
}
