# Every target makes .venv by itself, from any Python >= 3.11 that has venv:  make test  or  make test PYTHON=python3.13
VENV := .venv
BIN := $(VENV)/bin
PYTHON ?=
PYTHONS := $(or $(PYTHON),python3 python3.14 python3.13 python3.12 python3.11 python)
PIP := $(BIN)/python -m pip --quiet --disable-pip-version-check --no-input
export PIP_ROOT_USER_ACTION := ignore

# What a control plane needs beside Go: programs and their packages.
CLUSTER := etcd:etcd-server ip:iproute2 nft:nftables openssl:openssl

.DEFAULT_GOAL := help
.PHONY: help demo test test-kubernetes bench bench-kubernetes profile instructions simulation fuzz soak fleet breakages mutants lint format wheel docs cli-docs clean

help:  ## list the targets
	@sed -n 's/^\([a-z-]*\):.*## /\1	/p' $(firstword $(MAKEFILE_LIST)) | while IFS='	' read -r name what; do printf '  make %-17s%s\n' "$$name" "$$what"; done

demo: $(VENV)/.ready  ## a headless service with three pods on this machine, watched live (20 s)
	@$(BIN)/python -m headless_discovery demo

test: $(VENV)/.ready  ## the whole test suite; options for pytest in ARGS="-k lookup -x"
	@$(BIN)/python -m pytest $(ARGS)

test-kubernetes: $(VENV)/.ready  ## scenarios on a real Kubernetes control plane (Go builds it once, in about 6 minutes); ARGS="-k scale"
	@.ci/packages $(CLUSTER)
	@$(BIN)/python tests/kubernetes $(ARGS)

bench: $(VENV)/.ready-bench  ## the figures of docs/benchmarks.md
	@$(BIN)/python benchmarks/run.py $(ARGS)

bench-kubernetes: $(VENV)/.ready-bench  ## the figures of docs/kubernetes.md, beside gRPC and others on a control plane (15 minutes)
	@.ci/packages $(CLUSTER)
	@$(BIN)/python benchmarks/head_to_head $(ARGS)

profile: $(VENV)/.ready-bench  ## where the time of a refresh goes, by module and function; ARGS="1000A 800SRV"
	@$(BIN)/python benchmarks/profile_refresh.py $(ARGS)

instructions: $(VENV)/.ready  ## count the reader's instructions under valgrind, against a budget; ARGS=--update for a new one
	@cd tests && ../$(BIN)/python -m instructions $(ARGS)

simulation: $(VENV)/.ready  ## a million membership steps in virtual time; ARGS="--world dual-set --seed 7" for one of them
	@cd tests && ../$(BIN)/python -m simulation $(or $(ARGS),--steps 1000000)

fuzz: $(VENV)/.ready-fuzz  ## hostile bytes, guided by coverage; FUZZ_SECONDS=600 for longer than a minute
	@$(BIN)/python tests/fuzz --seconds $(or $(FUZZ_SECONDS),60) $(ARGS)

soak: $(VENV)/.ready  ## 200 services, churn and faults for ten minutes: the plot in docs/reliability.md; SOAK_SECONDS=60
	@$(BIN)/python tests/soak --seconds $(or $(SOAK_SECONDS),600) $(ARGS)

fleet: $(VENV)/.ready-bench  ## 10 to 100,000 clients in virtual time, queries at the DNS servers: the figures of docs/scale.md
	@$(BIN)/python tests/fleet $(ARGS)

breakages: $(VENV)/.ready  ## break the core on purpose, one rule at a time, and see the tests notice
	@$(BIN)/python tests/breakages.py $(ARGS)

mutants: $(VENV)/.ready-mutants  ## mutate the sans-IO middle and see the quick tests notice (20 minutes); ARGS="lookup servers"
	@cd tests && ../$(BIN)/python -m mutants $(ARGS)

lint: $(VENV)/.ready-lint  ## ruff and mypy --strict, also over the typing test of the public API
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy --strict src tests/typing

format: $(VENV)/.ready-lint  ## let ruff put the code in order
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

wheel: $(VENV)/.ready-lint  ## build sdist and wheel into dist/, import the wheel in a clean environment
	@$(BIN)/python .ci/wheel.py

cli-docs: $(VENV)/.ready  ## what the commands on docs/cli.md and docs/doctor.md print
	@$(BIN)/python docs/cli_page.py

docs: $(VENV)/.ready  ## links in README and docs/ resolve, Python in them runs
	@$(BIN)/python -m pytest tests/test_docs.py $(ARGS)

clean:  ## remove what the other targets made, .venv too
	rm -rf $(VENV) .cache build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# .ready is the last thing written, .unfinished the first: an environment with .unfinished was interrupted and is made
# anew. One without either is the user's own and is installed into, if its Python and pip work.
$(VENV)/.ready: pyproject.toml
	@set -eu; \
	if [ -e $(VENV)/.unfinished ] || ! $(BIN)/python -c 'import pip, sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then \
	    python=; \
	    for candidate in $(PYTHONS); do \
	        if "$$candidate" -c 'import ensurepip, sys, venv; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then python=$$candidate; break; fi; \
	    done; \
	    if [ -z "$$python" ]; then \
	        echo "No Python >= 3.11 with venv among: $(strip $(PYTHONS)). On Debian and Ubuntu: apt install python3-venv. Else: make PYTHON=/path/to/python" >&2; exit 1; \
	    fi; \
	    echo "Making $(VENV) with $$("$$python" --version) (once, about a minute) ..."; \
	    rm -rf $(VENV); mkdir $(VENV); touch $(VENV)/.unfinished; \
	    "$$python" -m venv $(VENV); \
	fi; \
	touch $(VENV)/.unfinished; rm -f $(VENV)/.ready $(VENV)/.ready-lint $(VENV)/.ready-fuzz $(VENV)/.ready-mutants $(VENV)/.ready-bench; \
	echo "Installing headless-discovery and what its demo and tests need ..."; \
	$(PIP) install --upgrade "pip>=25.1"; \
	$(PIP) install --editable ".[cli]" --group test; \
	touch $@; rm $(VENV)/.unfinished

$(VENV)/.ready-fuzz: $(VENV)/.ready
	@echo "Installing atheris, where it has a wheel ..."
	@$(PIP) install --only-binary atheris --group fuzz
	@touch $@

$(VENV)/.ready-mutants: $(VENV)/.ready
	@echo "Installing mutmut ..."
	@$(PIP) install --group mutants
	@touch $@

$(VENV)/.ready-bench: $(VENV)/.ready
	@echo "Installing what the benchmarks compare with, matplotlib and pyinstrument ..."
	@$(PIP) install --group bench
	@touch $@

$(VENV)/.ready-lint: $(VENV)/.ready
	@echo "Installing ruff, mypy and build ..."
	@$(PIP) install --group lint
	@touch $@
