#!/usr/bin/env bash
# Builds and signs the archives, and drafts the release at GitHub. Of a release that is public it changes nothing: then the
# archives are only built again, for what publish.sh has not done.
#
#   draft.sh VERSION GORELEASER [ITS FLAGS]
set -euo pipefail
cd "$(dirname "$0")/../.."
version=$1 goreleaser=$2
shift 2
fail() { echo "draft: $*" >&2; exit 1; }
for file in dist/arc-hookjob.digest dist/provenance.json; do
  [ -s "$file" ] || fail "$file is missing: make release-oci comes before"
done

# Nothing is drafted where GoReleaser is told so.
if [[ " $* " != *skip=*publish* ]]; then
  if draft=$(gh release view "v$version" --repo arc-cleanup/arc-cleanup --json isDraft --jq .isDraft 2>&1); then
    if [ "$draft" = false ]; then
      echo "v$version is public already: nothing of it is changed"
      set -- --skip=publish "$@"
    fi
  elif [[ $draft != *'release not found'* ]]; then
    fail "looking for a release v$version: $draft"
  fi
fi
DIGEST=$(cat dist/arc-hookjob.digest)
export DIGEST
"$goreleaser" release --clean --release-notes dist/notes.md "$@"
