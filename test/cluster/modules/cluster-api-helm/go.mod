// Cluster API's add-on provider for Helm, for the CRDs that lie in it; nothing of it
// is built. `go mod tidy` would take it out.
module github.com/arc-cleanup/arc-cleanup/test/cluster/modules/cluster-api-helm

go 1.26.0

require sigs.k8s.io/cluster-api-addon-provider-helm v0.6.4
