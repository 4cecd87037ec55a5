# gainsay: `make setup` needs Python 3.11, Node.js 20 with npm, git and make; everything else is installed here.

PYTHON ?= python3
BIN := .venv/bin
KERNELS := .venv/.kernels
CONTRACTS := .venv/.contracts
STAMPS := .venv/.installed node_modules/.installed $(KERNELS) $(CONTRACTS)
SLITHER := .venv/slither/bin/slither

.PHONY: setup demo test test-long slither mutation check clean

setup: $(STAMPS)

.venv/.installed: pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "gainsay needs Python 3.11 or newer: set PYTHON=/path/to/python3.11"; exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --editable '.[dev]'
	@touch $@

node_modules/.installed: package.json package-lock.json
	@command -v npm >/dev/null || { echo "gainsay needs Node.js 20 with npm on the PATH"; exit 1; }
	npm ci --silent --no-progress
	@touch $@

# Numba keeps what it compiles: a minute on a fresh clone, seconds after a change of the prover.
$(KERNELS): .venv/.installed $(wildcard prover/*.py prover/*/*.py)
	$(BIN)/gainsay kernels
	@touch $@

# Compiled contracts are kept by the hash of their sources.
$(CONTRACTS): .venv/.installed node_modules/.installed $(wildcard contracts/src/*.sol contracts/src/*/*.sol)
	$(BIN)/python -c 'from contracts.bindings.compiler import protocol_artifacts; protocol_artifacts()'
	@touch $@

demo: setup
	$(BIN)/gainsay demo

# One thread each: two workers whose threads wait for each other's cores need twice the time. test-long takes all threads.
test: export NUMBA_NUM_THREADS = 1
test: export OPENBLAS_NUM_THREADS = 1
test: export OMP_NUM_THREADS = 1
test: setup
	$(BIN)/python -m pytest -n 2 --dist loadscope --durations=15

test-long: setup $(SLITHER)
	$(BIN)/python -m pytest -n 2 --dist loadscope -m 'long or not long' --timeout=3600

# Its web3 is older than the project's: an environment of its own.
$(SLITHER): contracts/analysis/requirements.txt | .venv/.installed
	$(BIN)/python -m venv .venv/slither
	.venv/slither/bin/python -m pip install --quiet --requirement $<
	@touch $@

slither: setup $(SLITHER)
	$(BIN)/python -m contracts.analysis.slither

# Every mutant of our own code: hours. `$(BIN)/python -m tests.mutation --help` says how to run a part.
mutation: setup
	$(BIN)/python -m tests.mutation --report

check: setup
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy contracts/bindings contracts/protocol verifier_gen node challenger economics devnet ops explorer prover gainsay
	$(BIN)/lint-imports
	node contracts/solc/forge.js fmt --check

clean:
	rm -rf .venv node_modules out cache .gainsay build *.egg-info
