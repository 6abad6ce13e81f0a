# The vocabulary of the house. Every word is one line; what it needs, it installs into .venv.
PYTHON ?= python3
BIN := .venv/bin
AUDIT := .venv/audit/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet
COMPILE := uv pip compile --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-annotate --no-header

.DEFAULT_GOAL := help
.PHONY: help install run test chaos soak check faults fuzz wire bench format lock schema docs chart chart-files image audit sbom licences dist clean

help:                ## this list
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## */\t/' | expand -t 12

install: .venv/.installed  ## install the gateway into .venv

run: install         ## gateway, embedded Valkey and a sandbox of the four vendors on this machine
	@exec $(BIN)/samurai serve --config config/sandbox.yaml --with-sandbox

test: .venv/.installed-dev  ## the whole test-suite
	$(BIN)/python -m pytest -n auto --dist loadfile $(ARGS)

chaos: .venv/.installed-dev  ## kill replicas and lose Redis in the middle, in parts of 20 minutes, until docs/chaos.md is at its goal
	$(BIN)/python -m tests.chaos.test_generations $(ARGS)

soak: .venv/.installed-dev  ## half an hour of mixed load with faults on, and what grew meanwhile: docs/soak.md
	$(BIN)/python -m tests.soak $(ARGS)

check: .venv/.installed-dev  ## format, lint, types, floors, house numbers, generated files
	@$(BIN)/ruff format --check -q . && $(BIN)/ruff check -q . && $(BIN)/mypy && $(BIN)/lint-imports --no-logo --config pyproject.toml && $(BIN)/python tools/house_numbers.py

faults: .venv/.installed-dev  ## every row of the fault catalogue: print the table, write docs/faults.md
	$(BIN)/python -m tools.fault_table $(ARGS)

fuzz: .venv/.installed-dev  ## a million made-up requests and vendors' replies: docs/fuzz.md (goes on where it was stopped)
	$(BIN)/python -m tests.fuzz $(ARGS)

wire: .venv/.installed-dev  ## the framing corpus against four servers, bare and behind nginx and HAProxy: docs/wire.md
	$(BIN)/python -m tests.wire

bench: .venv/.installed-dev  ## measure against nginx, LiteLLM and Portkey (25 minutes, nothing else running): docs/performance.md
	$(BIN)/python -m bench $(ARGS)

format: .venv/.installed-dev  ## put the code into its form
	$(BIN)/ruff format -q . && $(BIN)/ruff check -q --fix .

schema: .venv/.installed  ## generate config/schema.json
	$(BIN)/samurai schema > config/schema.json

docs: .venv/.installed-dev  ## generate docs/metrics.md and the dashboards
	$(BIN)/python -m tools.metrics_page
	$(BIN)/python -m tools.dashboards

chart: .venv/.installed-chart .venv/.installed-checkov  ## render, lint, validate and refuse: everything about the Helm chart (npm must be there)
	$(BIN)/python -m tools.chart_files --check
	$(BIN)/python -m pytest -n auto --dist loadfile tests/chart $(ARGS)

chart-files: .venv/.installed-dev  ## generate helm/values.schema.json and the table in helm/README.md
	$(BIN)/python -m tools.chart_files

image: .venv/.installed-dev  ## build the Dockerfile's image with buildah, start it, make an image with it (root; minutes)
	$(BIN)/python -m pytest tests/image $(ARGS)

audit: .venv/.installed-audit  ## the Dockerfile, the workflows and the compose file, by hadolint, zizmor and published schemas
	$(AUDIT)/hadolint Dockerfile
	$(AUDIT)/zizmor --offline --quiet --persona pedantic .github/workflows
	$(AUDIT)/check-jsonschema --builtin-schema vendor.github-workflows .github/workflows/*.yaml
	$(AUDIT)/check-jsonschema --builtin-schema vendor.compose-spec deploy/compose.yaml

dist: .venv/.installed-dev  ## wheel and source archive into dist/
	rm -rf dist && $(BIN)/python -m hatchling build -d dist

sbom: dist .venv/.installed-audit  ## what the image installs, as CycloneDX, into dist/sbom.cdx.json
	rm -rf build/sbom && $(PYTHON) -m venv --without-pip build/sbom
	$(PIP) --python build/sbom/bin/python install --require-hashes -r requirements-image.lock
	$(PIP) --python build/sbom/bin/python install --no-deps --no-index dist/*.whl
	$(AUDIT)/cyclonedx-py environment --pyproject pyproject.toml --output-reproducible -o dist/sbom.cdx.json build/sbom/bin/python

licences: .venv/.installed-dev  ## generate docs/licences.md
	$(BIN)/python -m tools.licences

lock: .venv/.installed-dev  ## resolve and hash all dependencies anew (uv must be on the PATH)
	$(COMPILE) --extra embedded --group build pyproject.toml -o requirements.lock
	$(COMPILE) --extra embedded --extra tracing --group build --group dev -c requirements.lock pyproject.toml -o requirements-dev.lock
	$(COMPILE) --extra embedded --extra tracing -c requirements-dev.lock pyproject.toml -o requirements-image.lock
	$(COMPILE) --group build-image -c requirements-dev.lock -o requirements-build.lock
	$(COMPILE) --group audit -o requirements-audit.lock
	$(COMPILE) --group chart -c requirements-dev.lock -o requirements-chart.lock
	$(COMPILE) --group chart-security -o requirements-checkov.lock

clean:               ## remove .venv, caches and the sandbox's state
	rm -rf .venv .mypy_cache .ruff_cache .pytest_cache .hypothesis .samurai build dist

.venv/bin/python:
	$(PYTHON) -m venv .venv

.venv/.installed: .venv/bin/python requirements.lock pyproject.toml
	$(PIP) install --require-hashes -r requirements.lock
	$(PIP) install --no-deps --no-build-isolation --editable .
	@touch $@

.venv/.installed-dev: .venv/.installed requirements-dev.lock
	$(PIP) install --require-hashes -r requirements-dev.lock
	@touch $@

# A place of its own: these tools bring libraries in versions that the program does not want.
.venv/.installed-audit: .venv/.installed-dev requirements-audit.lock
	$(PYTHON) -m venv .venv/audit
	$(AUDIT)/python -m pip --disable-pip-version-check --quiet install --require-hashes -r requirements-audit.lock
	@touch $@

.venv/.installed-chart: .venv/.installed-dev requirements-chart.lock
	$(PIP) install --require-hashes -r requirements-chart.lock
	@touch $@

# A place of its own: it brings old versions of what the program and its tests need.
.venv/.installed-checkov: .venv/bin/python requirements-checkov.lock
	$(PYTHON) -m venv .venv/checkov
	.venv/checkov/bin/python -m pip --disable-pip-version-check --quiet install --require-hashes -r requirements-checkov.lock
	@touch $@
