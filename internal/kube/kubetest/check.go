package kubetest

import (
	"encoding/json"
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func ExpectStrings(t *testing.T, what string, got []string, want ...string) {
	t.Helper()
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("%s (-want +got):\n%s", what, diff)
	}
}

// ExpectJSON compares the JSON of a value with the expected JSON.
func ExpectJSON(t *testing.T, want string, got any) {
	t.Helper()
	data, err := json.Marshal(got)
	if err != nil {
		t.Fatal(err)
	}
	var is, should any
	if err := errors.Join(json.Unmarshal(data, &is), json.Unmarshal([]byte(want), &should)); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(should, is); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}
