#!/usr/bin/env bash
# Refuses a tag that must not be released: one that is no version, is not the version of what would be published, has no
# notes, is denied by the README, has been moved since this commit was checked out, or is of a commit that main does not have.
#
#   tag.sh TAG VERSION
set -euo pipefail
cd "$(dirname "$0")/../.."
fail() { echo "tag: $*" >&2; exit 1; }

number='(0|[1-9][0-9]*)'
# A part of a pre-release is a number, or has a letter.
part="($number|[0-9]*[A-Za-z-][0-9A-Za-z-]*)"
[[ $1 =~ ^v$number\.$number\.$number(-$part(\.$part)*)?$ ]] ||
  fail "$1 is not v and a version, as v1.2.3 or v1.2.3-rc.1; a registry's tags cannot have a +"
[ "$1" = "v$2" ] || fail "the tag is $1, and the chart says v$2"
for file in charts/arc-cleanup/Chart.yaml plugin/*/plugin.yaml; do
  grep -Fqx "version: $2" "$file" || fail "the tag is $1, and $file has no version: $2"
done
tools/pack/notes.sh "$2" "$1" >/dev/null
for page in README.md docs/verify.md; do
  if grep -Fqs 'Nothing is published yet' "$page"; then
    fail "$page says that nothing is published yet; say there where to get what this tag publishes"
  fi
done

commit=$(git rev-parse HEAD)
# Of a tag with a message, the commit comes second.
tagged=$(git ls-remote origin "refs/tags/$1*" | awk -v ref="refs/tags/$1" '$2 == ref || $2 == ref "^{}" { commit = $1 } END { print commit }')
[ "$tagged" = "$commit" ] || fail "the tag $1 is of ${tagged:-no commit} at $(git remote get-url origin), and this is $commit"
git fetch --quiet origin refs/heads/main
git merge-base --is-ancestor "$commit" FETCH_HEAD || fail "$commit is not in main"
