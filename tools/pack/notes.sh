#!/usr/bin/env bash
# Prints a section of CHANGELOG.md, for the release page: its links lead to the files of that tag.
#
#   notes.sh SECTION TAG
set -euo pipefail
cd "$(dirname "$0")/../.."
notes=$(awk -v section="$1" '/^## /{ on = $2 == section || $2 == "[" section "]"; next } on' CHANGELOG.md)
# A heading alone says nothing.
grep -Eqv '^(#.*|[[:space:]]*)$' <<<"$notes" || { echo "notes: CHANGELOG.md has no section $1, or nothing in it" >&2; exit 1; }
base=https://github.com/arc-cleanup/arc-cleanup
sed -e "s|!\[\([^]]*\)\](\([^)#:]*\))|![\1]($base/raw/$2/\2)|g" \
  -e "s|](#|](CHANGELOG.md#|g" \
  -e "s|](\([^)#:]*[)#]\)|]($base/blob/$2/\1|g" <<<"$notes"
