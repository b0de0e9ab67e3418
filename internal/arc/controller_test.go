package arc

import (
	"slices"
	"testing"

	"k8s.io/apimachinery/pkg/labels"
)

func TestController(t *testing.T) {
	account := map[string]string{"actions.github.com/controller-service-account-name": "arc-gha-rs-controller"}
	watch := func(l map[string]string, namespace string) map[string]string {
		return map[string]string{
			"actions.github.com/controller-service-account-name":   l["actions.github.com/controller-service-account-name"],
			"actions.github.com/controller-watch-single-namespace": namespace,
		}
	}
	chart := map[string]string{"app.kubernetes.io/part-of": "gha-rs-controller", "helm.sh/chart": "gha-rs-controller-0.12.1"}
	manager := func(args ...string) Container { return Container{Command: []string{"/manager"}, Args: args} }
	proxy := Container{Image: "quay.io/brancz/kube-rbac-proxy:v0.13.1", Args: []string{"--v=10"}}
	const only = "--auto-scaling-runner-set-only"
	tests := map[string]struct {
		labels     map[string]string
		containers []Container
		watches    []string
		want       bool
	}{
		"by its flag":                     {nil, []Container{manager(only, "--log-level=debug")}, nil, true},
		"part-of is somebody else's":      {map[string]string{"app.kubernetes.io/part-of": "build-platform"}, []Container{manager(only)}, nil, true},
		"a sidecar comes first":           {nil, []Container{proxy, manager(only)}, nil, true},
		"in the command":                  {nil, []Container{{Command: []string{"/manager", only}}}, nil, true},
		"one dash":                        {nil, []Container{manager("-auto-scaling-runner-set-only")}, nil, true},
		"told":                            {nil, []Container{manager(only + "=true")}, nil, true},
		"told not to":                     {nil, []Container{manager(only + "=false")}, nil, false},
		"another flag":                    {nil, []Container{manager(only + "-x")}, nil, false},
		"a text that holds the flag":      {nil, []Container{{Command: []string{"sh", "-c", "/manager " + only}}}, nil, false},
		"by its label, flags in a script": {account, []Container{{Command: []string{"sh", "-c", "/manager " + only}}}, nil, true},
		"by its label, containers unread": {account, nil, nil, true},
		"an empty label":                  {map[string]string{"actions.github.com/controller-service-account-name": ""}, []Container{proxy}, nil, false},
		"part-of alone":                   {chart, []Container{proxy}, nil, false},
		"nothing":                         {nil, nil, nil, false},
		"one namespace":                   {watch(account, "ci"), []Container{manager(only, "--watch-single-namespace=ci")}, []string{"ci"}, true},
		"one namespace, without labels":   {nil, []Container{manager(only, "--watch-single-namespace=ci")}, []string{"ci"}, true},

		"one namespace, in an argument of its own": {nil, []Container{manager(only, "--watch-single-namespace", "ci")}, []string{"ci"}, true},
		"one namespace, nothing behind it":         {nil, []Container{manager(only, "--watch-single-namespace")}, nil, true},
		"the last one counts":                      {nil, []Container{manager(only, "--watch-single-namespace=a", "--watch-single-namespace=b")}, []string{"b"}, true},
		"the flag counts":                          {watch(account, "label"), []Container{manager(only, "--watch-single-namespace=flag")}, []string{"flag"}, true},
		"the flag counts where it is not":          {watch(account, "label"), []Container{manager(only)}, nil, true},
		"the label where no flag is seen":          {watch(account, "label"), []Container{proxy}, []string{"label"}, true},
		"the label of no controller":               {watch(nil, "label"), []Container{proxy}, nil, false},
		"two managers":                             {nil, []Container{manager(only, "--watch-single-namespace=a"), manager(only, "--watch-single-namespace=b")}, []string{"a", "b"}, true},
		"two managers, one watches all":            {nil, []Container{manager(only, "--watch-single-namespace=a"), manager(only)}, nil, true},
		"the legacy one":                           {map[string]string{"helm.sh/chart": "actions-runner-controller-0.23.7"}, []Container{manager("--watch-namespace=ci")}, nil, false},
	}
	for name, test := range tests {
		if watches, is := Controller(test.labels, test.containers); is != test.want || !slices.Equal(watches, test.watches) {
			t.Errorf("%s: %q, %t", name, watches, is)
		}
	}
}

func TestControllerSelectors(t *testing.T) {
	account := "actions.github.com/controller-service-account-name"
	tests := map[string]struct {
		labels labels.Set
		want   bool
	}{
		"any version from 0.4.0 on": {labels.Set{"app.kubernetes.io/part-of": "gha-rs-controller", account: "arc"}, true},
		"its part-of changed":       {labels.Set{"app.kubernetes.io/part-of": "build-platform", account: "arc"}, true},
		"0.3.0":                     {labels.Set{"app.kubernetes.io/part-of": "gha-runner-scale-set-controller"}, true},
		"0.2.0":                     {labels.Set{"app.kubernetes.io/part-of": "actions-runner-controller-2"}, true},
		"its account's label gone":  {labels.Set{"app.kubernetes.io/part-of": "gha-rs-controller"}, true},
		"a shop":                    {labels.Set{"app.kubernetes.io/part-of": "shop"}, false},
		"a scale set's":             {labels.Set{"app.kubernetes.io/part-of": "gha-rs"}, false},
	}
	for name, test := range tests {
		got := false
		for _, text := range ControllerSelectors() {
			selector, err := labels.Parse(text)
			if err != nil {
				t.Fatal(err)
			}
			got = got || selector.Matches(test.labels)
		}
		if got != test.want {
			t.Errorf("%s: %t", name, got)
		}
	}
}

func TestScaleSetName(t *testing.T) {
	for label, want := range map[string]string{"linux_x64_": "linux-x64-", "linux-x64": "linux-x64", "": ""} {
		if got := ScaleSetName(label); got != want {
			t.Errorf("%q: %q", label, got)
		}
	}
}

func TestImageOfAController(t *testing.T) {
	manager := Container{Image: "manager", Command: []string{"/manager", "--auto-scaling-runner-set-only", "--update-strategy", "eventual"}}
	proxy := Container{Image: "proxy", Args: []string{"--update-strategy=immediate"}}
	for name, test := range map[string]struct {
		of       []Container
		image    string
		eventual bool
	}{
		"with a sidecar": {[]Container{proxy, manager}, "manager", true},
		"in a script":    {[]Container{{Image: "x", Command: []string{"sh"}}}, "x", false},
		"which?":         {[]Container{proxy, proxy}, "", false},
		"none":           {nil, "", false},
	} {
		if got := ControllerImage(test.of); got != test.image || Eventual(test.of) != test.eventual {
			t.Errorf("%s: %q, %t", name, got, Eventual(test.of))
		}
	}
	for image, want := range map[string]string{
		"ghcr.io/actions/gha-runner-scale-set-controller:0.14.2": "0.14.2",
		"registry:5000/arc:0.14.2@sha256:0":                      "0.14.2",
		"registry:5000/arc":                                      "",
		"arc@sha256:0":                                           "",
		"":                                                       "",
	} {
		if got := ImageVersion(image); got != want {
			t.Errorf("%s: %q", image, got)
		}
	}
}
