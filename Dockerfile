# The hook's image: one static binary, and the licences of what is in it.
#
#   docker build --build-arg VERSION=0.1.0 --build-arg REVISION=$(git rev-parse HEAD) -t arc-hookjob .
#
# `make image-oci` makes the same image without a container engine; tools/pack/image holds the two together.

# Override to build from a mirror.
ARG GO_IMAGE=docker.io/library/golang:1.26.8-alpine

# The builder runs on the machine's own platform and cross-compiles: no emulation.
FROM --platform=$BUILDPLATFORM ${GO_IMAGE} AS build
WORKDIR /src
# Modules first: a change of the source does not download them again.
ARG GOPROXY
COPY go.mod go.sum ./
RUN go mod download
COPY . .
ARG TARGETOS
ARG TARGETARCH
ARG VERSION=dev
ARG REVISION=unknown
RUN CGO_ENABLED=0 GOOS=$TARGETOS GOARCH=$TARGETARCH go build -buildvcs=false -trimpath \
    -ldflags "-s -w -X github.com/arc-cleanup/arc-cleanup/internal/version.Version=$VERSION -X github.com/arc-cleanup/arc-cleanup/internal/version.Revision=$REVISION" \
    -o /out/arc-hookjob ./cmd/hookjob

# No CA certificates: the hook trusts the cluster's own CA, which the kubelet mounts beside
# the service account's token, and the public ones, for GitHub, are in the binary.
FROM scratch
ARG VERSION=dev
ARG REVISION=unknown
LABEL org.opencontainers.image.title="arc-hookjob" \
      org.opencontainers.image.description="Lets helm uninstall of Actions Runner Controller finish: scale sets, controller, CRDs" \
      org.opencontainers.image.source="https://github.com/arc-cleanup/arc-cleanup" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="$VERSION" \
      org.opencontainers.image.revision="$REVISION"
COPY --from=build /out/arc-hookjob /arc-hookjob
COPY LICENSE THIRD_PARTY_LICENSES.txt /
# By number: runAsNonRoot cannot check a name.
USER 65532:65532
ENTRYPOINT ["/arc-hookjob"]
