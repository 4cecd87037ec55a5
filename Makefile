# gainsay: `make setup` needs Python 3.11, Node.js 20 with npm, git and make; everything else is installed here.

PYTHON ?= python3
BIN := .venv/bin
STAMPS := .venv/.installed node_modules/.installed

.PHONY: setup demo test test-long check clean

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

demo: setup
	$(BIN)/gainsay demo

test: setup
	$(BIN)/python -m pytest -n 2 --dist loadscope --durations=15

test-long: setup
	$(BIN)/python -m pytest -n 2 --dist loadscope -m 'long or not long' --timeout=3600

check: setup
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy contracts/bindings contracts/protocol verifier_gen node challenger
	$(BIN)/lint-imports
	node contracts/solc/forge.js fmt --check

clean:
	rm -rf .venv node_modules out cache .gainsay build *.egg-info
