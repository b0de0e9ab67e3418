package upgrade

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
)

// Request is what a user asks for. Each chart is a folder, an archive, or an oci://
// reference of Version; without one, ARC's own is meant.
type Request struct{ Version, Chart, ScaleSetChart string }

// Resolve says which charts are meant, without having looked at them: those asked
// for or, when nothing is, those which an upgrade that is not over has saved.
func (q Request) Resolve(s Situation) (Target, error) {
	if q == (Request{}) {
		if s.Saved == nil {
			return Target{}, errors.New("give the version to upgrade to with --version, or charts with --chart and --scale-set-chart")
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
