package upgrade

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// Request is what a user asks for. Each chart is a folder, an archive, or an oci://
// reference of Version; without one, ARC's own is meant.
type Request struct{ Version, Chart, ScaleSetChart string }

// Resolve says which charts are meant, without having looked at them: those asked
// for or, when nothing is, those which an upgrade that is not over has saved. What was
// saved is whatever somebody wrote who may write there, and so is never installed
// without a person's yes.
func (q Request) Resolve(s Situation) (Target, error) {
	if q == (Request{}) {
		if s.Saved == nil {
			return Target{}, errors.New("give the version to upgrade to with --version, or charts with --chart and --scale-set-chart (or, to go on with an upgrade after its controller went, where that was: --namespace)")
		}
		return s.Saved.Target, nil
	}
	var t Target
	var err error
	if t.Controller, err = q.chart(q.Chart, ControllerChart); err != nil {
		return t, fmt.Errorf("the controller's chart: give --version or --chart: %w", err)
	}
	if !s.hasScaleSets() {
		return t, nil
	}
	if t.ScaleSets, err = q.chart(q.ScaleSetChart, ScaleSetChart); err != nil {
		return t, fmt.Errorf("scale sets are installed: give --version or --scale-set-chart: %w", err)
	}
	return t, nil
}

func (s Situation) hasScaleSets() bool {
	isSet := func(r Release) bool { return !r.Controller }
	return slices.ContainsFunc(s.Found, func(f Found) bool { return isSet(f.Release) }) ||
		s.Saved != nil && slices.ContainsFunc(s.Saved.Releases, isSet)
}

func (q Request) chart(given, own string) (Chart, error) {
	switch {
	case given == "" && q.Version == "":
		return Chart{}, errors.New("which one is not known")
	case given == "":
		return Chart{Ref: own, Version: q.Version}, nil
	case strings.HasPrefix(given, oci):
		return Chart{Ref: given, Version: q.Version}, nil
	}
	// The next run may be in another folder.
	path, err := filepath.Abs(given)
	return Chart{Ref: path}, err
}

// Fetch has the charts of a target at hand, below dir.
func (h *Helm) Fetch(ctx context.Context, t Target, dir string) (Target, error) {
	var err error
	if t.Controller, err = h.fetch(ctx, t.Controller, dir); err != nil {
		return t, err
	}
	if t.ScaleSets.Ref != "" {
		t.ScaleSets, err = h.fetch(ctx, t.ScaleSets, dir)
	}
	return t, err
}

// digest is the SHA-256 of a chart's content: of an archive's bytes; of a folder, of the
// names and contents of all files in it, in the order of their names, each after its
// length. It tells two charts of one version apart. Of a chart in a registry, that
// which helm pull reports takes its place: of the manifest, which holds those of its
// layers, the archive and its provenance.
func digest(path string) (string, error) {
	sum := sha256.New()
	info, err := os.Stat(path)
	if err != nil {
		return "", fmt.Errorf("reading the chart: %w", err)
	}
	if info.IsDir() {
		err = filepath.WalkDir(path, func(file string, e fs.DirEntry, err error) error {
			if err != nil || e.IsDir() {
				return err
			}
			name, err := filepath.Rel(path, file)
			if err != nil {
				return err
			}
			is, err := os.Stat(file)
			if err != nil {
				return err
			}
			_, _ = fmt.Fprintf(sum, "%d %s %d ", len(name), name, is.Size()) // a hash takes everything
			if is.IsDir() {
				return nil // a link to a folder, which Helm would follow: its name has to do
			}
			return add(sum, file)
		})
	} else {
		err = add(sum, path)
	}
	if err != nil {
		return "", fmt.Errorf("reading the chart: %w", err)
	}
	return "sha256:" + hex.EncodeToString(sum.Sum(nil)), nil
}

// add hashes a file's content.
func add(sum hash.Hash, file string) error {
	f, err := os.Open(file)
	if err != nil {
		return err
	}
	defer f.Close() //nolint:errcheck // only read
	_, err = io.Copy(sum, f)
	return err
}
