#!/usr/bin/env bash
# Installs, upgrades or uninstalls ARC, and leaves nothing behind:
#
#   arc.sh install|uninstall [FLAGS OF HELM...]
#   arc.sh upgrade [FLAGS OF ARC-CLEANUP UPGRADE...]
#
# You need helm 3 or 4, arc-postrender (for Helm 4 its plugin) and arc-cleanup.
# VALUES is a file with the values of the scale set. To change values, install with
# the ARC_VERSION that is installed; to change the version of ARC, upgrade. An install
# of another minor version makes the new controller delete every scale set.
set -euo pipefail

CHARTS=${CHARTS:-oci://ghcr.io/actions/actions-runner-controller-charts}
ARC_VERSION=${ARC_VERSION:-0.12.1}
VALUES=${VALUES:-values.yaml}

# The hook's image in your registry. A published arc-cleanup does not need it.
export ARC_CLEANUP_SET=${ARC_CLEANUP_SET:-image.repository=registry.example/arc-hookjob}

# Helm 4 does not print the errors of a post-renderer.
export ARC_CLEANUP_LOG_FILE=${ARC_CLEANUP_LOG_FILE:-$(mktemp)}

install() {
  helm upgrade --install arc "$CHARTS/gha-runner-scale-set-controller" --version "$ARC_VERSION" \
    --namespace arc-systems --create-namespace --post-renderer arc-postrender --wait "$@" || why
  helm upgrade --install arc-runner-set "$CHARTS/gha-runner-scale-set" --version "$ARC_VERSION" \
    --namespace arc-runners --create-namespace --post-renderer arc-postrender --values "$VALUES" "$@" || why
}

why() {
  cat "$ARC_CLEANUP_LOG_FILE" >&2
  exit 1
}

upgrade() {
  arc-cleanup upgrade --version "$ARC_VERSION" --chart "$CHARTS/gha-runner-scale-set-controller" \
    --scale-set-chart "$CHARTS/gha-runner-scale-set" --yes "$@"
}

uninstall() {
  helm uninstall arc-runner-set --namespace arc-runners --ignore-not-found "$@"
  helm uninstall arc --namespace arc-systems --ignore-not-found "$@"
  arc-cleanup plan --all-namespaces # fails when something is left that no controller looks after
}

case ${1:-} in
  install | upgrade | uninstall) "$@" ;;
  *) sed -n 's/^# \{0,1\}//p' "$0" >&2; exit 2 ;;
esac
