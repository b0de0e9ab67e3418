package kube

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

func wholePage(next string, names ...string) reply {
	items := []any{}
	for _, name := range names {
		items = append(items, whole(name).Object)
	}
	return reply{code: http.StatusOK, body: map[string]any{
		"apiVersion": "example.com/v1", "kind": "ThingList", "metadata": map[string]any{"continue": next}, "items": items,
	}}
}

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
				if limit := q.Get("limit"); limit != "10" && i == 0 || limit == "10" && i > 0 || q.Get("labelSelector") != "a=b" {
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
	for name, test := range map[string]struct {
		limit, most int64
		n, size     int
		tight       int64
		want        int64
	}{
		"nothing":            {500, 500, 0, 100, 0, 500},
		"small":              {500, 500, 500, 500_000, 0, 500},
		"grows":              {10, 500, 10, 1000, 0, 80},
		"large":              {10, 500, 2, 512 << 10, 0, 4},
		"larger than a page": {10, 500, 1, 2 << 20, 0, 1},
		"before large ones":  {62, 500, 62, 1000, 100, 62},
		"after large ones":   {62, 500, 62, 1000, 62, 496},
		"whole":              {20, 20, 20, 1000, 0, 20},
	} {
		p := paging{o: &metav1.ListOptions{Limit: test.limit}, limit: test.most, size: test.size, tight: test.tight}
		if p.next(test.n); p.o.Limit != test.want {
			t.Errorf("%s: %d", name, p.o.Limit)
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

// A token expires while the objects of a page are looked at: a list of whole objects goes on as one of metadata does.
func TestAnExpiredTokenDoesNotEndAList(t *testing.T) {
	t.Parallel()
	c, s := script(t, wholePage("x", "a"), expired("x2"), wholePage("y", "b"), wholePage("", "c"))
	all, err := c.List(t.Context(), things, "ns", "")
	if err != nil || len(all) != 3 {
		t.Fatalf("%d objects, %v", len(all), err)
	}
	tokens := []string{}
	for _, r := range s.requests {
		q, err := url.ParseQuery(r.Query)
		if err != nil {
			t.Fatal(err)
		}
		tokens = append(tokens, q.Get("continue"))
	}
	if diff := cmp.Diff([]string{"", "x", "x2", "y"}, tokens); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	c, _ = script(t, wholePage("x", "a"), expired(""))
	if all, err := c.List(t.Context(), things, "ns", ""); all != nil || !apierrors.IsResourceExpired(err) {
		t.Errorf("%v, %v", all, err)
	}
}

// EachPage stops at the caller's error.
func TestEachPageStopsAtAnError(t *testing.T) {
	t.Parallel()
	c, s := script(t, wholePage("x", "a", "b"), wholePage("y", "c"), wholePage("", "d"))
	stop := errors.New("enough")
	sizes := []int{}
	err := c.EachPage(t.Context(), things, "ns", "app=arc", func(page []unstructured.Unstructured) error {
		if sizes = append(sizes, len(page)); len(sizes) == 2 {
			return stop
		}
		return nil
	})
	if diff := cmp.Diff([]int{2, 1}, sizes); diff != "" || !errors.Is(err, stop) || len(s.requests) != 2 {
		t.Errorf("%v, after %d requests (-want +got):\n%s", err, len(s.requests), diff)
	}
}

// A crowd is an API server's list of objects of these sizes, in bytes.
type crowd struct {
	sizes []int
	pages []answered
}

// answered is a page that was asked for: what was the limit, which object came first, how many came, and how large all was.
type answered struct{ limit, first, n, size int }

func (c *crowd) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	limit, _ := strconv.Atoi(r.URL.Query().Get("limit"))
	first, _ := strconv.Atoi(r.URL.Query().Get("continue"))
	n := min(limit, len(c.sizes)-first)
	next := ""
	if first+n < len(c.sizes) {
		next = strconv.Itoa(first + n)
	}
	list := metav1.PartialObjectMetadataList{
		TypeMeta: metav1.TypeMeta{APIVersion: "meta.k8s.io/v1", Kind: "PartialObjectMetadataList"}, ListMeta: metav1.ListMeta{Continue: next},
	}
	for i, size := range c.sizes[first : first+n] {
		o := partial(strconv.Itoa(first+i), "1")
		o.Labels = map[string]string{"large": strings.Repeat("x", size)}
		list.Items = append(list.Items, o)
	}
	text, _ := json.Marshal(list)
	c.pages = append(c.pages, answered{limit, first, n, len(text)})
	w.Header().Set("Content-Type", "application/json")
	_, _ = w.Write(text)
}

// A tenant makes large objects, and small ones before them. No page that a list takes is larger than it may be, unless it is one
// object; the list has every object once, and a few thousand small ones need few requests.
func TestPagesAreBounded(t *testing.T) {
	t.Parallel()
	sizes := slices.Concat(slices.Repeat([]int{100}, 1500), slices.Repeat([]int{300 << 10}, 12), slices.Repeat([]int{100}, 600),
		[]int{1 << 20}, slices.Repeat([]int{100}, 50), []int{3 << 20, 3 << 20})
	for name, test := range map[string]struct {
		list     func(context.Context, *Client, func(name string)) error
		most     int
		requests int
	}{
		"metadata": {func(ctx context.Context, c *Client, seen func(string)) error {
			return c.Each(ctx, things, "", metav1.ListOptions{}, func(m *metav1.PartialObjectMetadata) error {
				seen(m.Name)
				return nil
			})
		}, metadataBytes, 50},
		"whole": {func(ctx context.Context, c *Client, seen func(string)) error {
			return c.EachPage(ctx, things, "", "", func(page []unstructured.Unstructured) error {
				for _, o := range page {
					seen(o.GetName())
				}
				return nil
			})
		}, pageBytes, 140},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := &crowd{sizes: sizes}
			seen := 0
			err := test.list(t.Context(), connect(t, s), func(name string) {
				if name != strconv.Itoa(seen) {
					t.Fatalf("object %s after %d others", name, seen)
				}
				seen++
			})
			if err != nil || seen != len(sizes) {
				t.Fatalf("%d objects of %d, %v", seen, len(sizes), err)
			}
			if len(s.pages) > test.requests {
				t.Errorf("%d requests, want %d at most", len(s.pages), test.requests)
			}
			for i, p := range s.pages {
				taken := i+1 == len(s.pages) || s.pages[i+1].first != p.first
				if taken && p.n > 1 && p.size > test.most {
					t.Errorf("a page of %d bytes with %d objects was taken", p.size, p.n)
				}
			}
		})
	}
}

