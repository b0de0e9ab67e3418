// Package flux names the API of Flux, of which controller-gen makes the CRDs.
package flux

import (
	_ "github.com/fluxcd/helm-controller/api/v2"
	_ "github.com/fluxcd/source-controller/api/v1"
)
