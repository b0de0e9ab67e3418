#!/usr/bin/env bash
# Builds, pushes, signs and attests what goes to a registry: the image, then the chart and the plugins, which name
# the image by its digest. `make release-oci` calls it, with its variables in the environment:
#
#   REGISTRY             where to: image, charts/ and plugins/ go below it
#   VERSION, REVISION    of what
#   COSIGN, HELM         the programs
#   COSIGN_FLAGS         how cosign signs; without any it is keyless, and the identity is the workflow's
#   KEYRING, KEY         the PGP key that `helm verify` and `helm plugin verify` ask for: a file without spaces in its
#                        name, and a word of the key's name
#   PASSPHRASE_FILE      its passphrase; no file, or an empty one, if it has none
set -euo pipefail
cd "$(dirname "$0")/../.."

fail() { echo "release: $*" >&2; exit 1; }
for name in REGISTRY VERSION REVISION COSIGN HELM KEYRING KEY; do
  [ "${!name:-}" ] || fail "$name is not set"
done
# They are given to other programs in one word with others.
[[ "$PWD$KEYRING$KEY${PASSPHRASE_FILE:-}" != *[[:space:]]* ]] || fail "no space may be in: $PWD, $KEYRING, $KEY, ${PASSPHRASE_FILE:-}"
image=$REGISTRY/arc-hookjob
pgp="--keyring $KEYRING --key $KEY"
if [ -s "${PASSPHRASE_FILE:-}" ]; then pgp+=" --passphrase-file $PASSPHRASE_FILE"; fi

# Each is about a digest: a tag can be moved.
sign_and_attest() {
  # shellcheck disable=SC2086 # COSIGN_FLAGS are several words.
  "$COSIGN" sign --yes --recursive ${COSIGN_FLAGS:-} "$1"
  attest "$1" slsaprovenance1 dist/provenance.json
}
attest() {
  # shellcheck disable=SC2086
  "$COSIGN" attest --yes ${COSIGN_FLAGS:-} --type "$2" --predicate "$3" "$1"
}

mkdir -p dist
# What another version left would be published with this one.
rm -f dist/*.tgz dist/*.tgz.prov dist/pubring.gpg dist/arc-hookjob.digest dist/provenance.json
go -C tools/pack run ./provenance --output "$PWD/dist/provenance.json" --version "$VERSION" --revision "$REVISION"

make --no-print-directory image-oci IMAGE="$image" PACK_FLAGS=--push
digest=$(cat dist/arc-hookjob.digest)
sign_and_attest "$image@$digest"
# What the two images are made of is the same, down to the byte.
cmp dist/arc-hookjob-linux-amd64.cdx.json dist/arc-hookjob-linux-arm64.cdx.json
attest "$image@$digest" cyclonedx dist/arc-hookjob-linux-amd64.cdx.json

make --no-print-directory plugin DIGEST="$digest" \
  PLUGIN_FLAGS="$pgp --public $PWD/dist/pubring.gpg --push oci://$REGISTRY/plugins" | tee dist/plugins.txt
plugins=$(sed -n 's|^  pushed to oci://\(.*\):[^:@]*@\(sha256:.*\)|\1@\2|p' dist/plugins.txt)
[ "$(wc -l <<<"$plugins")" = 2 ] || fail "two plugins were to be pushed: $plugins"
for plugin in $plugins; do sign_and_attest "$plugin"; done

make --no-print-directory chart IMAGE="$image" DIGEST="$digest"
SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-$(git log -1 --format=%ct)}
export SOURCE_DATE_EPOCH # The same commit gives the same chart.
# shellcheck disable=SC2086
"$HELM" package dist/chart/arc-cleanup --destination dist/chart --sign $pgp
archive=dist/chart/arc-cleanup-$VERSION.tgz
chart=$(go -C tools/pack run ./published "$REGISTRY/charts/arc-cleanup:$VERSION" "$PWD/$archive")
if [ -z "$chart" ]; then
  "$HELM" push "$archive" "oci://$REGISTRY/charts" 2>&1 | tee dist/chart.txt
  chart=$(sed -n 's|^Digest: ||p' dist/chart.txt)
fi
[ "$chart" ] || fail "helm push did not say the digest"
sign_and_attest "$REGISTRY/charts/arc-cleanup@$chart"
go -C tools/pack run ./artifacthub "$REGISTRY/charts/arc-cleanup" "$PWD/artifacthub-repo.yml"