// An answer that has as many bytes as it may have is whole.
func TestAnAnswerOfTheLargestSize(t *testing.T) {
	t.Parallel()
	small := page("", "a", "b")
	text, err := json.Marshal(small.body)
	if err != nil {
		t.Fatal(err)
	}
	for _, more := range []int{-1, 0, 1} {
		c, s := script(t, small)
		o := metav1.ListOptions{Limit: 2}
		p := paging{c: c, o: &o, most: len(text) + len("\n") + more}
		err := p.read(t.Context(), func(ctx context.Context) error {
			_, err := c.Metadata.Resource(things).List(ctx, o)
			return err
		})
		if want := map[bool]int{true: 2, false: 1}[more < 0]; err != nil || len(s.requests) != want {
			t.Errorf("%d bytes more than there are: %d requests, want %d; %v", more, len(s.requests), want, err)
		}
	}
}

// A tenant's objects are all too large for the page that would come next: a list asks for as many as fit, however their bytes
// are spread, and does not begin each page again.
func TestLargeObjectsNeedFewRequests(t *testing.T) {
	t.Parallel()
	for name, list := range map[string]func(*Client) error{
		"metadata": func(c *Client) error {
			return c.Each(t.Context(), things, "", metav1.ListOptions{}, func(*metav1.PartialObjectMetadata) error { return nil })
		},
		"whole": func(c *Client) error {
			return c.EachPage(t.Context(), things, "", "", func([]unstructured.Unstructured) error { return nil })
		},
	} {
		s := &crowd{sizes: slices.Repeat([]int{300 << 10}, 60)}
		if err := list(connect(t, s)); err != nil || len(s.pages) > 30 {
			t.Errorf("%s: %d requests, %v", name, len(s.pages), err)
		}
	}
}

// A page that is read while another is looked at takes memory, too.
func TestNoPageIsReadAhead(t *testing.T) {
	t.Parallel()
	c, s := script(t, page("x", "a"), page("", "b"))
	err := c.Each(t.Context(), things, "", metav1.ListOptions{}, func(m *metav1.PartialObjectMetadata) error {
		time.Sleep(50 * time.Millisecond)
		if got := len(s.methods()); m.Name == "a" && got != 1 {
			t.Errorf("%d requests while the first page is looked at", got)
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
}

// Ten lists that decode large pages at the same time would take all the memory that there is.
func TestLargePagesAreDecodedOneAtATime(t *testing.T) {
	t.Parallel()
	c := connect(t, &crowd{sizes: []int{largeBytes}})
	var decoding, most atomic.Int64
	var lists sync.WaitGroup
	for range 4 {
		lists.Go(func() {
			o := metav1.ListOptions{Limit: 1}
			p := paging{c: c, o: &o, most: metadataBytes}
			err := p.read(t.Context(), func(ctx context.Context) error {
				_, err := c.Metadata.Resource(things).List(ctx, o)
				most.Store(max(most.Load(), decoding.Add(1)))
				time.Sleep(20 * time.Millisecond)
				decoding.Add(-1)
				return err
			})
			if err != nil {
				t.Error(err)
			}
		})
	}
	lists.Wait()
	if most.Load() != 1 {
		t.Errorf("%d at once", most.Load())
	}
}

// A tenant's runners are read by many workers. Of large ones only one is in memory at a time.
func TestLargeObjectsAreReadOneAtATime(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex
	asked := map[string]int{}
	var large, most int
	c := connect(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		again := asked[r.URL.Path] > 0
		if asked[r.URL.Path]++; again {
			large++
			most = max(most, large)
		}
		mu.Unlock()
		o := whole(r.URL.Path[strings.LastIndex(r.URL.Path, "/")+1:])
		o.SetAnnotations(map[string]string{"large": strings.Repeat("x", 1<<20)})
		if again {
			time.Sleep(20 * time.Millisecond)
			mu.Lock()
			large--
			mu.Unlock()
		}
		respond(w, reply{code: http.StatusOK, body: o.Object})
	}))
	var reads sync.WaitGroup
	for i := range 8 {
		reads.Go(func() {
			name := strconv.Itoa(i)
			if u, err := c.Get(t.Context(), things, "ns", name); err != nil || u.GetName() != name {
				t.Errorf("%v, %v", u.GetName(), err)
			}
		})
	}
	reads.Wait()
	if len(asked) != 8 || asked["/apis/example.com/v1/namespaces/ns/things/0"] != 2 || most != 1 {
		t.Errorf("%v, %d at once", asked, most)
	}
}
