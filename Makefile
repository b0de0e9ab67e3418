# `make help` lists the targets. Go, make and git are all that is needed.

VERSION  ?= $(shell sed -n 's/^appVersion: *"\{0,1\}\([^"]*\)"\{0,1\}/\1/p' charts/arc-cleanup/Chart.yaml)
REVISION ?= $(shell git rev-parse -q --verify HEAD 2>/dev/null || echo unknown)
VERSION_PKG = github.com/arc-cleanup/arc-cleanup/internal/version
# The digest of the image, as make image-oci prints it. Programs and chart then take the image by it.
DIGEST   ?=
LDFLAGS   = -s -w -X $(VERSION_PKG).Version=$(VERSION) -X $(VERSION_PKG).Revision=$(REVISION) \
            $(if $(DIGEST),-X github.com/arc-cleanup/arc-cleanup/internal/chart.imageDigest=$(DIGEST))
GO_BUILD  = CGO_ENABLED=0 go build -buildvcs=false -trimpath -ldflags "$(LDFLAGS)"
# It takes the place of the shell, so that a signal to make reaches it.
DEMO      = CGO_ENABLED=0 go build -buildvcs=false -trimpath -o ../bin/demo ./demo && exec ../bin/demo
TOOL      = go tool -modfile='$(CURDIR)/tools/go.mod'
# What comes with every program: its licence, and those of what is linked into it.
LICENSES  = LICENSE THIRD_PARTY_LICENSES.txt
PREFIX   ?= /usr/local
# The platforms of the Helm plugins.
PLATFORMS ?= linux/amd64 linux/arm64 darwin/amd64 darwin/arm64 windows/amd64 windows/arm64
IMAGE    ?= registry.example/arc-hookjob
# `info`, not `command -v`: a docker client without a daemon builds nothing.
ENGINE   ?= $(firstword $(foreach e,docker podman buildah,$(shell $(e) info >/dev/null 2>&1 && echo $(e))))
# With the flags of the demo, too: a test cluster is compiled once, whatever starts it.
GO_RUN    = CGO_ENABLED=0 go run -trimpath
GO_TEST   = CGO_ENABLED=0 go test -trimpath
# Time for the fuzz test of the stream splitter.
FUZZTIME ?= 10s
# For a user who is not root: SUDO=yes makes root of what has to be it.
SUDO     ?=
AS_ROOT   = $(if $(SUDO),sudo -E env "PATH=$$PATH")
# Which tests of e2e-node, and how many runners it has cleared within the memory limit.
RUN      ?=
RUNNERS  ?= 20000
# The version of Kubernetes in the test cluster: 1.34, or empty for the newest one in test/cluster/modules.
KUBERNETES ?=
export KUBERNETES
# Numbers of runners for bench.
N        ?= 500 5000 20000
# Name of the cluster of cluster-up and cluster-down.
CLUSTER  ?= default

.DEFAULT_GOAL := help
.PHONY: help
help: ## List the targets
	@awk 'BEGIN {FS = ":.*## "} /^[a-z0-9-]+:.*## / {printf "  %-16s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

# Your own cluster only if this command names it: a KUBE_CONTEXT that your environment has is for something else.
.PHONY: demo
demo: ## Show on an embedded cluster what Helm leaves of ARC, the rescue, and the hook (KUBE_CONTEXT=... IMAGE=...: the hook, on your cluster)
	@echo 'Compiling the demo: two to four minutes the first time, before it builds Kubernetes, Helm and ARC; then a second.'
	@cd test && $(DEMO)$(if $(filter command,$(origin KUBE_CONTEXT)), --kube-context "$$KUBE_CONTEXT" --image "$$IMAGE")

