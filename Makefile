# make demo   the whole story in under a minute, without a phone
# make test   format, lint, types and every test
# make test-all-pythons   every test under each Python that is here, of those that wasess runs on
# make lint   the first three of these
# make supply known vulnerabilities, the list of what wasess is made of, and whether the wheel is reproducible; a part of `make test`
# make dist   the wheel, that list and their hashes, into dist/
# make bench  the figures, each with the command that measures it
#
# Each needs only python3 (3.11 or newer, with venv) and make; what else is needed is installed into .venv, pinned by hash.
# What a release is made with has an environment of its own.

PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
PYTHONS := 3.11 3.12 3.13
# The tests start some thousand processes; each would compile wasess anew.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: demo test suite test-all-pythons lint supply dist bench clean

demo: $(VENV)/.ready
	@$(BIN)/python tools/demo.py

test: lint supply suite

suite: $(VENV)/.ready
	$(BIN)/pytest -n 6 --maxschedchunk 1 -m "not alone"
	$(BIN)/pytest -m alone

# Each has an environment of its own, .venv-3.12 for example. Found on the PATH, or where pyenv keeps them (its shims run no version but the chosen).
test-all-pythons:
	@failed=; for version in $(PYTHONS); do \
	  found=; for python in python$$version "$${PYENV_ROOT:-$$HOME/.pyenv}"/versions/$$version.*/bin/python3; do \
	    "$$python" -c "import sys; sys.exit('%d.%d' % sys.version_info[:2] != '$$version')" 2>/dev/null && found=$$python; \
	  done; \
	  if [ -z "$$found" ]; then echo "== Python $$version: not here, not tested"; continue; fi; \
	  echo "== Python $$version: $$found"; \
	  $(MAKE) suite VENV=.venv-$$version PYTHON="$$found" || failed="$$failed $$version"; \
	done; \
	[ -z "$$failed" ] || { echo "== failed under Python:$$failed"; exit 1; }

lint: $(VENV)/.ready
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

supply: .venv-supply/.ready
	.venv-supply/bin/python tools/audit.py
	.venv-supply/bin/python tools/release.py --check

dist: .venv-supply/.ready
	.venv-supply/bin/python tools/release.py

bench: $(VENV)/.ready
	$(BIN)/python -m bench

clean:
	rm -rf .venv .venv-* dist .pytest_cache .mypy_cache .ruff_cache .hypothesis .sandbox *.egg-info

$(VENV)/.ready: pyproject.toml requirements/dev.txt
	@$(PYTHON) -c 'import sys; sys.exit(0 if sys.version_info >= (3, 11) else "wasess needs Python 3.11 or newer; this is " + sys.version.split()[0] + " (make PYTHON=/path/to/newer/python3)")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/dev.txt
	@# compat: a path, and not a finder that costs every process 25 ms.
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --config-settings editable_mode=compat --editable .
	@touch $@

.venv-supply/.ready: requirements/supply.txt
	$(PYTHON) -m venv .venv-supply
	.venv-supply/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/supply.txt
	@touch $@
