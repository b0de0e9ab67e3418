#!/usr/bin/env bash
# Signs the checksums of a release, and attests where each archive beside them comes from. GoReleaser calls it, with
# COSIGN and COSIGN_FLAGS of the Makefile in the environment.
#
#   sign.sh CHECKSUMS SIGNATURE
set -euo pipefail
provenance=$(dirname "$0")/../../dist/provenance.json

# shellcheck disable=SC2086 # COSIGN_FLAGS are several words.
"$COSIGN" sign-blob --yes ${COSIGN_FLAGS:-} --bundle "$2" "$1"
for archive in "$(dirname "$1")"/*.tar.gz "$(dirname "$1")"/*.zip; do
  # shellcheck disable=SC2086
  "$COSIGN" attest-blob --yes ${COSIGN_FLAGS:-} --type slsaprovenance1 --predicate "$provenance" \
    --bundle "$archive.provenance.sigstore.json" "$archive"
done