# The lines of the demo that its picture leaves out: times, all but one of each kind of step, rows of the table that are
# alike, and what is long.
NOT_DRAWN = ^ +\([0-9.]+ s\)$$|^ {5}free .*(ephemeralrunner|autoscalinglisteners|serviceaccounts|secrets|roles|rolebindings)|^ {5}crds .*(listeners|ephemeral)
NOT_DRAWN := $(NOT_DRAWN)|^ {5}(collect|backup|Digest:|To do this|warning:|waiting|backed up|Some content)|^Starting etcd
NOT_DRAWN := $(NOT_DRAWN)|^ +[0-9].* (clusterrolebindings|clusterroles|deployments|replicasets|rolebindings|roles|serviceaccounts)$$
.PHONY: picture
picture: ## Record the demo as docs/demo.svg
	@mkdir -p dist
	cd test && export CLICOLOR_FORCE=1 && $(GO_RUN) ./picture -columns 132 -title "make demo (shortened)" -skip '$(NOT_DRAWN)' \
	    sh -c '$(DEMO)' > ../dist/demo.svg
	cp dist/demo.svg docs/demo.svg

.PHONY: build
build: ## Build bin/arc-cleanup (also as bin/arc-hookjob) and bin/arc-postrender
	$(GO_BUILD) -o bin/arc-cleanup ./cmd/hookjob
	cp bin/arc-cleanup bin/arc-hookjob
	$(GO_BUILD) -o bin/arc-postrender ./cmd/postrender

.PHONY: install
install: build ## Install arc-cleanup, arc-hookjob and arc-postrender into /usr/local/bin (SUDO=yes: as root; PREFIX= for another folder)
	$(AS_ROOT) install -d "$(DESTDIR)$(PREFIX)/bin"
	$(AS_ROOT) install bin/arc-cleanup bin/arc-hookjob bin/arc-postrender "$(DESTDIR)$(PREFIX)/bin"

# The folders of the Helm plugins. One for this machine alone is built in seconds.
.PHONY: plugin-dir
plugin-dir: PLATFORMS = $(shell go env GOHOSTOS)/$(shell go env GOHOSTARCH)
plugin-dir: plugin-folders ## Assemble the Helm plugins for this machine in dist/plugin, for `helm plugin install`

.PHONY: plugin-folders
plugin-folders:
	rm -rf dist/plugin
	install -d dist/plugin
	cp -R plugin/arc-postrender plugin/arc-cleanup dist/plugin
	for plugin in arc-postrender arc-cleanup; do cp $(LICENSES) dist/plugin/$$plugin; done
	set -e; for platform in $(PLATFORMS); do \
	    export GOOS=$${platform%/*} GOARCH=$${platform#*/}; suffix=$$GOOS-$$GOARCH$$(go env GOEXE); \
	    $(GO_BUILD) -o dist/plugin/arc-postrender/bin/arc-postrender-$$suffix ./cmd/postrender; \
	    $(GO_BUILD) -o dist/plugin/arc-cleanup/bin/arc-cleanup-$$suffix ./cmd/hookjob; \
	done

.PHONY: plugin
plugin: export SOURCE_DATE_EPOCH ?= $(shell git log -1 --format=%ct 2>/dev/null || echo 0)
plugin: plugin-folders ## Pack the Helm plugins for all PLATFORMS: dist/*.tgz (PLUGIN_FLAGS="--keyring FILE --key NAME --push oci://REGISTRY/FOLDER")
	set -e; for plugin in arc-postrender arc-cleanup; do \
	    go -C tools/pack run ./plugin --output '$(CURDIR)/dist' --version $(VERSION) --platforms "$(PLATFORMS)" \
	        $(PLUGIN_FLAGS) "$(CURDIR)/dist/plugin/$$plugin"; \
	done

.PHONY: test
test: test-unit test-chart test-fuzz test-cluster ## Run every test

.PHONY: test-unit
test-unit: ## Test without a cluster, in seconds
	$(GO_TEST) -parallel 8 ./... # most tests of internal/cleanup wait, for retries and for what makes no progress
	cd tools/pack && $(GO_TEST) -count=1 ./... # it reads files outside its module, of which the cache knows nothing
	cd tools/goreleaser && $(GO_TEST) -count=1 ./...

.PHONY: test-chart
test-chart: ## Test the chart with helm-unittest, and that its README matches its values
	$(TOOL) helm-unittest charts/arc-cleanup
	@$(HELM_DOCS) --dry-run | diff charts/arc-cleanup/README.md - || { echo "charts/arc-cleanup/README.md is stale: make docs" >&2; exit 1; }

