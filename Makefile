# lapseguard. `make` lists the targets; the rules at the end are called by `sam build`.
# Everything that a target fetches or builds for itself goes to .tools, nothing outside the checkout.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory

TOOLS := .tools
BIN := $(TOOLS)/bin
CLI := ./infra/lapseguard
PKG ?= ./...
# The Go vulnerability database. Offline: make vulncheck VULNDB=file:///path/to/a/copy
VULNDB ?= https://vuln.go.dev
COUNT ?= 6
BENCH ?= .

say = @printf '\n==> %s\n' "$(1)"

.PHONY: help
help: ## list the targets
	@printf 'lapseguard: make TARGET\n\n'
	@grep -hE '^[a-z][a-z-]*:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 16 | sed 's/^/  /'
	@printf '\nFirst: make run (two minutes, no account needed). Before a commit: make test.\n'

# ------------------------------------------------------------------- use it

.PHONY: run build audit lists
run: build ## the demonstration: a simulated registry, its domains lapse, watch
	@bin/lapseguard demo

build: need-go ## the command line tool, bin/lapseguard
	@[ -e bin/lapseguard ] || echo 'compiling bin/lapseguard; the first time takes a minute or two, and fetches its modules ...' >&2
	@CGO_ENABLED=0 go build -trimpath -o bin/lapseguard $(CLI)

audit: ## look once at the domains of a list: make audit EMAILS=FILE
	@[ -n "$$EMAILS" ] || { echo 'make audit EMAILS=FILE: FILE is a CSV with the header email,verified_at' >&2; exit 2; }
	@$(MAKE) build
	@bin/lapseguard audit --emails "$$EMAILS"

lists: build ## the lists that the guard rests on: fetched, and compared with the built-in ones
	@bin/lapseguard lists --fetch .lapseguard/lists

# -------------------------------------------------------------- operate it
# On the deployed stack of samconfig.toml (another: STACK=name REGION=name), by `sam remote invoke`; on a local
# store bin/lapseguard has the same commands. What is typed reaches the recipes by the environment, unexpanded:
# no sign in it means anything to make or to the shell.
ACTIONS := approve revoke trust hold unhold recheck restore retry accept
.PHONY: $(ACTIONS) status run-now mode alarm-test audit-page
ifneq ($(filter $(ACTIONS) status run-now mode alarm-test audit audit-page,$(MAKECMDGOALS)),)
override DOMAIN := $(value DOMAIN)
override BY := $(value BY)
override CLASS := $(value CLASS)
override REVIEWED := $(value REVIEWED)
override PER_DAY := $(value PER_DAY)
override DECISION := $(value DECISION)
override SINCE := $(value SINCE)
override UNTIL := $(value UNTIL)
override MODE := $(value MODE)
override STACK := $(value STACK)
override REGION := $(value REGION)
override EMAILS := $(value EMAILS)
override REASON := $(value REASON)
override YES := $(value YES)
override FORMAT := $(value FORMAT)
override PAGE := $(or $(value PAGE),.lapseguard/audit.html)
export DOMAIN BY REASON YES CLASS REVIEWED PER_DAY DECISION SINCE UNTIL MODE STACK REGION EMAILS PAGE FORMAT
endif

GUARD := bin/lapseguard
remote = | infra/lapseguard/remote.sh $(GUARD)

approve: build ## show whom an approval concerns: make approve DOMAIN=example.org BY=you; YES=1 does it; a class: CLASS= REVIEWED=310 PER_DAY=40
	@$(GUARD) approve --event --by="$$BY" --reason="$$REASON" $${YES:+--yes} --class="$$CLASS" --reviewed="$${REVIEWED:-0}" --per-day="$${PER_DAY:-0}" -- "$$DOMAIN" $(remote)

revoke: build ## take the approval of a class back: make revoke CLASS=... BY=you
	@$(GUARD) revoke --event --by="$$BY" -- "$$CLASS" $(remote)

trust: build ## end the doubt about a class: make trust CLASS=... BY=you
	@$(GUARD) trust --event --by="$$BY" -- "$$CLASS" $(remote)

