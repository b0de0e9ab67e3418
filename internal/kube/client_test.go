package kube

import (
	"errors"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/clientcmd"
)

// expired is the answer to a continue token that is too old.
func expired(next string) reply {
	s := status(http.StatusGone, metav1.StatusReasonExpired)
	s.Continue = next
	return reply{code: http.StatusGone, body: s}
}

func TestEach(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		replies []reply
		seen    []string
		tokens  []string // the continue parameter of each request
		want    string
	}{
		"nothing":    {[]reply{page("")}, nil, []string{""}, ""},
		"one page":   {[]reply{page("", "a", "b")}, []string{"a", "b"}, []string{""}, ""},
		"many pages": {[]reply{page("x", "a"), page("y", "b"), page("", "c")}, []string{"a", "b", "c"}, []string{"", "x", "y"}, ""},
		"a page is tried again": {
			[]reply{page("x", "a"), busy, broken, page("", "b")}, []string{"a", "b"}, []string{"", "x", "x", "x"}, "",
		},
		"an expired token, and another to go on with": {
			[]reply{page("x", "a"), expired("x2"), page("y", "b"), page("", "c")}, []string{"a", "b", "c"}, []string{"", "x", "x2", "y"}, "",
		},
		"an expired token for good": {
			[]reply{page("x", "a"), expired("")}, []string{"a"}, []string{"", "x"}, "listing things.example.com in namespace ns: told to fail",
		},
		"a list cut short is no list": {
			[]reply{page("x", "a"), forbidden}, []string{"a"}, []string{"", "x"}, "told to fail",
		},
		"no such resource": {[]reply{notFound}, nil, []string{""}, "listing things.example.com in namespace ns"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c, s := script(t, test.replies...)
			var seen, tokens []string
			err := c.Each(t.Context(), things, "ns", metav1.ListOptions{LabelSelector: "a=b"}, func(m *metav1.PartialObjectMetadata) error {
				seen = append(seen, m.Name)
				return nil
			})
			check(t, err, test.want)
			if diff := cmp.Diff(test.seen, seen); diff != "" {
				t.Errorf("objects (-want +got):\n%s", diff)
			}
			for i, r := range s.requests {
				q, err := url.ParseQuery(r.Query)
				if err != nil {
					t.Fatal(err)
				}
				if limit := q.Get("limit"); limit != "10" && i == 0 || limit != "500" && i > 0 || q.Get("labelSelector") != "a=b" {
					t.Errorf("asked for %s", r.Query)
				}
				tokens = append(tokens, q.Get("continue"))
			}
			if diff := cmp.Diff(test.tokens, tokens); diff != "" {
				t.Errorf("continue tokens (-want +got):\n%s", diff)
			}
		})
	}
}

// Large objects come in small pages: tenants must not fill the memory.
func TestNextPage(t *testing.T) {
	t.Parallel()
	of := func(annotation, fields int) metav1.PartialObjectMetadata {
		m := metav1.PartialObjectMetadata{}
		m.Annotations = map[string]string{"": strings.Repeat("x", annotation)}
		m.ManagedFields = []metav1.ManagedFieldsEntry{{}, {FieldsV1: metav1.NewFieldsV1(strings.Repeat("x", fields))}}
		return m
	}
	for name, test := range map[string]struct {
		items []metav1.PartialObjectMetadata
		want  int64
	}{
		"nothing":            {nil, pageSize},
		"small":              {[]metav1.PartialObjectMetadata{of(100, 900), of(0, 0)}, pageSize},
		"large annotations":  {[]metav1.PartialObjectMetadata{of(256<<10, 0), of(256<<10, 0)}, 3},
		"large fields":       {[]metav1.PartialObjectMetadata{of(0, 128<<10)}, 7},
		"some are large":     {[]metav1.PartialObjectMetadata{of(20<<10, 0), of(0, 0)}, 102},
		"larger than a page": {[]metav1.PartialObjectMetadata{of(2<<20, 0)}, 1},
	} {
		if got := nextPage(test.items); got != test.want {
			t.Errorf("%s: %d", name, got)
		}
	}
}

func TestEachStopsAtAnError(t *testing.T) {
	t.Parallel()
	c, _ := script(t, page("", "a", "b"))
	stop, calls := errors.New("stop"), 0
	err := c.Each(t.Context(), things, "", metav1.ListOptions{}, func(*metav1.PartialObjectMetadata) error {
		calls++
		return stop
	})
	if !errors.Is(err, stop) || calls != 1 {
		t.Errorf("error %v after %d calls", err, calls)
	}
	check(t, err, "in all namespaces")
}

func TestThereIsNoClientSideRateLimit(t *testing.T) {
	t.Parallel()
	c, _ := script(t, success)
	start := time.Now()
	// client-go's own limit, 5 a second after a burst of 10, would take 18 s.
	for range 100 {
		if err := c.Delete(t.Context(), thing, metav1.DeletePropagationBackground); err != nil {
			t.Fatal(err)
		}
	}
	if took := time.Since(start); took > 5*time.Second {
		t.Errorf("100 requests took %s", took)
	}
}

func TestConnectReadsAKubeconfig(t *testing.T) {
	const kubeconfig = `{"apiVersion": "v1", "kind": "Config", "current-context": "one",
"clusters": [{"name": "c1", "cluster": {"server": "https://one:6443"}}, {"name": "c2", "cluster": {"server": "https://two:6443"}}],
"contexts": [{"name": "one", "context": {"cluster": "c1"}}, {"name": "two", "context": {"cluster": "c2"}}]}`
	file := filepath.Join(t.TempDir(), "config")
	if err := os.WriteFile(file, []byte(kubeconfig), 0o600); err != nil {
		t.Fatal(err)
	}
	empty := filepath.Join(t.TempDir(), "empty")
	if err := os.WriteFile(empty, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	dangling := filepath.Join(t.TempDir(), "dangling")
	if err := os.WriteFile(dangling, []byte(strings.Replace(kubeconfig, `"one"`, `"gone"`, 1)), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("KUBERNETES_SERVICE_HOST", "") // this is no Pod
	tests := map[string]struct{ env, path, context, server, name, want string }{
		"the current context":     {path: file, server: "https://one:6443", name: "one"},
		"another context":         {path: file, context: "two", server: "https://two:6443", name: "two"},
		"the environment":         {env: file, server: "https://one:6443", name: "one"},
		"no such context":         {path: file, context: "three", want: "the kubeconfig " + file + ` has no context "three": give one of one, two`},
		"no current context":      {path: dangling, want: "the kubeconfig " + dangling + ` has no context "gone": give one of one, two`},
		"no such file":            {path: file + "x", want: "reading the kubeconfig " + file + "x: stat " + file + "x: no such file or directory"},
		"nothing in the file":     {path: empty, want: "no kubeconfig with a cluster at " + empty + ": give --kubeconfig FILE, or set KUBECONFIG"},
		"no file at all":          {env: file + "x", want: "no kubeconfig with a cluster at " + file + "x: give --kubeconfig FILE, or set KUBECONFIG"},
		"the flag beats the rest": {env: file + "x", path: file, server: "https://one:6443", name: "one"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Setenv("KUBECONFIG", test.env)
			c, err := Connect(test.path, &clientcmd.ConfigOverrides{CurrentContext: test.context}, "test")
			check(t, err, test.want)
			if err != nil {
				return
			}
			if c.Server != test.server || c.Context != test.name {
				t.Errorf("context %q, server %q", c.Context, c.Server)
			}
		})
	}
}
