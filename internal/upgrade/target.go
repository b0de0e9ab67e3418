package upgrade

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/arc-cleanup/arc-cleanup/internal/helm"
)

// Request is what a user asks for. Each chart is a folder, an archive, or an oci:// reference of Version;
// "" means ARC's own chart.
type Request struct {
	Version, Chart, ScaleSetChart string
	// Namespace is that of the controller's release; "" means that of the controller that runs.
	Namespace string
	// Strategy says which ways are allowed; "" is Auto.
	Strategy Strategy
	// AllowExperimental allows ways that were only tried with a preview.
	AllowExperimental bool
}

// UsageError says what a request lacks.
type UsageError struct{ Why string }

func (e UsageError) Error() string { return e.Why }

// Chart is a chart to install from.
type Chart struct {
	// Ref is what Helm is given: a folder, an archive, or an oci:// reference. Version belongs to an oci://
	// reference; "" means the newest.
	Ref     string `json:"ref"`
	Version string `json:"version,omitempty"`
	// Digest is that of its content, see digest.
	Digest string `json:"digest,omitempty"`
	// Metadata is what Chart.yaml says.
	Metadata helm.Chart `json:"metadata"`

	path string // where the fetched chart is
}

// reference returns Helm's arguments that name the chart.
func (c Chart) reference() []string {
	if c.Version == "" {
		return []string{c.Ref}
	}
	return []string{c.Ref, "--version", c.Version}
}

// Target is what to install. Without scale sets there is no chart for them.
type Target struct {
	Controller Chart `json:"controller"`
	ScaleSets  Chart `json:"scaleSets"`
}

func (t Target) of(r Release) Chart {
	if r.Controller {
		return t.Controller
	}
	return t.ScaleSets
}

// same reports whether both targets mean the same charts, wherever they are fetched from.
func (t Target) same(other Target) bool {
	return t.Controller.Metadata == other.Controller.Metadata && t.ScaleSets.Metadata == other.ScaleSets.Metadata
}

// resolve says which charts are meant, and does not look at them: those that the user asks for, or else
// those that an unfinished upgrade has saved. Whoever may write the Secret may have written the latter,
// so they are never installed unless the user agrees.
func (q Request) resolve(s Situation) (t Target, err error) {
	if q.Version == "" && q.Chart == "" && q.ScaleSetChart == "" {
		if s.Saved == nil {
			return t, UsageError{"give the version to upgrade to with --version, or charts with --chart and --scale-set-chart " +
				"(or, to go on with an upgrade whose controller is uninstalled, the namespace of its release with --namespace)"}
		}
		return s.Saved.Target, nil
	}
	sets := s.hasScaleSets()
	switch {
	case q.Version != "":
	case q.Chart == "":
		return t, UsageError{"give --chart, or --version for ARC's own chart"}
	case q.ScaleSetChart == "" && sets:
		return t, UsageError{"give --scale-set-chart, or --version for ARC's own chart"}
	}
	if t.Controller, err = q.chart(q.Chart, ControllerChart); err == nil && sets {
		t.ScaleSets, err = q.chart(q.ScaleSetChart, ScaleSetChart)
	}
	return t, err
}

func (s Situation) hasScaleSets() bool {
	isSet := func(r Release) bool { return !r.Controller }
	return slices.ContainsFunc(s.Found, func(f Found) bool { return isSet(f.Release) }) ||
		s.Saved != nil && slices.ContainsFunc(s.Saved.Releases, isSet)
}

// chart returns the chart that was given, or else ARC's own of the requested version.
func (q Request) chart(given, own string) (Chart, error) {
	switch {
	case given == "":
		return Chart{Ref: own, Version: q.Version}, nil
	case strings.HasPrefix(given, oci):
		return Chart{Ref: given, Version: q.Version}, nil
	}
	// The next run may start in another folder.
	path, err := filepath.Abs(given)
	if err != nil {
		err = fmt.Errorf("finding the chart %s: %w", given, err)
	}
	return Chart{Ref: path}, err
}

// contradicts returns an error if a folder or an archive has another version than the one that was asked for.
// A registry has been asked for that version, or for a range of versions.
func (q Request) contradicts(t Target) error {
	for _, c := range []Chart{t.Controller, t.ScaleSets} {
		if q.Version != "" && c.path == c.Ref && c.Ref != "" && c.Metadata.Version != q.Version {
			return UsageError{fmt.Sprintf("--version %s: the chart %s has version %s", q.Version, c.Ref, c.Metadata.Version)}
		}
	}
	return nil
}

// fetch fetches the charts of a target, below dir.
func (h *Helm) fetch(ctx context.Context, t Target, dir string) (Target, error) {
	var err error
	if t.Controller, err = h.fetchChart(ctx, t.Controller, dir); err != nil {
		return t, err
	}
	if t.ScaleSets.Ref != "" {
		t.ScaleSets, err = h.fetchChart(ctx, t.ScaleSets, dir)
	}
	return t, err
}

// digest returns the SHA-256 of a chart's content, which tells two charts of the same version apart. For
// an archive it is that of its bytes; for a folder, that of the names and contents of all files in it, in
// the order of their names and each after its length. A chart in a registry has the digest that helm pull
// reports instead: that of the manifest, which holds the digests of the archive and its provenance.
func digest(path string) (string, error) {
	sum := sha256.New()
	path, err := filepath.EvalSymlinks(path)
	if err != nil {
		return "", fmt.Errorf("reading the chart: %w", err)
	}
	info, err := os.Stat(path)
	if err == nil && info.IsDir() {
		err = addFolder(sum, path, "", nil)
	} else if err == nil {
		err = add(sum, path)
	}
	if err != nil {
		return "", fmt.Errorf("reading the chart: %w", err)
	}
	return "sha256:" + hex.EncodeToString(sum.Sum(nil)), nil
}

// addFolder adds the names and contents of a folder's files to a hash. It follows links to folders, as Helm does. above are
// the folders that it is in: a link to one of them has no end.
func addFolder(sum hash.Hash, path, name string, above []string) error {
	path, err := filepath.EvalSymlinks(path)
	if err != nil {
		return err
	}
	if slices.Contains(above, path) {
		return fmt.Errorf("%s is a link to a folder that it is in", name)
	}
	above = append(slices.Clone(above), path)
	entries, err := os.ReadDir(path)
	if err != nil {
		return err
	}
	for _, e := range entries {
		file, name := filepath.Join(path, e.Name()), filepath.Join(name, e.Name())
		info, err := os.Stat(file)
		switch {
		case err != nil:
		case info.IsDir() && e.IsDir():
			err = addFolder(sum, file, name, above)
		case info.IsDir(): // a link, to a folder that may be empty
			err = errors.Join(addName(sum, name, 0), addFolder(sum, file, name, above))
		default:
			err = errors.Join(addName(sum, name, info.Size()), add(sum, file))
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func addName(sum hash.Hash, name string, size int64) error {
	_, err := fmt.Fprintf(sum, "%d %s %d ", len(name), name, size)
	return err
}

// add adds a file's content to a hash.
func add(sum hash.Hash, file string) error {
	info, err := os.Stat(file)
	if err != nil {
		return err
	}
	if !info.Mode().IsRegular() {
		return fmt.Errorf("%s is no file", file) // a pipe would be read for ever
	}
	f, err := os.Open(file)
	if err != nil {
		return err
	}
	defer f.Close() //nolint:errcheck // only read
	_, err = io.Copy(sum, f)
	return err
}
