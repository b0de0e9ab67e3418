package survey

import (
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"k8s.io/client-go/rest"

	"github.com/arc-cleanup/arc-cleanup/internal/arc"
	"github.com/arc-cleanup/arc-cleanup/internal/kube"
	"github.com/arc-cleanup/arc-cleanup/internal/kube/kubetest"
	"github.com/arc-cleanup/arc-cleanup/internal/plan"
)

// A record may take 80 MiB while it is unpacked, and a hook's Pod has 128. Who installs scale sets and writes
// records for them must not end every uninstall with an OOM kill, so the survey reads one record at a time.
func TestRecordsAreReadOneAtATime(t *testing.T) {
	t.Parallel()
	var items []kubetest.Item
	for _, crd := range arc.CRDs() {
		items = append(items, kubetest.Whole(kubetest.Object("crd "+crd))...)
	}
	for _, namespace := range []string{"a", "b", "c"} {
		set := kubetest.Whole(kubetest.Object("ars " + namespace + "/set"))[0]
		set.Annotations[arc.AnnotationReleaseName], set.Annotations[arc.AnnotationReleaseNamespace] = "set", namespace
		manifest := "apiVersion: " + arc.Group + "/v1alpha1\nkind: AutoscalingRunnerSet\nmetadata: {name: set}\n"
		items = append(items, set, kubetest.Record(namespace, namespace, "set", "deployed", manifest))
	}
	a, c := kubetest.New(t, items...)
	var now, most, all atomic.Int32
	a.Fault = func(request string) int {
		if strings.HasPrefix(request, "GET secret ") {
			all.Add(1)
			if n := now.Add(1); n > most.Load() {
				most.Store(n)
			}
			time.Sleep(10 * time.Millisecond)
			now.Add(-1)
		}
		return 0
	}
	s := Read(t.Context(), c, plan.Options{
		Scope: plan.ScopeController, ScaleSets: plan.UninstallScaleSets, RunnerNamespaces: []string{"a", "b", "c"}, Grace: time.Minute,
	})
	if len(s.Unknown) > 0 || len(s.Installed) != 3 || len(s.Proven) != 3 || all.Load() != 6 {
		t.Errorf("unknown %v, %d releases, %d proven, %d reads of records", s.Unknown, len(s.Installed), len(s.Proven), all.Load())
	}
	if most.Load() != 1 {
		t.Errorf("%d records were read at once", most.Load())
	}
}

// Nor does the survey keep whole AutoscalingRunnerSets, which a team may make as large.
func TestWholeScaleSetsAreReadInSmallPages(t *testing.T) {
	t.Parallel()
	var items []kubetest.Item
	for _, crd := range arc.CRDs() {
		items = append(items, kubetest.Whole(kubetest.Object("crd "+crd))...)
	}
	for _, name := range []string{"a", "b", "c"} {
		set := kubetest.Whole(kubetest.Object("ars team/" + name))[0]
		set.Rest = map[string]any{"spec": map[string]any{"githubConfigUrl": "https://github.com/" + name, "large": strings.Repeat("x", 800<<10)}}
		items = append(items, set)
	}
	a, _ := kubetest.New(t, items...)
	a.PageSize = 100
	var asked atomic.Int32
	c, err := kube.New(&rest.Config{Host: a.URL, WrapTransport: func(next http.RoundTripper) http.RoundTripper {
		return roundTrip(func(r *http.Request) (*http.Response, error) {
			if strings.HasSuffix(r.URL.Path, "/autoscalingrunnersets") && !strings.Contains(r.Header.Get("Accept"), "PartialObjectMetadata") {
				asked.Add(1)
			}
			return next.RoundTrip(r)
		})
	}})
	if err != nil {
		t.Fatal(err)
	}
	s := Read(t.Context(), c, plan.Options{Scope: plan.ScopeController, Grace: time.Minute})
	urls := map[string]bool{}
	for _, info := range s.Sets {
		urls[info.URL] = true
	}
	if len(s.Unknown) > 0 || len(urls) != 3 || asked.Load() < 4 {
		t.Errorf("unknown %v, sets %v, %d pages", s.Unknown, urls, asked.Load())
	}
}
