# Two commands do everything on a fresh machine: `make demo` and `make test`.
# TORCH_INDEX has torch's CPU build, for machines without an NVIDIA driver.
PYTHON ?= python3
TORCH_INDEX ?= https://download.pytorch.org/whl/cpu
BIN := .venv/bin
PROMPT ?= a red circle on a blue background
OUT ?= build/demo.png
export PROMPT OUT

# Tests start many processes: without compiled files each of them would compile the whole program again.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: demo install playground test test-system lint format check bench pictures evaluate notebook lock clean

# What the demo needs; the full install, which has the developers' tools, too, will do where it is there.
PLAYGROUND := $(if $(wildcard .venv/.installed),.venv/.installed,.venv/.playground)

demo: $(PLAYGROUND)  ## The whole way on a simulated Discord: /imagine, progress, picture
	@$(BIN)/zimage-bot demo --out "$$OUT" -- "$$PROMPT"

install:  ## What runs in production, from the lock with hashes: no tools for developers, and a copy of the program
	@$(PYTHON) scripts/install.py --locked --torch-index "$(TORCH_INDEX)"
	@rm -f .venv/.playground .venv/.installed

playground: $(PLAYGROUND)  ## The same in a browser, to click through
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

pictures: .venv/.installed  ## Remake the pictures of the playground in docs/images; needs Chromium
	$(BIN)/python -m tests.pictures

evaluate: .venv/.installed  ## Measure the demo model that ships with the project
	$(BIN)/python -m training.evaluate

notebook: .venv/.installed  ## Run docs/quickstart.ipynb and keep what it shows
	$(BIN)/python -m tests.notebook

# Its first lines, which say what it is, stay. setuptools builds the project itself.
lock: pyproject.toml constraints.txt  ## Write both locks with the indexes' hashes; needs uv and the network
	@head -n 2 requirements.lock > requirements.lock.partial
	@echo 'setuptools>=77' | uv pip compile pyproject.toml - --constraints constraints.txt --universal \
		--python-version 3.11 --only-binary :all: --generate-hashes --default-index https://pypi.org/simple \
		--no-annotate --no-header --quiet >> requirements.lock.partial
	@mv requirements.lock.partial requirements.lock
	@$(PYTHON) scripts/lock_cpu.py "$(TORCH_INDEX)"

.venv/.playground: pyproject.toml constraints.txt
	@$(PYTHON) scripts/install.py --torch-index "$(TORCH_INDEX)" playground
	@touch $@

.venv/.installed: pyproject.toml constraints.txt
	@$(PYTHON) scripts/install.py --torch-index "$(TORCH_INDEX)" playground,dev
	@touch $@

clean:
	rm -rf .venv build .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache *.egg-info
