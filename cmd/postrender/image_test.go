package main

import (
	"os"
	"testing"
)

// TestMain names the image, as a user has to who has no release of arc-cleanup.
func TestMain(m *testing.M) {
	if err := os.Setenv("ARC_CLEANUP_SET", "image.repository=registry.example/arc-hookjob"); err != nil {
		panic(err)
	}
	os.Exit(m.Run())
}
