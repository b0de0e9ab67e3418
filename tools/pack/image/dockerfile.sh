#!/usr/bin/env bash
# Builds the Dockerfile with buildah and looks at what comes out: the binary has to
# be the one of `make image-oci`, byte for byte. Instead of the golang image, which
# has to be pulled, a builder is made of this machine's Go and a static busybox.
# Needs Linux, root, buildah and busybox-static.
#
#   dockerfile.sh BINARY VERSION REVISION
set -euo pipefail
cd "$(dirname "$0")/../../.."
binary=$1 version=$2 revision=$3

fail() { echo "dockerfile: $*" >&2; exit 1; }

work=$(mktemp -d)
# chroot needs neither a user namespace nor a network's set-up.
export BUILDAH_ISOLATION=chroot
buildah() { command buildah --root "$work/storage" --runroot "$work/run" "$@"; }
cleanup() {
  buildah rm --all >/dev/null 2>&1 || true
  # What a build that was cut off has left mounted; most leave nothing, which umount
  # calls an error. What is still mounted then, rm does not go into.
  umount "$work"/storage/overlay/*/merged "$work/storage/overlay" 2>/dev/null || true
  rm -rf --one-file-system "$work"
}
trap cleanup EXIT
trap 'exit 130' INT TERM

builder=$(buildah from scratch)
buildah config --env PATH=/usr/local/go/bin:/bin --env GOPATH=/go --env GOTOOLCHAIN=local --env GOCACHE=/go/build "$builder"
buildah copy --quiet "$builder" "$(command -v busybox)" /bin/busybox
buildah run "$builder" -- /bin/busybox sh -c "busybox --install -s /bin && mkdir /tmp"
buildah commit --quiet --rm "$builder" localhost/golang >/dev/null

arch=$(go env GOHOSTARCH)
# Of this machine: Go, its caches, and the certificates and names to reach a proxy with.
buildah build --quiet --network host \
  --volume "$(go env GOROOT):/usr/local/go:ro" \
  --volume "$(go env GOMODCACHE):/go/pkg/mod" \
  --volume "$(go env GOCACHE):/go/build" \
  --volume /etc/ssl/certs:/etc/ssl/certs:ro \
  --build-arg GO_IMAGE=localhost/golang --build-arg BUILDPLATFORM="linux/$arch" --build-arg GOPROXY="$(go env GOPROXY)" \
  --build-arg TARGETOS=linux --build-arg TARGETARCH="$arch" \
  --build-arg VERSION="$version" --build-arg REVISION="$revision" \
  --tag localhost/arc-hookjob . >/dev/null

inspect() { buildah inspect --type image --format "$1" localhost/arc-hookjob; }
[ "$(inspect '{{.OCIv1.Config.User}}')" = 65532:65532 ] || fail "the user is $(inspect '{{.OCIv1.Config.User}}')"
[ "$(inspect '{{.OCIv1.Config.Entrypoint}}')" = "[/arc-hookjob]" ] || fail "the entrypoint is $(inspect '{{.OCIv1.Config.Entrypoint}}')"
[ "$(inspect '{{index .OCIv1.Config.Labels "org.opencontainers.image.revision"}}')" = "$revision" ] || fail "the label is not the revision"

container=$(buildah from localhost/arc-hookjob)
root=$(buildah mount "$container")
files=$(cd "$root" && find . -type f | sort | xargs)
[ "$files" = "./LICENSE ./THIRD_PARTY_LICENSES.txt ./arc-hookjob" ] || fail "not the binary and the licences: $files"
cmp "$root/arc-hookjob" "$binary" || fail "the binary is not that of make image-oci"
said=$(buildah run "$container" -- /arc-hookjob --version)
[ "$said" = "$version (${revision:0:12})" ] || fail "it says: $said"
! buildah run "$container" -- /bin/sh -c true 2>/dev/null || fail "there is a shell in the image"
echo "The Dockerfile builds the image of make image-oci: $said"