hold: build ## hold a domain until a person decides: make hold DOMAIN=example.org BY=you
	@$(GUARD) hold --event --by="$$BY" -- "$$DOMAIN" $(remote)

unhold: build ## take a hold off: make unhold DOMAIN=example.org BY=you
	@$(GUARD) unhold --event --by="$$BY" -- "$$DOMAIN" $(remote)

recheck: build ## look at a domain with the next tick: make recheck DOMAIN=example.org BY=you
	@$(GUARD) recheck --event --by="$$BY" -- "$$DOMAIN" $(remote)

restore: build ## take an unverification back: make restore DOMAIN=example.org BY=you; many: CLASS= SINCE= UNTIL= REVIEWED=12
	@$(GUARD) restore --event --by="$$BY" --decision="$$DECISION" --class="$$CLASS" --since="$$SINCE" --until="$$UNTIL" --reviewed="$${REVIEWED:-0}" -- "$$DOMAIN" $(remote)

retry: build ## send an unverification again, recovery being closed now: make retry DOMAIN=example.org BY=you
	@$(GUARD) retry --event --by="$$BY" -- "$$DOMAIN" $(remote)

accept: build ## believe the registry's next list, however many hosts it lost: make accept BY=you
	@$(GUARD) accept --event --by="$$BY" $(remote)

status: build ## where the deployed guard stands: mode, run, holds; FORMAT=json
	@$(GUARD) status --event $(remote)

run-now: build ## begin a run of the deployed guard now, an hour or more after the last
	@printf '{"action":"run"}\n' $(remote) FanoutFunction

mode: build ## the kill switch of the deployed guard: make mode MODE=stop (or observe, enforce); alone it shows the mode
	@AWS_REGION="$$(infra/lapseguard/remote.sh --region)" $(GUARD) mode --stack="$$(infra/lapseguard/remote.sh --stack)" -- $${MODE:+"$$MODE"}

alarm-test: ## have an alarm of the deployed stack go off on purpose: who hears it?
	@infra/lapseguard/alarm-test.sh

audit-page: build ## an audit as a page for a browser: make audit-page EMAILS=FILE PAGE=audit.html
	@[ -n "$$EMAILS" ] || { echo 'make audit-page EMAILS=FILE: FILE is a CSV with the header email,verified_at' >&2; exit 2; }
	@mkdir -p .lapseguard
	@$(GUARD) audit --format html --emails="$$EMAILS" > "$$PAGE.part" || e=$$?; \
	case "$${e:-0}" in 0|3) mv "$$PAGE.part" "$$PAGE" ;; *) rm -f "$$PAGE.part" ;; esac; exit "$${e:-0}" # 3: it heard nobody, and its page says so
	@printf 'open %s in a browser\n' "$$PAGE"

# ----------------------------------------------------------------- check it

STEPS := tools vet lint template-check test-race simulate-check fuzz bench-check coverage vulncheck
.PHONY: test test-go test-race vet lint template-check coverage vulncheck bench bench-diff fmt
test: ## everything: tools, vet, lint, template, tests with the race detector, coverage, vulnerabilities
	@all=$$SECONDS; steps='$(STEPS)'; \
	if without=$$(infra/samlocal/engine.sh 2>&1); then steps="$$steps test-sam"; \
	elif [ "$${LAPSEGUARD_STRICT:-}" = 1 ]; then printf '%s\nA strict run leaves nothing out.\n' "$$without" >&2; exit 1; fi; \
	for step in $$steps; do \
	  printf '\n==> %s\n' "$$step"; s=$$SECONDS; $(MAKE) "$$step"; \
	  printf '    %s: ok, %d s\n' "$$step" $$((SECONDS - s)); done; \
	printf '\nmake test: all steps passed (%s), %d s\n' "$$steps" $$((SECONDS - all)); \
	[ -z "$$without" ] || printf '\n%s\n' "$$without"

