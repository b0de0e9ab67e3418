#!/usr/bin/env bash
# Builds the image twice, from two clones of this commit in two folders, as two
# different people would, and compares what comes out. Needs Linux, Go, make and git.
set -euo pipefail
cd "$(dirname "$0")/../../.."
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

build() { # CLONE FOLDER
  git clone --quiet "$1" "$2"
  make --silent -C "$2" image-oci >/dev/null
  (cd "$2/dist" && sha256sum ./*.oci.tar ./*.cdx.json)
}
one=$(umask 022; TZ=UTC build . "$work/one")
two=$(umask 077; TZ=Asia/Tokyo LC_ALL=C build "$work/one" "$work/somewhere/else")
if [ "$one" != "$two" ]; then
  printf 'Two builds of one commit differ:\n%s\n\n%s\n' "$one" "$two" >&2
  exit 1
fi
printf 'Two builds in two folders are the same:\n%s\n' "$one"
