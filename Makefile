# Everything happens in .venv, which is made on first use. Needed beforehand: Python >= 3.11 with venv, and make.
#
#   PYTHON=python3.13   the Python to make .venv from; by default the first of these that is new enough
#   PROFILE=NAME        whose tour make demo takes: l7-balancer, or reverse-proxy
#   ARGS="..."          passed on: make test ARGS="tests/unit -q", make demo ARGS="--listen 127.0.0.1:9000"
#   SECONDS=600         for how long make fuzz stays with each target

PYTHON ?= python3 python3.14 python3.13 python3.12 python3.11
VENV   := .venv
BIN    := $(VENV)/bin
READY  := $(VENV)/.ready
FUZZER := $(VENV)/.fuzzer

PACKAGES := $(patsubst %/pyproject.toml,%,$(wildcard plugins/*/pyproject.toml profiles/*/pyproject.toml))
TYPED    := gateway perf $(wildcard plugins/*/src profiles/*/src)

export PIP_DISABLE_PIP_VERSION_CHECK := 1
# Containers often forbid bytecode files; without them each of the many processes of the tests compiles us anew.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.PHONY: help demo test lint fuzz bench bench-micro clean

help: ## Show this list
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1\t\2/p' Makefile | expand -t 20

demo: $(READY) ## Take a tour of two minutes: a gateway, small origins, and what becomes of requests
	@$(BIN)/gateway demo $(PROFILE) $(ARGS)

# Two tests a core: they wait much, for processes and for deadlines.
test: export PYTEST_XDIST_AUTO_NUM_WORKERS ?= $(shell expr 2 \* `nproc`)
test: $(READY) ## Run the whole test suite
	$(BIN)/python -m pytest -n auto --dist loadscope --no-loadscope-reorder $(ARGS)

lint: $(READY) ## Check style, types and the direction of imports
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy $(TYPED)
	$(BIN)/lint-imports

fuzz: SECONDS ?= 600
fuzz: $(FUZZER) ## Fuzz the code that reads untrusted bytes, ten minutes a target (ARGS="--seconds 5": a short run)
	@$(BIN)/python tests/fuzz --seconds $(SECONDS) $(ARGS)

bench: $(READY) ## Measure CPU a request against other proxies (needs nginx and wrk)
	$(BIN)/python -m perf $(ARGS)

bench-micro: $(READY) ## Measure parts of the core by themselves
	$(BIN)/python -m perf.micro $(ARGS)

clean: ## Remove .venv and every cache
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis build dist
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# The packages are installed as they lie here (editable), in one go and without build isolation: hatchling comes
# first, at its pinned version, instead of anew for every package.
$(READY): pyproject.toml constraints.txt $(addsuffix /pyproject.toml,$(PACKAGES))
	@echo 'Preparing $(VENV): takes one to three minutes, once and when a dependency changes'
	@$(BIN)/python -m pip --version >/dev/null 2>&1 || { $(find-python) && $$python -m venv --clear $(VENV); }
	@$(BIN)/python -m pip install -qq --constraint constraints.txt hatchling
	@$(BIN)/python -m pip install -qq --constraint constraints.txt --no-build-isolation \
	  --editable '.[dev]' $(addprefix --editable ./,$(PACKAGES))
	@touch $(READY)

# atheris has wheels for few versions of Python, and nothing else needs it.
$(FUZZER): $(READY)
	@$(BIN)/python -m pip install -qq --constraint constraints.txt --no-build-isolation --editable '.[fuzz]'
	@touch $(FUZZER)

define find-python
for python in $(PYTHON) none; do \
  $$python -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1 && break; \
done; \
if [ $$python = none ]; then \
  echo 'Python 3.11 or newer is needed; tried: $(PYTHON). Try: make PYTHON=/path/to/python3' >&2; exit 1; \
fi; \
if ! $$python -c 'import ensurepip, venv' >/dev/null 2>&1; then \
  echo "$$python has no venv module. On Debian and Ubuntu: apt install python3-venv" >&2; exit 1; \
fi
endef