test-go: need-go need-cc ## the Go tests that need Go and a C compiler alone (no emulators)
	@echo 'NOT RUN: the tests against DynamoDB Local, ministack and ElasticMQ; make test runs them'
	@LAPSEGUARD_NO_EMULATORS=1 go test -race -shuffle=on $(PKG)

test-race: need-go need-cc $(BIN)/gotestsum ## the Go tests, with emulators and race detector
	@$(BIN)/gotestsum --format=pkgname --format-hide-empty-pkg -- -race -shuffle=on -timeout=10m $(PKG)

vet: need-go ## go vet
	@go vet $(PKG)

lint: need-go $(BIN)/golangci-lint $(BIN)/actionlint ## golangci-lint with the rules of .golangci.yml; actionlint over the workflow
	@$(BIN)/golangci-lint run $(PKG)
	@$(BIN)/actionlint -shellcheck= -pyflakes= .github/workflows/*.yml

template-check: need-python ## template.yaml: sam validate, cfn-lint, and linted once translated
	@infra/template/check.sh $(TOOLS)

coverage: need-go ## coverage of the packages that decide (shown, not enforced)
	@mkdir -p $(TOOLS); for p in shared/lifecycle shared/safety; do \
	  out=$$(go test -coverprofile=$(TOOLS)/cover.out ./$$p 2>&1) || { echo "$$out"; exit 1; }; \
	  printf '    %-18s %s of statements\n' "$$p" "$$(go tool cover -func=$(TOOLS)/cover.out | awk 'END { print $$NF }')"; done

vulncheck: need-go $(BIN)/govulncheck ## known vulnerabilities: make vulncheck VULNDB=file:///...
	@infra/tools/vulncheck.sh $(BIN)/govulncheck "$(VULNDB)" $(PKG)

bench: need-go ## benchmarks for benchstat: make bench COUNT=10 BENCH=Decode PKG=./shared/source/rdap > new.txt
	@go test -run='^$$' -bench='$(BENCH)' -benchmem -count=$(COUNT) $(PKG)

bench-diff: need-go $(BIN)/benchstat ## compare two of them: make bench-diff OLD=old.txt NEW=new.txt
	@$(BIN)/benchstat "$(OLD)" "$(NEW)"

fmt: need-go ## gofmt everything
	@gofmt -l -w functions shared infra

# --------------------------------------------------- compare and search it
# The comparisons are Go modules of their own: what they need is no requirement of the product.
FUZZTIME ?= 5s
FUZZ ?= .

.PHONY: fuzz bench-rdap bench-dns bench-check
fuzz: need-go ## every fuzz target for a while: make fuzz FUZZTIME=10m FUZZ=FuzzParse
	@infra/tools/fuzz.sh "$(FUZZTIME)" "$(FUZZ)"

bench-rdap: need-go ## the RDAP client beside openrdap's, on one core (a minute)
	@cd infra/bench/rdap && go run .

bench-dns: need-go ## the tripwire beside a naive client and dnsperf, on a loopback NSD (needs nsd and dnsperf; a minute)
	@cd infra/bench/dns && go run .

bench-check: need-go ## go vet for the two comparisons
	@for m in rdap dns; do (cd "infra/bench/$$m" && go vet ./...); done

# ---------------------------------------------------------- measure the policy
SEED ?= 1
SEEDS ?= 1
DOMAINS ?= 2000
DAYS ?= 365
PEOPLE ?= nobody
STATUS ?= off
TIMES ?= known
LEVER ?= on
ONLY ?=

.PHONY: simulate simulate-check apocalypse
simulate: need-go ## a year of domains in minutes: make simulate SEED=1 STATUS=on PEOPLE=right TIMES=unknown LEVER=off ONLY=example.com SEEDS=20
	@echo 'compiling the simulation; the first time takes a minute ...' >&2
	@go run ./infra/timelapse --seed="$(SEED)" --seeds="$(SEEDS)" --domains="$(DOMAINS)" --days="$(DAYS)" --people="$(PEOPLE)" --only="$(ONLY)" \
	  $(if $(filter on,$(STATUS)),--status) $(if $(filter unknown,$(TIMES)),--unknown) $(if $(filter off,$(LEVER)),--no-lever)

simulate-check: need-go ## a quarter of a small world against what is expected, also with rules broken on purpose (two minutes)
	@echo 'a quarter of a small world, also with rules broken on purpose; two minutes ...'
	@go test -count=1 -timeout=20m ./infra/timelapse

CROWD ?= 100000
apocalypse: need-go ## upstreams that are wrong about everybody for an afternoon: CROWD=100000 domains
	@LAPSEGUARD_APOCALYPSE="$(CROWD)" go test -count=1 -timeout=120m -v -run='Apocalypses|ParkingList|SlowWrong' ./functions/handler/applier | grep -v '^=== '

# ------------------------------------------------------- in real containers
ROUNDS ?= 20

.PHONY: local-up local-look local-down
local-up: need-docker need-go need-python emulators ## a playground for sam local invoke: it stays, and the lines to type are printed (needs a Docker engine)
	@infra/template/check.sh $(TOOLS) install
	@infra/samlocal/playground.sh up

local-look: ## what the playground's table, queue and registry have
	@infra/samlocal/playground.sh look

local-down: ## end the playground
	@infra/samlocal/playground.sh down

.PHONY: test-sam cold-start need-docker
test-sam: need-docker need-go need-python emulators ## sam local invoke: the three functions in containers (needs a Docker engine)
	@infra/template/check.sh $(TOOLS) install
	@LAPSEGUARD_SAM=1 go test -v -count=1 -timeout=20m -run='^TestSamLocalInvoke$$' ./infra/samlocal

cold-start: need-go need-python ## init plus first event beside an empty Go function: make cold-start ROUNDS=50
	@infra/template/check.sh $(TOOLS) install
	@go run ./infra/samlocal/coldstart --rounds=$(ROUNDS) --tools=$(TOOLS)

need-docker:
	@infra/samlocal/engine.sh

# ---------------------------------------------------------- the emulated cloud

.PHONY: cloud
cloud: need-go need-python emulators ## the whole product in an emulated AWS account: deployed, scheduled, watched, three bad days (four minutes)
	@go test -v -count=1 -timeout=10m ./infra/cloud

# ---------------------------------------------------------------- Keycloak

.PHONY: test-keycloak
test-keycloak: need-go need-python ## attack a real Keycloak before and after the guard's run (fetches 176 MB, once)
	@infra/keycloak/install.sh $(TOOLS)
	@LAPSEGUARD_KEYCLOAK=1 LAPSEGUARD_TOOLS=$(abspath $(TOOLS)) go test -count=1 -timeout=20m -v -run 'TestReal|TestKeycloak' ./infra/keycloak

# --------------------------------------------------------------- deploy it

.PHONY: deploy
deploy: need-go ## sam build and sam deploy; the first time it asks (--guided). Your answers: deployed.toml
	@sam=$$(command -v sam || true); [ -n "$$sam" ] || sam=$(TOOLS)/sam/bin/sam; \
	[ -x "$$sam" ] || { echo 'sam is missing: install the AWS SAM CLI, or run make tools' >&2; exit 1; }; \
	[ -e deployed.toml ] || cp samconfig.toml deployed.toml; \
	grep -q '^ *parameter_overrides' deployed.toml && guided= || guided=--guided; \
	"$$sam" build --config-file "$(CURDIR)/deployed.toml"; "$$sam" deploy --config-file "$(CURDIR)/deployed.toml" $$guided

.PHONY: sam-build
sam-build: need-go need-python ## sam build, twice: static, and the same bytes both times
	@infra/template/check.sh $(TOOLS) install
	@infra/template/build-twice.sh $(TOOLS)/sam/bin/sam

.PHONY: cost sbom release
cost: need-go ## what the stack costs a month, with every assumption
	@go run ./infra/cost

release: need-go ## the command for Linux, macOS and Windows, static, with checksums, in bin/dist
	@infra/tools/release.sh

sbom: need-go need-python $(BIN)/cyclonedx-gomod ## a bill of materials (CycloneDX) for each program, in bin/sbom
	@infra/tools/sbom.sh $(BIN)/cyclonedx-gomod

# -------------------------------------------------------------------- tools

.PHONY: tools emulators clean need-go need-cc need-python
tools: need-go need-python $(BIN)/golangci-lint $(BIN)/gotestsum $(BIN)/govulncheck $(BIN)/benchstat $(BIN)/actionlint emulators ## fetch and build what the checks need, once (two to three minutes)
	@infra/template/check.sh $(TOOLS) install

emulators: need-python
	@infra/emulator/install.sh $(TOOLS)

# Pinned in a module of their own, so that the product's go.mod names only what is shipped.
tool = mkdir -p $(BIN) && go build -modfile=infra/tools/go.mod -trimpath -o $@ $(1) && touch $@
$(BIN)/golangci-lint: infra/tools/go.mod | need-go
	@echo 'building golangci-lint (once, about 75 s) ...'
	@$(call tool,github.com/golangci/golangci-lint/v2/cmd/golangci-lint)
$(BIN)/gotestsum: infra/tools/go.mod | need-go
	@echo 'building gotestsum (once) ...'
	@$(call tool,gotest.tools/gotestsum)
$(BIN)/govulncheck: infra/tools/go.mod | need-go
	@echo 'building govulncheck (once) ...'
	@$(call tool,golang.org/x/vuln/cmd/govulncheck)
$(BIN)/benchstat: infra/tools/go.mod | need-go
	@echo 'building benchstat (once) ...'
	@$(call tool,golang.org/x/perf/cmd/benchstat)
$(BIN)/cyclonedx-gomod: infra/tools/go.mod | need-go
	@echo 'building cyclonedx-gomod (once) ...'
	@$(call tool,github.com/CycloneDX/cyclonedx-gomod/cmd/cyclonedx-gomod)

# It needs another version of a library than the others do.
$(BIN)/actionlint: infra/tools/actionlint.mod | need-go
	@echo 'building actionlint (once) ...'
	@mkdir -p $(BIN) && go build -modfile=infra/tools/actionlint.mod -trimpath -o $@ github.com/rhysd/actionlint/cmd/actionlint && touch $@

clean: ## remove what was built (not .tools)
	@rm -rf bin .aws-sam packaged.yaml

need-go:
	@command -v go >/dev/null || { echo 'go is missing: install Go 1.26 or later, https://go.dev/dl/' >&2; exit 1; }

need-cc: need-go
	@command -v "$$(go env CC | awk '{ print $$1 }')" >/dev/null || { echo 'a C compiler is missing, which the race detector needs (Debian: apt-get install gcc libc6-dev)' >&2; exit 1; }

need-python:
	@command -v python3 >/dev/null || { echo 'python3 is missing: install Python 3.11 or later (Debian: apt-get install python3 python3-venv)' >&2; exit 1; }
	@python3 -c 'import venv, ensurepip' 2>/dev/null || { echo 'python3 has no venv module (Debian: apt-get install python3-venv)' >&2; exit 1; }

# ------------------------------------------------------ called by `sam build`
# SAM does not tell make the architecture: the template does. GOARCH from the environment is for local invocations.
LAMBDA_GOARCH = $(or $(GOARCH),$(if $(shell grep -E '^ +Architectures: \[x86_64\]' template.yaml),amd64,arm64))

# No cgo: the binary must not depend on the build host's libc. No commit, path or build id inside: the
# same source gives the same bytes.
lambda = CGO_ENABLED=0 GOOS=linux GOARCH=$(LAMBDA_GOARCH) GOFLAGS= go build -trimpath -buildvcs=false \
  -tags lambda.norpc -ldflags '-s -w -buildid=' -o "$(ARTIFACTS_DIR)/bootstrap" $(1)

.PHONY: build-FanoutFunction build-CheckerFunction build-ApplierFunction
build-FanoutFunction:
	$(call lambda,./functions/fanout)
build-CheckerFunction:
	$(call lambda,./functions/checker)
build-ApplierFunction:
	$(call lambda,./functions/applier)
