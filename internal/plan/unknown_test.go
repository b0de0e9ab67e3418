package plan

import (
	"errors"
	"fmt"
	"net/url"
	"testing"

	"github.com/google/go-cmp/cmp"
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
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}
