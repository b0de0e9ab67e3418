package cluster

import (
	"context"
	"io"
	"path/filepath"
)

const arcModule = "github.com/actions/actions-runner-controller"

// ARCCharts returns the folder with ARC's own charts.
func ARCCharts(ctx context.Context) (string, error) {
	dir, err := source(ctx, "arc", arcModule)
	if err != nil {
		return "", err
	}
	return filepath.Join(dir, "charts"), nil
}

// ARCImages are the images of ARC: its controller and its listener are the
// real ones, a runner only waits for its end.
func ARCImages(ctx context.Context, progress io.Writer) (map[string]Image, error) {
	controller, err := Binary(ctx, "arc-controller", progress)
	if err != nil {
		return nil, err
	}
	listener, err := Binary(ctx, "arc-listener", progress)
	if err != nil {
		return nil, err
	}
	idle := Program{Path: "/bin/sh", Args: []string{"-c", "trap 'exit 0' TERM; while :; do sleep 1 & wait; done"}}
	return map[string]Image{
		"ghcr.io/actions/gha-runner-scale-set-controller": {Commands: map[string]Program{
			"":                                {Path: controller},
			"/manager":                        {Path: controller},
			"/github-runnerscaleset-listener": {Path: listener},
		}},
		// The legacy controller is the same program.
		"summerwind/actions-runner-controller": {Commands: map[string]Program{"/manager": {Path: controller}}},
		"ghcr.io/actions/actions-runner": {Commands: map[string]Program{
			"/home/runner/run.sh": idle,
		}},
	}, nil
}
