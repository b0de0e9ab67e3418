package cluster

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
)

const (
	argoModule = "github.com/argoproj/argo-cd/v3"
	fluxModule = "github.com/fluxcd/helm-controller"
)

// ArgoCDFiles returns files of Argo CD's module.
func ArgoCDFiles(ctx context.Context, names ...string) ([][]byte, error) {
	argo, err := source(ctx, "argocd", argoModule)
	if err != nil {
		return nil, err
	}
	var files [][]byte
	for _, name := range names {
		text, err := os.ReadFile(filepath.Join(argo, filepath.FromSlash(name)))
		if err != nil {
			return nil, fmt.Errorf("reading a file of Argo CD: %w", err)
		}
		files = append(files, text)
	}
	return files, nil
}

// ArgoCDCRDs returns the CRDs of Argo CD's Application and AppProject.
func ArgoCDCRDs(ctx context.Context) ([][]byte, error) {
	return ArgoCDFiles(ctx, "manifests/crds/application-crd.yaml", "manifests/crds/appproject-crd.yaml")
}

// ClusterAPICRDs returns the CRDs of Cluster API's add-on provider for Helm, from its module.
func ClusterAPICRDs(ctx context.Context) (crds [][]byte, err error) {
	provider, err := source(ctx, "cluster-api-helm", "sigs.k8s.io/cluster-api-addon-provider-helm")
	if err != nil {
		return nil, err
	}
	for _, name := range []string{"helmchartproxies", "helmreleaseproxies"} {
		crd, err := readCRD(filepath.Join(provider, "config", "crd", "bases", "addons.cluster.x-k8s.io_"+name+".yaml"))
		if err != nil {
			return nil, err
		}
		crds = append(crds, crd)
	}
	return crds, nil
}

// FluxCRDs returns the CRDs of Flux's HelmRelease and of its sources, one document
// each. helm-controller has its own in its module; of source-controller only the API
// is one, and its own generator makes them.
func FluxCRDs(ctx context.Context, progress io.Writer) ([][]byte, error) {
	helm, err := source(ctx, "helm-controller", fluxModule)
	if err != nil {
		return nil, err
	}
	files := []string{filepath.Join(helm, "config", "crd", "bases", "helm.toolkit.fluxcd.io_helmreleases.yaml")}

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
		"paths=github.com/fluxcd/source-controller/api/v1", "output:dir="+out)
	if err != nil {
		return nil, fmt.Errorf("making the CRDs of Flux's sources: %w", err)
	}
	sources, err := filepath.Glob(filepath.Join(out, "*.yaml"))
	if err != nil {
		return nil, err
	}
	var crds [][]byte
	for _, file := range append(files, sources...) {
		crd, err := readCRD(file)
		if err != nil {
			return nil, err
		}
		crds = append(crds, crd)
	}
	return crds, nil
}

func readCRD(file string) ([]byte, error) {
	crd, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("reading a CRD: %w", err)
	}
	return crd, nil
}
