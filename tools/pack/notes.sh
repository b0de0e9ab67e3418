#!/usr/bin/env bash
# Prints a section of CHANGELOG.md, for the release page: its links lead to the files of that tag.
#
#   notes.sh SECTION TAG
set -euo pipefail
cd "$(dirname "$0")/../.."
notes=$(awk -v section="$1" '/^## /{ on = $2 == section; next } on' CHANGELOG.md)
[ "$notes" ] || { echo "notes: CHANGELOG.md has no section $1" >&2; exit 1; }
sed "s|](\([^)#:]*[)#]\)|](https://github.com/arc-cleanup/arc-cleanup/blob/$2/\1|g" <<<"$notes"
