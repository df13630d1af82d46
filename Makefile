# make demo   the whole story in under a minute, without a phone
# make test   format, lint, types and every test
# make lint   the first three of these
# make bench  the figures, each with the command that measures it
#
# Each needs only python3 (3.11 or newer, with venv) and make; what else is needed is installed into .venv, pinned by hash.

PYTHON ?= python3
BIN := .venv/bin
# The tests start some thousand processes; each would compile wasess anew.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: demo test lint bench clean

demo: .venv/.ready
	@$(BIN)/python tools/demo.py

test: lint
	$(BIN)/pytest -n 6 --maxschedchunk 1 -m "not alone"
	$(BIN)/pytest -m alone

lint: .venv/.ready
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

bench: .venv/.ready
	$(BIN)/python -m bench

clean:
	rm -rf .venv .pytest_cache .mypy_cache .ruff_cache .hypothesis .sandbox *.egg-info

.venv/.ready: pyproject.toml requirements/dev.txt
	@$(PYTHON) -c 'import sys; sys.exit(0 if sys.version_info >= (3, 11) else "wasess needs Python 3.11 or newer; this is " + sys.version.split()[0] + " (make PYTHON=/path/to/newer/python3)")'
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/dev.txt
	@# compat: a path, and not a finder that costs every process 25 ms.
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --config-settings editable_mode=compat --editable .
	@touch $@
