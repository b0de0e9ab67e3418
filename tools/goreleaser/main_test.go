// Package goreleaser holds no code, only the check of .goreleaser.yaml.
package goreleaser

import (
	"testing"

	"github.com/goreleaser/goreleaser/v2/pkg/config"
)

// TestConfiguration reads the configuration as GoReleaser does: a field it does not
// know is an error.
func TestConfiguration(t *testing.T) {
	project, err := config.Load("../../.goreleaser.yaml")
	if err != nil {
		t.Fatal(err)
	}
	if len(project.Builds) != 2 || len(project.Archives) != 1 {
		t.Errorf("%d builds, %d archives", len(project.Builds), len(project.Archives))
	}
}
