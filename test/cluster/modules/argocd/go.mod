// Argo CD, for the CRDs that lie in it; nothing of it is built. `go mod tidy` would
// take it out.
module github.com/arc-cleanup/arc-cleanup/test/cluster/modules/argocd

go 1.26.0

require github.com/argoproj/argo-cd/v3 v3.5.0
