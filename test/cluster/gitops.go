package cluster

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
)

// GitOpsCRDs returns the CRDs of Argo CD's Application and of Flux's sources and
// HelmRelease, one document each. Argo CD has them in its module; of Flux only the
// API is one, and its own generator makes them.
func GitOpsCRDs(ctx context.Context, progress io.Writer) ([][]byte, error) {
	argo, err := source(ctx, "argocd", "github.com/argoproj/argo-cd/v3")
	if err != nil {
		return nil, err
	}
	files := []string{filepath.Join(argo, "manifests", "crds", "application-crd.yaml")}

	generator, err := Binary(ctx, "controller-gen", progress)
	if err != nil {
		return nil, err
	}
	modules, err := modulesDir(ctx)
	if err != nil {
		return nil, err
	}
	out, err := os.MkdirTemp("", "arc-cleanup-crds-")
	if err != nil {
		return nil, fmt.Errorf("making a folder for Flux's CRDs: %w", err)
	}
	defer os.RemoveAll(out) //nolint:errcheck // a temporary folder
	_, err = command(ctx, filepath.Join(modules, "flux"), generator, "crd",
		"paths=github.com/fluxcd/helm-controller/api/v2", "paths=github.com/fluxcd/source-controller/api/v1", "output:dir="+out)
	if err != nil {
		return nil, fmt.Errorf("making Flux's CRDs: %w", err)
	}
	flux, err := filepath.Glob(filepath.Join(out, "*.yaml"))
	if err != nil {
		return nil, err
	}
	var crds [][]byte
	for _, file := range append(files, flux...) {
		crd, err := os.ReadFile(file)
		if err != nil {
			return nil, fmt.Errorf("reading a CRD: %w", err)
		}
		crds = append(crds, crd)
	}
	return crds, nil
}
