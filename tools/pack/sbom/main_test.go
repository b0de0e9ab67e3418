package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	cdx "github.com/CycloneDX/cyclonedx-go"
)

// TestSBOM: the program is this test, of whose modules one is known.
func TestSBOM(t *testing.T) {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "new", "self.cdx.json")
	opts, err := parseArgs([]string{"--version", "1.2.3", "--output", file, self}, "1700000000")
	if err != nil {
		t.Fatal(err)
	}
	if err := run(nil, opts); err != nil {
		t.Fatal(err)
	}
	content, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var bill cdx.BOM
	if err := json.Unmarshal(content, &bill); err != nil {
		t.Fatal(err)
	}
	if bill.Metadata.Component.Version != "1.2.3" || bill.Metadata.Timestamp != "2023-11-14T22:13:20Z" {
		t.Errorf("%+v", bill.Metadata)
	}
	if !strings.Contains(string(content), `"name": "github.com/CycloneDX/cyclonedx-go"`) {
		t.Errorf("a module is missing:\n%s", content)
	}
}

func TestErrors(t *testing.T) {
	for want, args := range map[string][]string{
		"are needed":   {"--version", "1"},
		"one PROGRAM":  {"--version", "1", "--output", "x", "a", "b"},
		"no such file": {"--version", "1", "--output", "x", "missing"},
		"main.go":      {"--version", "1", "--output", "x", "main.go"},
	} {
		opts, err := parseArgs(args, "")
		if err == nil {
			err = run(nil, opts)
		}
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: got error %v, want %q", args, err, want)
		}
	}
}