.PHONY: test-fuzz
test-fuzz: ## Fuzz the stream splitter for FUZZTIME
	go test ./internal/manifest -run '^$$' -fuzz FuzzSplit -fuzztime $(FUZZTIME) -fuzzminimizetime 10x

.PHONY: test-cluster
test-cluster: ## Test on a real cluster (KUBERNETES=1.34 for another version); the first run builds Kubernetes, in 20 minutes or less
	cd test && $(GO_TEST) -p 2 -count=1 -timeout 75m ./e2e ./... # e2e takes longest: it begins, and the others run beside it
	cd test/helmsdk && $(GO_TEST) -count=1 ./...

.PHONY: test-tools
test-tools: ## Test helmfile and OpenTofu on a real cluster; the first run builds them, in about 6 minutes
	cd test && $(GO_TEST) -tags tools -count=1 -timeout 30m ./tools

# A builder for the Dockerfile, and what a node is made of.
PACKAGES = buildah busybox-static containerd runc containernetworking-plugins iproute2
.PHONY: packages
packages: ## Install what image-check and e2e-node need, on Debian and Ubuntu (as root, or SUDO=yes)
	$(AS_ROOT) apt-get update -qq
	$(AS_ROOT) apt-get install -qq -y --no-install-recommends $(PACKAGES)

# E2E_NODE=where-possible: a machine that cannot be a node skips it, and says so.
.PHONY: e2e-node
e2e-node: image-oci ## Test the image on a real node: containerd and kubelet, as root on Linux (RUN=, RUNNERS=)
	cd test/e2e-node && $(GO_TEST) -tags e2enode $(if $(SUDO),-exec "sudo -E env PATH=$$PATH") -count=1 -timeout 15m -failfast -v -run '$(RUN)' . -args -runners $(RUNNERS)

.PHONY: bench
bench: ## Measure how fast N stuck runners are freed, for docs/performance.md (N="500 5000 20000")
	cd test && $(GO_RUN) ./bench $(N)

.PHONY: bench-postrender
bench-postrender: ## Measure the post-renderer on streams up to 10 MB, for docs/performance.md
	cd test && $(GO_RUN) ./bench/postrender

HELM_DOCS = $(TOOL) helm-docs --chart-search-root charts --sort-values-order file --log-level warning
.PHONY: docs
docs: ## Generate the reference pages and the generated tables again; tests fail until you do
	$(HELM_DOCS)
	$(GO_TEST) ./cmd/... ./internal/chart ./internal/plan -run TestGenerated -update
	cd test && $(GO_TEST) ./attack -run TestGenerated -update
	go -C tools/pack run ./licenses --output '$(CURDIR)/THIRD_PARTY_LICENSES.txt'

.PHONY: lint
lint: ## Run golangci-lint over every module
	$(TOOL) golangci-lint run
	cd test && $(TOOL) golangci-lint run
	cd test/tools/provider && $(TOOL) golangci-lint run
	cd tools/pack && $(TOOL) golangci-lint run

.PHONY: cluster-up
cluster-up: ## Start a cluster to try things on; prints its KUBECONFIG (CLUSTER=name for more than one)
	@echo 'Compiling: two to four minutes the first time, then seconds.' >&2
	@$(GO_BUILD) -o bin/arc-cleanup ./cmd/hookjob
	@cd test && $(GO_RUN) ./cluster/cmd/cluster up --name $(CLUSTER) --image '$(IMAGE)=$(CURDIR)/bin/arc-cleanup'
	@echo 'export ARC_CLEANUP_SET=image.repository=$(IMAGE)'

.PHONY: cluster-down
cluster-down: ## Stop that cluster and delete all its files
	@cd test && $(GO_RUN) ./cluster/cmd/cluster down --name $(CLUSTER)

# buildah 1.28 (Debian 12) does not set BUILDPLATFORM. IMAGE_FLAGS: --platform, --build-arg GO_IMAGE=...
.PHONY: image
image: ## Build the image with docker, podman or buildah
	@test -n "$(ENGINE)" || { echo "make image needs docker (with its daemon), podman or buildah; make image-oci needs none of them" >&2; exit 1; }
	$(ENGINE) build --build-arg BUILDPLATFORM=linux/$$(go env GOHOSTARCH) \
	    --build-arg VERSION=$(VERSION) --build-arg REVISION=$(REVISION) $(IMAGE_FLAGS) --tag $(IMAGE):$(VERSION) .

