# Every target needs only Go, make and git. The tools are pinned in hack/tools/go.mod, the programs of the local control
# plane in hack/controlplane/go.mod, the S3 server and the Prometheus of the tests in hack/s3server/go.mod and
# hack/prometheus/go.mod, what makes releases in hack/release/go.mod; all are built on first use. The one program that is not is the browser of
# browser-test, whose tests are in test/browser/go.mod: where there is none, they are skipped.

SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

# One setting for everything that is compiled: both are part of the build cache's key, and the Kubernetes packages take
# minutes to compile a second time.
export CGO_ENABLED := 0
export GOFLAGS := -trimpath -buildvcs=false
# An API server is ready within five seconds on an idle machine, and the tests' own limit for it is 20. On a new machine the
# first tests run while everything else is being compiled.
export KUBEBUILDER_CONTROLPLANE_START_TIMEOUT ?= 2m

IMG ?= maxcompute-operator:latest
FUZZTIME ?= 20s

TOOL := go tool -modfile="$(CURDIR)/hack/tools/go.mod"
CONTROLLER_GEN := $(TOOL) controller-gen
GOLANGCI_LINT := $(TOOL) golangci-lint
KUSTOMIZE := $(TOOL) kustomize
CRD_REF_DOCS := $(TOOL) crd-ref-docs
HELM := $(TOOL) helm
# The kubectl of the local control plane serves machines that have none.
KUBECTL ?= $(or $(shell command -v kubectl 2>/dev/null),$(shell hack/controlplane/ensure.sh)/kubectl)

