package plan

import (
	"errors"
	"fmt"
	"net/url"
	"testing"

	"github.com/google/go-cmp/cmp"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

func TestMergeUnknown(t *testing.T) {
	t.Parallel()
	request := func(path, text string) error {
		return fmt.Errorf("listing %s: %w", path, &url.Error{Op: "Get", URL: "https://api/" + path, Err: errors.New(text)})
	}
	all := []Unknown{
		{"pods", request("pods", "connection refused")},
		{"roles", errors.New("forbidden")},
		{"secrets", request("secrets", "connection refused")},
		{"secrets", request("secrets", "connection refused")},
		{"crds", request("crds", "connection reset")},
		{"jobs", ErrNotAsked},
		{"leases", ErrNotAsked},
		{"rolebindings", errors.New("forbidden")},
		{"records", errors.Join(request("records", "connection refused"), apierrors.NewForbidden(schema.GroupResource{Resource: "secrets"}, "a", errors.New("no")))},
	}
	var got []string
	for _, u := range MergeUnknown(all) {
		got = append(got, u.What+": "+u.Err.Error())
	}
	want := []string{
		"pods, secrets: connection refused",
		"roles: forbidden",
		`crds: listing crds: Get "https://api/crds": connection reset`,
		"jobs, leases: there was no time left to ask",
		"rolebindings: forbidden",
		// One of its reads was denied, which decides the verdict: it is not one of the broken connection.
		"records: listing records: Get \"https://api/records\": connection refused\nsecrets \"a\" is forbidden: no",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}
