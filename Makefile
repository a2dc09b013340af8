# make demo   install, then do the main job on this machine's own distribution
# make test   install, then run the whole suite (as root: as an ordinary user first, then as root)
# make bench  compare with the peers that are installed; writes docs/benchmarks.md
PYTHON ?= $(shell command -v /usr/bin/python3 || command -v python3)
VENV := .venv
BIN := $(VENV)/bin

.PHONY: demo test campaign bench lint reference clean packages

demo: $(VENV)/installed
	@PATH="$(CURDIR)/$(BIN):$$PATH" sh docs/tour.sh

test: $(VENV)/installed-test packages
	@$(BIN)/python -m tests $(ARGS)

campaign: $(VENV)/installed-test packages
	@$(BIN)/python -m tests --campaign $(ARGS)

bench: $(VENV)/installed-test
	@$(BIN)/python -m benchmarks $(ARGS)

lint: $(VENV)/installed-test
	@$(BIN)/ruff check . && $(BIN)/ruff format --check . && $(BIN)/mypy && $(BIN)/lint-imports

reference: $(VENV)/installed
	@$(BIN)/python -m envgit.cli.reference docs/reference

packages:
	@sh tests/packages.sh

$(VENV)/installed: pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "envgit needs Python 3.11: make PYTHON=/path/to/python3.11 $(MAKECMDGOALS)" >&2; exit 2; }
	@$(PYTHON) -m venv $(VENV) || { echo "the venv module is missing: apt-get install python3-venv" >&2; exit 2; }
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable . --config-settings editable_mode=compat
	@touch $@

$(VENV)/installed-test: $(VENV)/installed
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[test]' --config-settings editable_mode=compat
	@touch $@

clean:
	rm -rf $(VENV) build *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