IMAGE_BINARIES = dist/arc-hookjob-linux-amd64 dist/arc-hookjob-linux-arm64
.PHONY: $(IMAGE_BINARIES)
$(IMAGE_BINARIES): dist/arc-hookjob-linux-%:
	GOOS=linux GOARCH=$* $(GO_BUILD) -o $@ ./cmd/hookjob

.PHONY: image-oci
image-oci: export SOURCE_DATE_EPOCH ?= $(shell git log -1 --format=%ct 2>/dev/null || echo 0)
image-oci: $(IMAGE_BINARIES) ## Build the image without a container engine: dist/arc-hookjob.oci.tar, amd64 and arm64
	go -C tools/pack run ./image --output '$(CURDIR)/dist/arc-hookjob.oci.tar' --name $(IMAGE) --version $(VERSION) --revision $(REVISION) \
	    --digest '$(CURDIR)/dist/arc-hookjob.digest' $(foreach f,$(LICENSES),--file '$(CURDIR)/$(f)') $(PACK_FLAGS) \
	    $(foreach b,$(IMAGE_BINARIES),linux/$(lastword $(subst -, ,$(b)))='$(CURDIR)/$(b)')

CHART_DIR ?= dist/chart
# A publisher says where the image is: the default name is only for builds that are not pushed.
PUSHED    = $(if $(filter file,$(origin IMAGE)),,$(IMAGE))
.PHONY: chart
chart: ## Write the chart to publish into dist/chart, with the image you pushed (IMAGE=REGISTRY/NAME DIGEST=sha256:...)
	@echo '$(DIGEST)' | grep -Eqx 'sha256:[0-9a-f]{64}' || { echo "make chart needs DIGEST=sha256:..., which make image-oci prints" >&2; exit 2; }
	@echo '$(PUSHED)' | grep -Eqx '[a-z0-9][a-z0-9._:/-]*' || { echo "make chart needs IMAGE=REGISTRY/NAME without a tag, as you pushed the image" >&2; exit 2; }
	rm -rf '$(CHART_DIR)/arc-cleanup'
	install -d '$(CHART_DIR)'
	cp -R charts/arc-cleanup '$(CHART_DIR)'
	sed 's|^  digest: ""$$|  digest: $(DIGEST)|; s|^  repository: .*|  repository: $(PUSHED)|' charts/arc-cleanup/values.yaml > '$(CHART_DIR)/arc-cleanup/values.yaml'
	sed 's|^      image: .*|      image: $(PUSHED)@$(DIGEST)|' charts/arc-cleanup/Chart.yaml > '$(CHART_DIR)/arc-cleanup/Chart.yaml'
	@grep -Fqx '  digest: $(DIGEST)' '$(CHART_DIR)/arc-cleanup/values.yaml' && grep -Fqx '  repository: $(PUSHED)' '$(CHART_DIR)/arc-cleanup/values.yaml' && \
	    grep -Fqx '      image: $(PUSHED)@$(DIGEST)' '$(CHART_DIR)/arc-cleanup/Chart.yaml'

.PHONY: image-check
image-check: image-oci ## Build the image twice, and with its Dockerfile (Linux, root, buildah), and compare the results
	tools/pack/image/reproducible.sh
	@if [ "$$($(AS_ROOT) id -u)" = 0 ] && command -v buildah >/dev/null && command -v busybox >/dev/null; then \
	    $(AS_ROOT) tools/pack/image/dockerfile.sh dist/arc-hookjob-linux-$$(go env GOHOSTARCH) $(VERSION) $(REVISION); \
	else \
	    echo "!!! NOT TESTED: the Dockerfile. That needs Linux, root, buildah and busybox-static." >&2; \
	fi

