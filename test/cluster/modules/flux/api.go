// Package flux names the API of Flux's sources, of which controller-gen makes the CRDs.
package flux

import _ "github.com/fluxcd/source-controller/api/v1"
