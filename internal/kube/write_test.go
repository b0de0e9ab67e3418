package kube

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/arc-cleanup/arc-cleanup/internal/object"
)

var (
	forbidden = failure(http.StatusForbidden, metav1.StatusReasonForbidden)
	notFound  = failure(http.StatusNotFound, metav1.StatusReasonNotFound)
	conflict  = failure(http.StatusConflict, metav1.StatusReasonConflict)
	invalid   = failure(http.StatusUnprocessableEntity, metav1.StatusReasonInvalid)
	busy      = reply{
		code: http.StatusTooManyRequests, header: map[string]string{"Retry-After": "0"},
		body: status(http.StatusTooManyRequests, metav1.StatusReasonTooManyRequests),
	}
	broken  = failure(http.StatusInternalServerError, metav1.StatusReasonInternalError)
	dropped = reply{drop: true}
)

func TestDelete(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		replies  []reply
		requests int
		want     string // in the error
	}{
		"deleted":                              {[]reply{success}, 1, ""},
		"already gone":                         {[]reply{notFound}, 1, ""},
		"another object has the name":          {[]reply{conflict}, 1, ""},
		"forbidden":                            {[]reply{forbidden}, 1, "deleting things.example.com/a in namespace ns: told to fail"},
		"throttled, then deleted":              {[]reply{busy, success}, 2, ""},
		"the server fails, then deleted":       {[]reply{broken, success}, 2, ""},
		"the connection drops, then gone":      {[]reply{dropped, notFound}, 2, ""},
		"the server fails, then says no right": {[]reply{broken, forbidden}, 2, "told to fail"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c, s := script(t, test.replies...)
			check(t, c.Delete(t.Context(), thing, metav1.DeletePropagationForeground), test.want)
			if got := len(s.methods()); got != test.requests {
				t.Errorf("%d requests, want %d", got, test.requests)
			}
			var options metav1.DeleteOptions
			if err := json.Unmarshal([]byte(s.requests[0].Body), &options); err != nil {
				t.Fatal(err)
			}
			if p := options.Preconditions; p == nil || p.UID == nil || *p.UID != "1" {
				t.Errorf("no UID precondition in %s", s.requests[0].Body)
			}
			if p := options.PropagationPolicy; p == nil || *p != metav1.DeletePropagationForeground {
				t.Errorf("not in the foreground: %s", s.requests[0].Body)
			}
		})
	}
}

// An object that has changed since it was read is not deleted, and that is no error: who asked decides
// again.
func TestDeleteUnchanged(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		reply reply
		done  bool
		want  string // in the error
	}{
		"deleted":                         {success, true, ""},
		"already gone":                    {notFound, false, ""},
		"changed, or another of its name": {conflict, false, ""},
		"forbidden":                       {forbidden, false, "deleting things.example.com/a in namespace ns: told to fail"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c, s := script(t, test.reply)
			done, err := c.DeleteUnchanged(t.Context(), thing, "7")
			if check(t, err, test.want); done != test.done {
				t.Errorf("deleted: %t", done)
			}
			var options metav1.DeleteOptions
			if err := json.Unmarshal([]byte(s.requests[0].Body), &options); err != nil {
				t.Fatal(err)
			}
			p := options.Preconditions
			if p == nil || p.UID == nil || *p.UID != "1" || p.ResourceVersion == nil || *p.ResourceVersion != "7" || *options.PropagationPolicy != metav1.DeletePropagationBackground {
				t.Errorf("the preconditions are not in %s", s.requests[0].Body)
			}
		})
	}
}

func TestRemoveFinalizers(t *testing.T) {
	t.Parallel()
	const theirs, ours, more = "example.com/theirs", "own/a", "own/b"
	// patchOf is the only patch that may be sent for these finalizers.
	patchOf := func(before, after string) string {
		return `[{"op":"test","path":"/metadata/uid","value":"1"},` +
			`{"op":"test","path":"/metadata/finalizers","value":` + before + `},` +
			`{"op":"replace","path":"/metadata/finalizers","value":` + after + `}]`
	}
	onlyOurs := patchOf(`["own/a"]`, `[]`)
	tests := map[string]struct {
		finalizers []string
		replies    []reply
		patches    []string // no more, no fewer
		want       string
	}{
		"only ours go": {
			[]string{theirs, ours, more},
			[]reply{found("1", theirs)},
			[]string{patchOf(`["example.com/theirs","own/a","own/b"]`, `["example.com/theirs"]`)},
			"",
		},
		"none of ours, no request": {[]string{theirs}, []reply{broken}, nil, ""},
		"gone":                     {[]string{ours}, []reply{notFound}, []string{onlyOurs}, ""},
		"changed since": {
			[]string{ours},
			[]reply{invalid, found("1", theirs, ours), found("1", theirs)},
			[]string{onlyOurs, patchOf(`["example.com/theirs","own/a"]`, `["example.com/theirs"]`)},
			"",
		},
		"freed since":                      {[]string{ours}, []reply{invalid, found("1", theirs)}, []string{onlyOurs}, ""},
		"gone since":                       {[]string{ours}, []reply{invalid, notFound}, []string{onlyOurs}, ""},
		"replaced since":                   {[]string{ours}, []reply{invalid, found("2", ours)}, []string{onlyOurs}, ""},
		"conflict with an equal object":    {[]string{ours}, []reply{conflict, found("1", ours), found("1")}, []string{onlyOurs, onlyOurs}, ""},
		"throttled, then freed":            {[]string{ours}, []reply{busy, found("1")}, []string{onlyOurs, onlyOurs}, ""},
		"the connection drops, then freed": {[]string{ours}, []reply{dropped, found("1")}, []string{onlyOurs, onlyOurs}, ""},
		"refused as invalid": {
			[]string{ours},
			[]reply{invalid, found("1", ours)},
			[]string{onlyOurs},
			"removing finalizers from things.example.com/a in namespace ns: told to fail",
		},
		"forbidden":         {[]string{ours}, []reply{forbidden}, []string{onlyOurs}, "removing finalizers from"},
		"unreadable, after": {[]string{ours}, []reply{invalid, forbidden}, []string{onlyOurs}, "reading things.example.com/a"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c, s := script(t, test.replies...)
			target := thing
			target.Finalizers = test.finalizers
			check(t, c.RemoveFinalizers(t.Context(), target, isOurs), test.want)
			var patches []string
			for _, r := range s.requests {
				if r.Method == http.MethodPatch {
					patches = append(patches, r.Body)
				}
			}
			// json.Marshal of a map orders its keys, so that patches compare.
			if diff := cmp.Diff(test.patches, patches); diff != "" {
				t.Errorf("patches (-want +got):\n%s", diff)
			}
		})
	}
}

