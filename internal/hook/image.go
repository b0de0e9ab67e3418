//go:build image

package hook

import (
	"errors"

	"helm.sh/helm/v3/pkg/release"
)

// Render says who does: an image holds no chart.
func Render(Release, map[string]any) ([]*release.Hook, error) {
	return nil, errors.New("the image cannot render the hook; run arc-hookjob, or helm arc-cleanup, outside the cluster")
}
