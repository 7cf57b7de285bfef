# Every target sets up what it needs, in .venv here; nothing outside this folder is changed,
# but for browsers, GStreamer, iproute2 and Nix, which `make test` asks Debian's apt-get for when it may.

ARGS ?=
# Of each generated test in `make fuzz`.
EXAMPLES ?= 100
TORCH ?= torch==2.13.0
VENV := .venv
BIN := $(VENV)/bin

# The first Python 3.11 to 3.14 that can make virtual environments.
FIND_PYTHON = for python in python3 python3.13 python3.12 python3.11 python3.14 python; do \
	"$$python" -c 'import sys, ensurepip; sys.exit(not (3, 11) <= sys.version_info < (3, 15))' \
	2>/dev/null && { echo "$$python"; break; }; done
PYTHON ?= $(shell $(FIND_PYTHON))

PACKAGE := pyproject.toml constraints.txt $(wildcard hatch_build.py)
# The versions that were tested together; CONSTRAINTS= takes the newest instead.
CONSTRAINTS ?= constraints.txt
INSTALL := $(BIN)/python -m pip install --quiet $(CONSTRAINTS:%=--constraint %)
PAGE_SOURCES := $(shell find web -type f -not -path '*/node_modules/*' 2>/dev/null)

# STREAMER_NO_BROWSER_TESTS=1 leaves the browser out; without it, no Chromium is a failure.
ifdef STREAMER_NO_BROWSER_TESTS
WITHOUT_BROWSER := --ignore-glob="tests/e2e/test_browser*.py" --ignore-glob="tests/e2e/test_page*.py" \
	--ignore=tests/e2e/test_firefox.py --ignore=tests/e2e/test_network.py
else
BROWSERS := chromium firefox iproute
endif
AXE := web/node_modules/axe-core/axe.min.js

# And STREAMER_NO_NIX_TESTS=1 the reading of flake.nix.
ifdef STREAMER_NO_NIX_TESTS
WITHOUT_NIX := --ignore=tests/e2e/test_flake.py
else
NIX := nix
endif

# What waits for processes and pages and not for the clock runs several at a time. Exit code 5:
# ARGS chose none of it.
PARALLEL := -n auto --dist loadfile
COMMANDS := $(patsubst %,tests/e2e/test_%.py,bench bench_command docs examples file flake library \
	operations own_styles package page_reloads page_sizes serve)

PURE := intake reorder pacer governor fade stats

.DEFAULT_GOAL := help
.PHONY: help install run test unit e2e lint gates pure page licences fuzz audit constraints bench peers dist \
	sbom docs web screenshots chromium firefox iproute gstreamer servers nix clean

help: ## show this
	@awk -F ':.*## ' '/^[a-z0-9]+:.*## / {printf "make %-11s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

install: $(VENV)/run.stamp ## make .venv with all that `streamer` needs

run: install web ## serve the page: make run ARGS="--port 8123 --no-browser"
	$(BIN)/streamer serve $(ARGS)

test: unit e2e ## unit tests, then real Ray, WebRTC peers and a browser

unit: $(VENV)/test.stamp
	$(BIN)/python -m pytest --ignore=tests/e2e $(PARALLEL) $(ARGS)

e2e: $(VENV)/test.stamp web $(AXE) $(BROWSERS) $(NIX) gstreamer servers
	$(BIN)/python -m pytest $(COMMANDS) $(PARALLEL) $(WITHOUT_BROWSER) $(WITHOUT_NIX) $(ARGS) || test $$? = 5
	$(BIN)/python -m pytest tests/e2e $(COMMANDS:%=--ignore=%) $(WITHOUT_BROWSER) $(ARGS)

lint: gates pure page ## all that is checked without running the program

gates: $(VENV)/test.stamp # style, types, layers, dead code, dependencies, licences
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo --cache-dir .cache/import_linter
	$(BIN)/vulture
	$(BIN)/deptry .
	$(BIN)/python packages.py licences > .cache/licences.txt

pure: $(VENV)/test.stamp # the pure modules are covered wholly by their own tests
	$(BIN)/coverage run -m pytest -q $(PURE:%=tests/pipeline/test_%.py)
	$(BIN)/coverage report

page: $(VENV)/run.stamp # biome, svelte-check, tsc and vitest
	$(BIN)/python hatch_build.py --tools lint check test

licences: $(VENV)/run.stamp ## list the licence of every package that streamer needs
	@$(BIN)/python packages.py licences $(ARGS)

fuzz: $(VENV)/test.stamp ## every parser on generated input; EXAMPLES=500 for minutes
	STREAMER_FUZZ_EXAMPLES=$(EXAMPLES) $(BIN)/python -m pytest -q -n auto -m hypothesis --ignore=tests/e2e $(ARGS)

audit: $(VENV)/test.stamp ## known vulnerabilities of the locked packages, and of which nothing is known
	@mkdir -p .cache && rm -f .cache/pip.json .cache/npm.json
	-@$(BIN)/python -m venv .cache/audit && .cache/audit/bin/python -m pip install --quiet pip-audit && \
		.cache/audit/bin/pip-audit --no-deps --disable-pip --progress-spinner off --format json \
		--requirement constraints.txt > .cache/pip.json
	-@$(BIN)/python hatch_build.py --tools audit
	$(BIN)/python packages.py audited .cache/pip.json .cache/npm.json

constraints: $(VENV)/test.stamp ## write constraints.txt anew, from the newest versions
	$(BIN)/python -m pip install --quiet --upgrade --upgrade-strategy eager "$(TORCH)" \
		--editable ".[camera,dev,docs,torch]"
	$(BIN)/python packages.py constraints > .cache/constraints.txt
	mv .cache/constraints.txt constraints.txt