// Nobody asks any more who manages the fields of an object that is about to go;
// of one that stays, even for a while, it is not ours to forget.
func TestManagedFieldsGoWithTheObjectOnly(t *testing.T) {
	t.Parallel()
	const theirs, ours, forget = "example.com/theirs", "own/a", `{"op":"add","path":"/metadata/managedFields","value":[{}]}`
	deleted := found("1", ours)
	meta := deleted.body.(metav1.PartialObjectMetadata)
	meta.DeletionTimestamp = &metav1.Time{Time: time.Unix(1, 0)}
	deleted.body = meta
	tests := map[string]struct {
		deleting   bool
		finalizers []string
		replies    []reply
		want       bool // in the last patch
	}{
		"its last finalizer":             {true, []string{ours}, []reply{found("1")}, true},
		"one of others is left":          {true, []string{theirs, ours}, []reply{found("1")}, false},
		"not being deleted":              {false, []string{ours}, []reply{found("1")}, false},
		"deletion has begun since":       {false, []string{theirs, ours}, []reply{invalid, deleted, found("1")}, true},
		"read again, not being deleted":  {false, []string{theirs, ours}, []reply{invalid, found("1", ours), found("1")}, false},
		"throttled, with its last again": {true, []string{ours}, []reply{busy, found("1")}, true},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c, s := script(t, test.replies...)
			target := thing
			target.Finalizers, target.Deleting = test.finalizers, test.deleting
			check(t, c.RemoveFinalizers(t.Context(), target, isOurs), "")
			last := s.requests[len(s.requests)-1]
			if last.Method != http.MethodPatch || strings.Contains(last.Body, forget) != test.want {
				t.Errorf("%s %s, want managedFields in it: %v", last.Method, last.Body, test.want)
			}
		})
	}
}

func TestRemoveFinalizersEndsOnAnEternalConflict(t *testing.T) {
	t.Parallel()
	// A webhook may answer 409 to every patch.
	always := make([]reply, 0, 100)
	for range 50 {
		always = append(always, conflict, found("1", "own/a"))
	}
	c, s := script(t, always...)
	target := thing
	target.Finalizers = []string{"own/a"}
	err := c.RemoveFinalizers(t.Context(), target, isOurs)
	if !apierrors.IsConflict(err) {
		t.Errorf("error %v, want the conflict", err)
	}
	if got := len(s.methods()); got != 2*turns {
		t.Errorf("%d requests, want %d", got, 2*turns)
	}
}

// A merge patch finds its object by name; by the UID in it the API server refuses to
// change another one of that name.
func TestMergePatchesNameTheUID(t *testing.T) {
	t.Parallel()
	writes := map[string]struct {
		do   func(*Client) error
		body string
		verb string
	}{
		"annotations": {
			func(c *Client) error { return c.Annotate(t.Context(), thing, map[string]any{"a": "b", "c": nil}) },
			`{"metadata":{"annotations":{"a":"b","c":null},"uid":"1"}}`, "annotating",
		},
		"replicas": {func(c *Client) error { return c.ScaleToZero(t.Context(), thing) }, `{"metadata":{"uid":"1"},"spec":{"replicas":0}}`, "scaling"},
		"replicas again": {
			func(c *Client) error { return c.Scale(t.Context(), thing, 2) }, `{"metadata":{"uid":"1"},"spec":{"replicas":2}}`, "scaling",
		},
	}
	for name, write := range writes {
		answers := map[string]struct {
			reply reply
			want  string // in the error
		}{
			"done": {found("1"), ""}, "already gone": {notFound, ""}, "another object has the name": {conflict, ""},
			"forbidden": {forbidden, write.verb + " things.example.com/a in namespace ns"},
		}
		for answer, test := range answers {
			t.Run(name+", "+answer, func(t *testing.T) {
				t.Parallel()
				c, s := script(t, test.reply)
				check(t, write.do(c), test.want)
				if len(s.requests) != 1 || s.requests[0].Body != write.body {
					t.Errorf("requests %+v, want one of %s", s.requests, write.body)
				}
			})
		}
	}
}

func isOurs(f string) bool { return strings.HasPrefix(f, "own/") }

func check(t *testing.T, err error, want string) {
	t.Helper()
	switch {
	case want == "" && err != nil:
		t.Errorf("error %v, want none", err)
	case want != "" && (err == nil || !strings.Contains(err.Error(), want)):
		t.Errorf("error %v, want %q in it", err, want)
	}
}

func TestTargetIsNamedAsKubectlDoes(t *testing.T) {
	namespaced := thing.String()
	cluster := object.Object{Resource: things, Name: "b"}.String()
	if diff := cmp.Diff([]string{"things.example.com/a in namespace ns", "things.example.com/b"}, []string{namespaced, cluster}); diff != "" {
		t.Error(diff)
	}
}
