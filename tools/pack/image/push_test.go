package main

import (
	"debug/elf"
	"io"
	"log"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/registry"
	"github.com/google/go-containerregistry/pkg/v1/remote"
)

// TestAnImageIsPushedOnce: a push that is repeated finds its image, and another one under the same version is refused.
func TestAnImageIsPushedOnce(t *testing.T) {
	server := httptest.NewServer(registry.New(registry.Logger(log.New(io.Discard, "", 0))))
	defer server.Close()
	dir := t.TempDir()
	repository := strings.TrimPrefix(server.URL, "http://") + "/arc-hookjob"
	tag, err := name.NewTag(repository + ":1.2.3")
	if err != nil {
		t.Fatal(err)
	}
	push := func(revision string) error {
		opts, err := parseArgs([]string{
			"--output", dir + "/image.tar", "--name", repository, "--version", "1.2.3", "--revision", revision, "--push",
			"linux/amd64=" + executable(t, dir, "amd64", elf.EM_X86_64, 1000),
		}, "0")
		if err != nil {
			t.Fatal(err)
		}
		return run(io.Discard, opts)
	}
	if err := push("abc"); err != nil {
		t.Fatal(err)
	}
	before, err := remote.Head(tag)
	if err != nil {
		t.Fatal(err)
	}
	if err := push("abc"); err != nil {
		t.Errorf("again: %v", err)
	}
	err = push("def")
	after, headErr := remote.Head(tag)
	if headErr != nil {
		t.Fatal(headErr)
	}
	if err == nil || !strings.Contains(err.Error(), "is published already") || after.Digest != before.Digest {
		t.Errorf("%v, %s and before %s", err, after.Digest, before.Digest)
	}
}