# A release is release-oci, release-draft and release-publish, one after the other. .github/workflows/release.yml makes
# them; release-check makes all but the last, with a registry and keys of its own.
REGISTRY       ?= ghcr.io/arc-cleanup
COSIGN         ?= $(CURDIR)/bin/cosign
HELM           ?= $(CURDIR)/bin/helm
GORELEASER     ?= $(CURDIR)/bin/goreleaser
# Which of the programs are to be built: those that nothing else names.
own             = $(foreach p,$(1),$(if $(filter file,$(origin $(p))),bin/$(notdir $(lastword $($(p))))))
# The section of CHANGELOG.md that is published as the notes.
NOTES          ?= $(VERSION)
CASK           ?= dist/release/homebrew/Casks/arc-cleanup.rb

# The programs of a release, unless others are named on the command line, and one that looks at the modules.
BUILD_PROGRAM   = go build -modfile=$< -trimpath -ldflags "-s -w" -o $@
bin/cosign: test/cluster/modules/cosign/go.mod
	$(BUILD_PROGRAM) github.com/sigstore/cosign/v3/cmd/cosign
bin/helm: test/cluster/modules/helm4/go.mod
	$(BUILD_PROGRAM) helm.sh/helm/v4/cmd/helm
bin/govulncheck: test/cluster/modules/govulncheck/go.mod
	$(BUILD_PROGRAM) golang.org/x/vuln/cmd/govulncheck
bin/goreleaser: tools/goreleaser/go.mod
	$(BUILD_PROGRAM) github.com/goreleaser/goreleaser/v2

.PHONY: release-tag
release-tag: ## Compare TAG with the version of the chart, the plugins and the changes, and with main
	@tools/pack/tag.sh "$$TAG" '$(VERSION)'

.PHONY: release-keys
release-keys: $(call own,COSIGN) ## Put the secrets of a release where release-oci finds them (in CI)
	@REGISTRY='$(REGISTRY)' COSIGN='$(COSIGN)' tools/pack/keys.sh

.PHONY: release-oci
release-oci: $(call own,COSIGN HELM) ## Build, push, sign and attest image, plugins and chart (REGISTRY=, KEYRING=, KEY=)
	REGISTRY='$(REGISTRY)' VERSION='$(VERSION)' REVISION='$(REVISION)' COSIGN='$(COSIGN)' COSIGN_FLAGS='$(COSIGN_FLAGS)' HELM='$(HELM)' \
	    tools/pack/release.sh

.PHONY: release-draft
release-draft: $(call own,COSIGN GORELEASER) ## Build and sign the archives, and draft the release at GitHub, after release-oci
	rm -rf dist/sbom
	tools/pack/notes.sh '$(NOTES)' 'v$(VERSION)' > dist/notes.md
	COSIGN='$(COSIGN)' COSIGN_FLAGS='$(COSIGN_FLAGS)' GORELEASER_CURRENT_TAG='v$(VERSION)' \
	    tools/pack/draft.sh '$(VERSION)' '$(GORELEASER)' $(GORELEASER_FLAGS)

.PHONY: release-publish
release-publish: ## Publish the draft at GitHub, and its Homebrew cask
	tools/pack/publish.sh '$(VERSION)' '$(CASK)'

.PHONY: release-check
release-check: $(call own,GORELEASER) ## Release to a registry of its own, and verify what came out as docs/verify.md says
	'$(GORELEASER)' check # a deprecated field is an error here, and a word in a log elsewhere
	cd test && $(GO_TEST) -tags release -count=1 -timeout 30m ./release

# The database of vulnerabilities, whether it has to be reached, and the modules that are looked at: all.
VULNDB  ?= https://vuln.go.dev
VULNDB_REQUIRED ?=
MODULES ?= $(dir $(shell git ls-files 'go.mod' '*/go.mod'))
.PHONY: vulnerabilities
vulnerabilities: bin/govulncheck ## Look for known vulnerabilities in the code that every module calls, with govulncheck
	go -C tools/pack run ./vulnerabilities --govulncheck '$(CURDIR)/bin/govulncheck' --db '$(VULNDB)' $(if $(VULNDB_REQUIRED),--required) \
	    --accepted '$(CURDIR)/.github/vulnerabilities.txt' $(MODULES)

.PHONY: clean
clean: ## Remove bin and dist; the cache of Kubernetes stays
	rm -rf bin dist
