#!/usr/bin/env bash
# Makes a draft at GitHub public, and puts the cask that GoReleaser wrote for it into the Homebrew tap.
# GH_TOKEN is for the first, HOMEBREW_TAP_TOKEN for the second.
#
#   publish.sh VERSION CASK
set -euo pipefail
cd "$(dirname "$0")/../.."
tap=repos/arc-cleanup/homebrew-tap/contents/Casks/arc-cleanup.rb

# While the archives were built, the tag may have been moved.
tools/pack/tag.sh "v$1" "$1"
gh release edit "v$1" --repo arc-cleanup/arc-cleanup --draft=false
if [[ $1 == *-* ]]; then
  echo "v$1 is a pre-release: Homebrew keeps the release before it"
  exit
fi
if [ -z "${HOMEBREW_TAP_TOKEN:-}" ]; then
  echo "!!! NOT DONE: the Homebrew cask. HOMEBREW_TAP_TOKEN is not set." >&2
  exit
fi
export GH_TOKEN=$HOMEBREW_TAP_TOKEN
# GitHub wants to know which file a new one replaces; the first release replaces none.
if ! old=$(gh api "$tap" --jq .sha 2>&1); then
  [[ $old == *'HTTP 404'* ]] || { echo "publish: looking for the cask before: $old" >&2; exit 1; }
  old=
fi
gh api --method PUT "$tap" --raw-field message="arc-cleanup $1" --raw-field content="$(base64 <"$2" | tr -d '\n')" ${old:+--raw-field sha="$old"}
