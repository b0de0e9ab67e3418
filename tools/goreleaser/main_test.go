// Package goreleaser holds no code, only the check of .goreleaser.yaml.
package goreleaser

import (
	"slices"
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
	var binaries []string
	for _, build := range project.Builds {
		binaries = append(binaries, build.Binary)
	}
	if !slices.Equal(binaries, []string{"arc-cleanup", "arc-hookjob", "arc-postrender"}) || len(project.Archives) != 1 {
		t.Errorf("binaries %q, %d archives", binaries, len(project.Archives))
	}
}
