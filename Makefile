# Two commands do everything on a fresh machine: `make demo` and `make test`.
PYTHON ?= python3
BIN := .venv/bin
PROMPT ?= a red circle on a blue background
OUT ?= build/demo.png
export PROMPT OUT

# Tests start many processes: without compiled files each of them would compile the whole program again.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: demo playground test test-system lint format check bench evaluate clean

demo: .venv/.installed  ## The whole way on a simulated Discord: /imagine, progress, picture
	@$(BIN)/zimage-bot demo --out "$$OUT" -- "$$PROMPT"

playground: .venv/.installed  ## The same in a browser, to click through
	@$(BIN)/zimage-bot playground

test: .venv/.installed  ## Every test but those of `make test-system`; under five minutes on two cores
	$(BIN)/pytest

test-system: .venv/.installed  ## Slow proofs of the whole program in processes of its own; under eight minutes
	$(BIN)/pytest -m system

lint: .venv/.installed  ## Style, types, and which package may import which
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: .venv/.installed
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

check: lint test test-system  ## What CI runs

bench: .venv/.installed  ## The engine against plain diffusers on this machine; under ten minutes
	$(BIN)/python -m benchmarks

evaluate: .venv/.installed  ## Measure the demo model that ships with the project
	$(BIN)/python -m training.evaluate

.venv/.installed: pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit("zimage-bot needs Python 3.11 or newer; name one with make PYTHON=python3.11") if sys.version_info < (3, 11) else None'
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[playground,dev]'
	@touch $@

clean:
	rm -rf .venv build .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache *.egg-info
