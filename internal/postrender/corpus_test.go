package postrender

import (
	"bytes"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/arc-cleanup/arc-cleanup/internal/manifest"
)

// The corpus holds rendered ARC charts: <version>/<chart>-<variant>.yaml, as
// Helm 3 writes them. ARC_CORPUS names its folder, from the repository's root.
func TestCorpus(t *testing.T) {
	corpus := os.Getenv("ARC_CORPUS")
	if corpus == "" {
		t.Skip("ARC_CORPUS is not set: NOT tested against the rendered ARC charts")
	}
	if !filepath.IsAbs(corpus) {
		corpus = filepath.Join("..", "..", corpus)
	}
	sources := regexp.MustCompile(`(?m)^# Source: .*\n`)
	anchors := 0
	err := filepath.WalkDir(corpus, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() || filepath.Ext(path) != ".yaml" {
			return err
		}
		helm3, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		name := filepath.Base(path)
		isARC := strings.HasPrefix(name, "controller-") || strings.HasPrefix(name, "scaleset-") || strings.HasPrefix(name, "legacy-")
		t.Run(path, func(t *testing.T) {
			var joined []byte
			for d := range manifest.Documents(helm3) {
				joined = append(joined, d.Bytes()...)
				if _, err := d.Parse(); err != nil {
					t.Error(err)
				}
			}
			if !bytes.Equal(joined, helm3) {
				t.Error("the documents put together are not the stream")
			}
			asItIs, err := inject(helm3, Options{})
			if err != nil || (asItIs.Added != "") != isARC {
				t.Errorf("as Helm 3 has it: %v", err)
			}
			noHook(t, asItIs.Added)

			stream := sources.ReplaceAll(helm3, nil)
			result, err := inject(stream, Options{Helm: Helm4})
			if err != nil {
				t.Fatal(err)
			}
			if (result.Added != "") != isARC {
				t.Fatalf("added %d bytes", len(result.Added))
			}
			got := output(t, result)
			if !strings.HasPrefix(got, string(stream)) {
				t.Error("the output does not begin with the input")
			}
			var before, after []string
			for d := range manifest.Documents(stream) {
				before = append(before, string(d.Bytes()))
			}
			for d := range manifest.Documents([]byte(got)) {
				after = append(after, string(d.Bytes()))
			}
			if len(after) < len(before) {
				t.Fatalf("%d documents in, %d out", len(before), len(after))
			}
			if diff := cmp.Diff(before, after[:len(before)]); diff != "" {
				t.Error(diff)
			}
			if !isARC {
				return
			}
			anchors++
			release, namespace := "arc", "arc-systems"
			if strings.HasPrefix(name, "scaleset-") {
				release, namespace = "arc-runner-set", "arc-runners"
				if !strings.Contains(result.Added, "--controller-namespace=arc-systems\n") {
					t.Error("the controller's namespace was not found")
				}
			}
			if strings.HasPrefix(name, "legacy-") {
				release, namespace = "legacy", "actions-runner-system"
				if !strings.Contains(result.Added, "--scope=legacy\n") {
					t.Error("the scope")
				}
				if strings.Contains(name, "singleNamespace") != strings.Contains(result.Added, "--watch-namespace=actions-runner-system\n") {
					t.Error("the watched namespace")
				}
			}
			if strings.Contains(name, "watchSingleNamespace") != strings.Contains(result.Added, "--watch-namespace=arc-runners\n") {
				t.Error("the watched namespace")
			}
			if !strings.Contains(result.Explanation, "release "+release+" in namespace "+namespace+":") {
				t.Error(result.Explanation)
			}
		})
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if anchors < 20 {
		t.Errorf("only %d charts with an anchor in %s", anchors, corpus)
	}
}
