#!/usr/bin/env bash
# Makes a draft at GitHub public, and puts the cask that GoReleaser wrote for it into the Homebrew tap.
# GH_TOKEN is for the first, HOMEBREW_TAP_TOKEN for the second.
#
#   publish.sh VERSION CASK
set -euo pipefail
cd "$(dirname "$0")/../.."
repository=arc-cleanup/arc-cleanup
tap=repos/arc-cleanup/homebrew-tap/contents/Casks/arc-cleanup.rb
fail() { echo "publish: $*" >&2; exit 1; }
publish() { gh release edit "v$version" --repo "$repository" --draft=false "$@"; }
version=$1 cask=$2

# While the archives were built, the tag may have been moved.
tools/pack/tag.sh "v$version" "$version"
if [[ $version == *-* ]]; then
  publish
  echo "v$version is a pre-release: Homebrew keeps the release before it"
  exit
fi
# A run can be agreed to, or repeated, when a newer version is out: who installs the latest would get an older one.
if ! latest=$(gh api "repos/$repository/releases/latest" --jq .tag_name 2>&1); then
  [[ $latest == *'HTTP 404'* ]] || fail "looking for the latest release: $latest"
  latest=v$version
fi
if [ "$(printf '%s\n' "v$version" "$latest" | sort --version-sort | tail -n 1)" != "v$version" ]; then
  publish --latest=false
  echo "$latest is newer than v$version: it stays the latest release, and Homebrew keeps it"
  exit
fi
publish
if [ -z "${HOMEBREW_TAP_TOKEN:-}" ]; then
  echo "!!! NOT DONE: the Homebrew cask. HOMEBREW_TAP_TOKEN is not set." >&2
  exit
fi
export GH_TOKEN=$HOMEBREW_TAP_TOKEN
# GitHub wants to know which file a new one replaces; the first release replaces none.
if ! old=$(gh api "$tap" --jq .sha 2>&1); then
  [[ $old == *'HTTP 404'* ]] || fail "looking for the cask before: $old"
  old=
fi
gh api --method PUT "$tap" --raw-field message="arc-cleanup $version" --raw-field content="$(base64 <"$cask" | tr -d '\n')" ${old:+--raw-field sha="$old"}