bench: install web ## measure the ring and the live path on this machine
	$(BIN)/python bench/ring.py
	$(BIN)/python bench/live.py
	$(BIN)/python bench/viewers.py

peers: $(VENV)/test.stamp web ## measure against what one would take instead of streamer
	$(BIN)/python -m bench.peers $(ARGS)

dist: $(VENV)/test.stamp web ## wheel and source archive, into dist/
	$(BIN)/python -m hatchling build

docs: $(VENV)/test.stamp ## the documents as pages, with the reference, into build/site
	$(BIN)/mkdocs build --strict --quiet

sbom: dist ## what the wheel brings with it, as CycloneDX, into build/sbom.json
	$(BIN)/python -m venv --clear .cache/sbom
	.cache/sbom/bin/python -m pip install --quiet $(CONSTRAINTS:%=--constraint %) dist/*.whl
	$(BIN)/python -m venv .cache/cyclonedx
	.cache/cyclonedx/bin/python -m pip install --quiet cyclonedx-bom
	@mkdir -p build
	.cache/cyclonedx/bin/cyclonedx-py environment .cache/sbom --pyproject pyproject.toml \
		--output-reproducible --output-file build/sbom.json

web: streamer/web/index.html ## build the page into the package, if its sources changed

screenshots: $(VENV)/test.stamp web chromium ## every screen of the page as PNG in build/screenshots
	$(BIN)/python -m tests.support.screenshots $(ARGS)

$(AXE): $(VENV)/run.stamp web/package-lock.json
	$(BIN)/python hatch_build.py --tools
	@touch $@

clean: ## remove everything that was made here
	rm -rf $(VENV) .cache .hypothesis .mypy_cache .pytest_cache .ruff_cache build dist
	rm -rf streamer/web web/node_modules web/dist web/test-results
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(VENV)/bin/python:
	@test -n "$(PYTHON)" || { echo "streamer needs Python 3.11 to 3.14 with its venv module" \
	"(Debian: apt-get install python3-venv), or make PYTHON=/path/to/python" >&2; exit 1; }
	"$(PYTHON)" -m venv $(VENV)

$(VENV)/run.stamp: $(VENV)/bin/python $(PACKAGE)
	@echo "installing what streamer needs into $(VENV), once; this takes a minute or two"
	@# Up to 0.1 this program itself was installed as `streamer`.
	@$(BIN)/python -m pip uninstall --quiet --quiet --yes streamer
	$(INSTALL) --editable .
	@touch $@

$(VENV)/test.stamp: $(VENV)/run.stamp
	@echo "installing what its tests need, once"
	@mkdir -p .cache
	$(INSTALL) "$(TORCH)" --editable ".[dev,docs,torch,camera,dash]"
	@touch $@

streamer/web/index.html: $(VENV)/run.stamp $(PAGE_SOURCES)
	$(BIN)/python hatch_build.py
	@touch $@

chromium:
	@command -v chromium chromium-browser google-chrome >/dev/null || { \
	test "$$(id -u)" = 0 && command -v apt-get >/dev/null && \
	apt-get update -qq && apt-get install -qq -y --no-install-recommends chromium; } || \
	echo "no Chromium here and none could be installed: the browser tests will fail" >&2

firefox:
	@command -v firefox-esr firefox >/dev/null || { \
	test "$$(id -u)" = 0 && command -v apt-get >/dev/null && \
	apt-get update -qq && apt-get install -qq -y --no-install-recommends firefox-esr; } || \
	echo "no Firefox here and none could be installed: its tests will fail" >&2

# Network namespaces, for the tests of bad networks.
iproute:
	@command -v ip >/dev/null || { \
	test "$$(id -u)" = 0 && command -v apt-get >/dev/null && \
	apt-get update -qq && apt-get install -qq -y --no-install-recommends iproute2; } || \
	echo "no iproute2 here and none could be installed: no tests of bad networks" >&2

# A client with libnice, on the system's own Python.
GSTREAMER := gstreamer1.0-nice gstreamer1.0-plugins-base gstreamer1.0-plugins-good \
	gstreamer1.0-plugins-bad gstreamer1.0-plugins-ugly gir1.2-gst-plugins-bad-1.0 python3-gst-1.0
gstreamer:
	@/usr/bin/python3 -c 'import gi; gi.require_version("GstWebRTC", "1.0")' 2>/dev/null || { \
	test "$$(id -u)" = 0 && command -v apt-get >/dev/null && \
	apt-get update -qq && apt-get install -qq -y --no-install-recommends $(GSTREAMER); } || \
	echo "no GStreamer here and none could be installed: no tests of its webrtcbin" >&2

SERVERS := nginx:nginx-light caddy:caddy turnserver:coturn Xvfb:xvfb xauth:xauth \
	systemd-analyze:systemd

servers:
	@PATH="$$PATH:/usr/sbin"; for one in $(SERVERS); do command -v "$${one%%:*}" >/dev/null || \
	{ test "$$(id -u)" = 0 && command -v apt-get >/dev/null && apt-get update -qq && \
	apt-get install -qq -y --no-install-recommends "$${one#*:}" >/dev/null; } || \
	echo "no $${one%%:*} here and it could not be installed: its tests will fail" >&2; done

nix:
	@command -v nix >/dev/null || { \
	test "$$(id -u)" = 0 && command -v apt-get >/dev/null && \
	apt-get update -qq && apt-get install -qq -y --no-install-recommends nix-bin; } || \
	echo "no Nix here and none could be installed: the tests of flake.nix will fail" >&2
