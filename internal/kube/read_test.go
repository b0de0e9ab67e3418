package kube

import (
	"context"
	"net/http"
	"net/url"
	"testing"

	"github.com/google/go-cmp/cmp"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// whole is an object with everything that is in it.
func whole(name string) *unstructured.Unstructured {
	o := &unstructured.Unstructured{Object: map[string]any{"spec": map[string]any{"of": name}}}
	o.SetAPIVersion("example.com/v1")
	o.SetKind("Thing")
	o.SetNamespace("ns")
	o.SetName(name)
	return o
}

// Every request that has one answer is tried again while that helps. Its error says what was done
// to which object, and remains the API server's.
func TestRequestsAreRetriedAndNamed(t *testing.T) {
	t.Parallel()
	answer := reply{code: http.StatusOK, body: whole("a").Object}
	calls := map[string]struct {
		call   func(context.Context, *Client) (string, error)
		answer reply
		want   string // what was being done
	}{
		"get": {func(ctx context.Context, c *Client) (string, error) {
			o, err := c.Get(ctx, things, "ns", "a")
			if err != nil {
				return "", err
			}
			of, _, err := unstructured.NestedString(o.Object, "spec", "of")
			return of, err
		}, answer, "reading things.example.com/a in namespace ns"},
		"get, without a namespace": {func(ctx context.Context, c *Client) (string, error) {
			o, err := c.Get(ctx, things, "", "a")
			if err != nil {
				return "", err
			}
			return o.GetName(), nil
		}, answer, "reading things.example.com/a"},
		"metadata": {func(ctx context.Context, c *Client) (string, error) {
			o, err := c.GetMetadata(ctx, things, "ns", "a")
			if err != nil {
				return "", err
			}
			return o.Name, nil
		}, found("1"), "reading things.example.com/a in namespace ns"},
		"list": {func(ctx context.Context, c *Client) (string, error) {
			all, err := c.List(ctx, things, "ns", "")
			if err != nil {
				return "", err
			}
			return all[0].GetName(), nil
		}, wholePage("", "a"), "listing things.example.com in namespace ns"},
		"create": {func(ctx context.Context, c *Client) (string, error) {
			o, err := c.Create(ctx, things, whole("b"))
			if err != nil {
				return "", err
			}
			return o.GetName(), nil
		}, answer, "creating things.example.com/b in namespace ns"},
		"create, without a name": {func(ctx context.Context, c *Client) (string, error) {
			o, err := c.Create(ctx, things, whole(""))
			if err != nil {
				return "", err
			}
			return o.GetName(), nil
		}, answer, "creating things.example.com"},
		"update": {func(ctx context.Context, c *Client) (string, error) {
			o, err := c.Update(ctx, things, whole("b"))
			if err != nil {
				return "", err
			}
			return o.GetName(), nil
		}, answer, "updating things.example.com/b in namespace ns"},
	}
	for name, test := range calls {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c, s := script(t, broken, dropped, test.answer)
			if got, err := test.call(t.Context(), c); err != nil || got != "a" || len(s.methods()) != 3 {
				t.Errorf("%q, %v, after %d requests", got, err, len(s.methods()))
			}
			for of, is := range map[*reply]func(error) bool{&notFound: apierrors.IsNotFound, &forbidden: apierrors.IsForbidden, &conflict: apierrors.IsConflict} {
				c, s := script(t, *of)
				_, err := test.call(t.Context(), c)
				if !is(err) || err.Error() != test.want+": told to fail" || len(s.methods()) != 1 {
					t.Errorf("%v, after %d requests; want %q", err, len(s.methods()), test.want)
				}
			}
		})
	}
}

func TestListReadsAllPages(t *testing.T) {
	t.Parallel()
	c, s := script(t, wholePage("x", "a", "b"), busy, wholePage("", "c"))
	all, err := c.List(t.Context(), things, "ns", "app=arc")
	if err != nil {
		t.Fatal(err)
	}
	names := []string{}
	for _, o := range all {
		names = append(names, o.GetName())
	}
	if diff := cmp.Diff([]string{"a", "b", "c"}, names); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	asked := []string{}
	for _, r := range s.requests {
		q, err := url.ParseQuery(r.Query)
		if err != nil {
			t.Fatal(err)
		}
		asked = append(asked, q.Get("labelSelector")+" "+q.Get("limit")+" "+q.Get("continue"))
	}
	if diff := cmp.Diff([]string{"app=arc 20 ", "app=arc 20 x", "app=arc 20 x"}, asked); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	// A page that is missing makes the list unknown, not shorter.
	c, _ = script(t, wholePage("x", "a"), forbidden)
	if all, err := c.List(t.Context(), things, "ns", ""); all != nil || !apierrors.IsForbidden(err) {
		t.Errorf("%v, %v", all, err)
	}
}

// A dry client writes nothing.
func TestWritesAreDry(t *testing.T) {
	t.Parallel()
	c, s := script(t, reply{code: http.StatusOK, body: whole("a").Object})
	for _, c := range []*Client{c, c.DryRun()} {
		if _, err := c.Create(t.Context(), things, whole("a")); err != nil {
			t.Fatal(err)
		}
		if _, err := c.Update(t.Context(), things, whole("a")); err != nil {
			t.Fatal(err)
		}
		if err := c.Apply(t.Context(), things, whole("a"), "me"); err != nil {
			t.Fatal(err)
		}
	}
	got := []string{}
	for _, r := range s.requests {
		got = append(got, r.Method+" "+r.Query)
	}
	if diff := cmp.Diff([]string{
		"POST ", "PUT ", "PATCH fieldManager=me&force=true", "POST dryRun=All", "PUT dryRun=All", "PATCH dryRun=All&fieldManager=me&force=true",
	}, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}
