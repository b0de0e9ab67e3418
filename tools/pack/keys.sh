#!/usr/bin/env bash
# Puts the secrets of a release where its programs look for them: the PGP key of Helm's provenance files into
# RUNNER_TEMP/release-keys, and the registry's password where cosign and Helm find it.
#
#   HELM_SIGNING_KEY          base64 of `gpg --export-secret-keys NAME`
#   HELM_SIGNING_PASSPHRASE   its passphrase; empty if it has none
#   REGISTRY, REGISTRY_USER, REGISTRY_PASSWORD, COSIGN
set -euo pipefail
umask 077
for name in RUNNER_TEMP HELM_SIGNING_KEY REGISTRY REGISTRY_USER REGISTRY_PASSWORD COSIGN; do
  [ "${!name:-}" ] || { echo "keys: $name is not set" >&2; exit 1; }
done
keys=$RUNNER_TEMP/release-keys
mkdir -p "$keys"
base64 --decode <<<"$HELM_SIGNING_KEY" >"$keys/secring.gpg"
printf %s "${HELM_SIGNING_PASSPHRASE:-}" >"$keys/passphrase"
"$COSIGN" login "${REGISTRY%%/*}" --username "$REGISTRY_USER" --password-stdin <<<"$REGISTRY_PASSWORD"
