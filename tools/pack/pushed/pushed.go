// Package pushed keeps what is published from being replaced: a version is published once, and a push that is repeated
// finds what it has pushed before.
package pushed

import (
	"bytes"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/remote/transport"
)

// Under returns the digest of what a tag refers to, and nil if the registry says that there is nothing. It has to be the
// thing with the given digest, or hold a layer with it, and beside that at most Helm's provenance file: anything else is an
// error, as is an answer that says neither. Who may push and not sign could else put an archive beside the one that is
// expected, before it is pushed, and the release would sign both.
func Under(tag name.Tag, digest v1.Hash) (*v1.Hash, error) {
	there, err := remote.Get(tag, remote.WithAuthFromKeychain(authn.DefaultKeychain))
	var answer *transport.Error
	if errors.As(err, &answer) && answer.StatusCode == http.StatusNotFound {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("looking for what is published as %s: %w", tag, err)
	}
	if there.Digest == digest {
		return &digest, nil
	}
	manifest, err := v1.ParseManifest(bytes.NewReader(there.Manifest))
	if err != nil {
		return nil, fmt.Errorf("reading what is published as %s: %w", tag, err)
	}
	rest := slices.DeleteFunc(slices.Clone(manifest.Layers), func(l v1.Descriptor) bool { return l.Digest == digest })
	if len(rest) == len(manifest.Layers)-1 && (len(rest) == 0 || len(rest) == 1 && isProvenance(rest[0])) {
		return &there.Digest, nil
	}
	return nil, fmt.Errorf("%s is published already, and is %s, which is not %s: what is published is not replaced", tag, there.Digest, digest)
}

// isProvenance reports whether a layer is Helm's provenance file, of a chart, or of a plugin, which Helm knows by its title.
func isProvenance(l v1.Descriptor) bool {
	return l.MediaType == "application/vnd.cncf.helm.chart.provenance.v1.prov" ||
		strings.HasSuffix(l.Annotations["org.opencontainers.image.title"], ".tgz.prov")
}