# Where generated files go. Only verify sets these to something else.
OBJECT_DIR ?= api/v1alpha1
CRD_DIR ?= config/crd/bases
RBAC_DIR ?= config/rbac
CRDS := $(patsubst config/crd/bases/maxcompute-operator.io_%.yaml,crd/%.maxcompute-operator.io,$(wildcard config/crd/bases/*.yaml))
REFERENCE ?= docs/reference.md
CHART_FILES ?= charts/maxcompute-operator/files

##@ Everyday

.PHONY: help
help: ## Show this help
	@awk 'BEGIN {FS = ":.*## "} /^##@ / {printf "\n%s\n", substr($$0, 5)} /^[a-z-]+:.*## / {printf "  %-14s %s\n", $$1, $$2}' Makefile

.PHONY: build
build: ## Build bin/manager, bin/kubectl-maxcompute and bin/fakecloud
	go build -o bin/manager .
	go build -o bin/kubectl-maxcompute ./cmd/kubectl-maxcompute
	go build -o bin/fakecloud ./test/fakecloud/cmd/fakecloud

.PHONY: generate
generate: ## Generate deep-copy methods and the API reference
	$(CONTROLLER_GEN) object:headerFile=hack/boilerplate.go.txt paths=./api/v1alpha1 output:object:dir=$(OBJECT_DIR)
	$(CRD_REF_DOCS) --source-path api/v1alpha1 --config hack/apireference/config.yaml --templates-dir hack/apireference/templates \
		--renderer markdown --log-level ERROR --output-path $(REFERENCE)

.PHONY: manifests
manifests: ## Generate CRDs and the manager's role, also those of the chart
	$(CONTROLLER_GEN) crd rbac:roleName=manager-role paths=./... output:crd:dir=$(CRD_DIR) output:rbac:dir=$(RBAC_DIR)
	@$(MAKE) -s chart

# A chart holds no files from outside of it, so they are copied; config is where they are made.
.PHONY: chart
chart: ## Copy what the chart takes from config
	@rm -rf $(CHART_FILES) && mkdir -p $(CHART_FILES)/crds $(CHART_FILES)/rbac
	cp $(CRD_DIR)/*.yaml $(CHART_FILES)/crds
	cp $(filter-out config/rbac/role.yaml,$(wildcard config/rbac/*role.yaml)) $(RBAC_DIR)/role.yaml $(CHART_FILES)/rbac
	cp config/crd/deadline_policy.yaml $(wildcard config/prometheus/rules.yaml config/grafana/dashboard.json) $(CHART_FILES)

.PHONY: argocd
argocd: ## Make what Argo CD takes of the scripts in config/argocd
	go run ./hack/argocd config/argocd

.PHONY: fmt
fmt: ## Format the code
	$(GOLANGCI_LINT) fmt

.PHONY: clean
clean: dev-down ## Stop the local control plane and remove everything that was built
	rm -rf bin dist

##@ Checks

.PHONY: check
check: lint helm-lint verify vulncheck browser-test test ## Everything that CI runs: lint, verify, vulncheck, browser-test, test

.PHONY: lint
lint: ## Run the linters
	$(GOLANGCI_LINT) run
	cd hack/release && $(GOLANGCI_LINT) run
	cd test/browser && $(GOLANGCI_LINT) run

.PHONY: vulncheck
vulncheck: ## Look for known vulnerabilities in what the code calls; skipped where the database does not answer
	@hack/vulncheck/vulncheck.sh

.PHONY: browser-test
browser-test: ## Test the auditor's page in Chromium (CHROMIUM=program); skipped where there is none (BROWSER_INSTALL=1 installs it, BROWSER_REQUIRED=1 fails)
	@hack/chromium/test.sh

.PHONY: helm-lint
helm-lint: ## Lint and render the chart with every file of values in its directory ci
	@for values in charts/maxcompute-operator/values.yaml charts/maxcompute-operator/ci/*.yaml; do \
		$(HELM) lint --strict --quiet charts/maxcompute-operator --values "$$values" && \
		$(HELM) template release charts/maxcompute-operator --values "$$values" >/dev/null || \
		{ echo "the chart cannot be rendered with $$values" >&2; exit 1; }; \
	done

.PHONY: vet
vet: ## Run go vet (lint includes it)
	go vet ./...

.PHONY: verify
verify: ## Fail, showing the difference, if generated files or go.mod are not up to date; changes no file
	@# Go ignores a directory with a leading dot, so what is generated there is not compiled.
	@rm -rf bin/.verify
	@$(MAKE) -s generate manifests OBJECT_DIR=bin/.verify/object REFERENCE=bin/.verify/reference.md CRD_DIR=bin/.verify/crd \
		RBAC_DIR=bin/.verify/rbac CHART_FILES=bin/.verify/chart
	@for pair in \
		api/v1alpha1/zz_generated.deepcopy.go:bin/.verify/object/zz_generated.deepcopy.go \
		docs/reference.md:bin/.verify/reference.md \
		config/crd/bases:bin/.verify/crd \
		config/rbac/role.yaml:bin/.verify/rbac/role.yaml \
		charts/maxcompute-operator/files:bin/.verify/chart; do \
		diff -ruN "$${pair%%:*}" "$${pair##*:}" || { echo "$${pair%%:*} is not up to date: run make generate manifests" >&2; exit 1; }; \
	done
	@go mod tidy -diff || { echo "go.mod is not up to date: run go mod tidy" >&2; exit 1; }
	@rm -rf bin/.verify

# Never from the test cache: it does not see that the end-to-end tests build and run the manager.
.PHONY: test
test: ## Run every test
	@# Built before the tests' time counts: on a new machine helm alone takes minutes.
	@for tool in helm kustomize; do $(TOOL) -n $$tool >/dev/null; done
	assets=$$(hack/controlplane/ensure.sh) && server=$$(hack/s3server/ensure.sh) && prometheus=$$(hack/prometheus/ensure.sh) && \
		KUBEBUILDER_ASSETS=$$assets S3_SERVER=$$server PROMETHEUS_ASSETS=$$prometheus go test -count=1 -timeout 30m ./...
	cd hack/release && go test -count=1 ./...

.PHONY: fuzz
fuzz: ## Fuzz the laws of access control lists, each for FUZZTIME (20s)
	for target in $$(go test -list '^Fuzz' ./internal/acl | grep '^Fuzz'); do \
		go test -run '^$$' -fuzz "^$$target\$$" -fuzztime $(FUZZTIME) ./internal/acl; \
	done

.PHONY: bench
bench: ## Take the measurements of docs/performance.md
	go test -run '^$$' -bench . -benchmem ./internal/acl ./internal/access
	assets=$$(hack/controlplane/ensure.sh) && KUBEBUILDER_ASSETS=$$assets go run ./test/bench $(BENCH_ARGS)

.PHONY: chaos
chaos: build ## Take the measurements of docs/reliability.md (CHAOS_ARGS="requests -seed 2" takes some of them)
	assets=$$(hack/controlplane/ensure.sh) && KUBEBUILDER_ASSETS=$$assets go run ./test/chaos $(CHAOS_ARGS)

SEEDS ?= 10000
.PHONY: simulate
simulate: ## Simulate the operator on SEEDS seeds, from FIRST on (MUTANTS=1 also builds each mutant and counts the seeds that kill it)
	go test ./test/simulation -count=1 -timeout 0 -v -run '^TestSeeds$$' -args -seeds $(SEEDS) -first $(or $(FIRST),1) -progress $(SIMULATE_ARGS)
	$(if $(MUTANTS),go test ./test/simulation -count=1 -timeout 0 -v -run '^TestMutants' -args -mutants)

##@ Releases

.PHONY: release
release: ## Make a release in dist (VERSION=v0.1.0, IMAGE=registry/name)
	@IMAGE="$(IMAGE)" hack/release/release.sh "$(VERSION)"

.PHONY: release-verify
release-verify: ## Make a release of the commit twice and compare them (VERSION=v0.1.0, and DIST=directory compares that one, too)
	@IMAGE="$(IMAGE)" hack/release/verify.sh "$(or $(VERSION),v0.0.0-verify)" $(DIST)

##@ Local control plane

.PHONY: demo
demo: build ## Show the main job from end to end: local control plane, fake cloud, operator, samples (KEEP=1 leaves it running)
	hack/demo/demo.sh

.PHONY: dev-up
dev-up: ## Start a local control plane; its kubeconfig is bin/dev/kubeconfig
	@assets=$$(hack/controlplane/ensure.sh) && go run ./hack/devcluster up --assets "$$assets"
	@echo "Next: make install, then make run. make dev-down stops the control plane and removes its data."

.PHONY: dev-down
dev-down: ## Stop the local control plane and remove its data
	@go run ./hack/devcluster down

.PHONY: controlplane
controlplane: ## Print the directory of etcd, kube-apiserver, kube-controller-manager and kubectl, preparing it if needed
	@hack/controlplane/ensure.sh

.PHONY: run
run: ## Run the operator from source on the current kubectl context (ARGS="--zap-log-level=debug")
	go run . $(ARGS)

##@ Clusters (the current kubectl context)

.PHONY: install
install: ## Install the CRDs, and wait until the API server knows their kinds
	$(KUSTOMIZE) build config/crd | $(KUBECTL) apply --server-side -f -
	$(KUBECTL) wait --for=condition=Established --timeout=60s $(CRDS)
	@# It serves them a moment later, and a manager that starts before that ends.
	@for attempt in {1..60}; do \
		if [[ $$($(KUBECTL) api-resources --api-group=maxcompute-operator.io -o name 2>/dev/null | wc -l) -eq $(words $(CRDS)) ]]; then exit 0; fi; \
		sleep 0.5; \
	done; \
	echo "the API server does not show all kinds of maxcompute-operator.io" >&2; exit 1

# Deleting a CRD deletes its objects, and for each of them a running operator revokes in the cloud what it granted.
.PHONY: uninstall
uninstall: ## Remove the CRDs; refuses while objects of them exist
	@objects=$$($(KUBECTL) get maxcompute --all-namespaces -o name 2>/dev/null || true); \
	if [[ -n "$$objects" ]]; then \
		echo "These objects still exist; delete them first, while the operator runs:" >&2; echo "$$objects" >&2; exit 1; \
	fi
	$(KUSTOMIZE) build config/crd | $(KUBECTL) delete --ignore-not-found -f -

.PHONY: deploy
deploy: install ## Install the CRDs and the operator (IMG=registry/name:tag)
	@# An overlay of its own, so that setting the image does not edit a committed file.
	rm -rf bin/deploy && mkdir -p bin/deploy
	cd bin/deploy && $(KUSTOMIZE) create --resources ../../config/default && $(KUSTOMIZE) edit set image maxcompute-operator=$(IMG)
	$(KUSTOMIZE) build bin/deploy | $(KUBECTL) apply --server-side -f -

.PHONY: undeploy
undeploy: ## Remove the operator; CRDs and objects stay
	$(KUSTOMIZE) build config/default | $(KUBECTL) delete --ignore-not-found -f -
