# Each target makes .venv if it is missing and installs what it needs, under constraints.txt.
PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV ?= .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt

.PHONY: demo napari test lint docs bench clean help

help:  ## list the targets
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/'

$(BIN)/python:
	$(PYTHON) -m venv $(VENV)

# One stamp per extra: installing again only when pyproject.toml or constraints.txt changed.
$(VENV)/.core: pyproject.toml constraints.txt | $(BIN)/python
	$(PIP) -e .
	@touch $@

$(VENV)/.%: pyproject.toml constraints.txt $(VENV)/.core
	$(PIP) -e ".[$*]"
	@touch $@

# With a Qt binding, which the extra itself leaves to people.
$(VENV)/.napari-window: $(VENV)/.napari
	$(PIP) "napari[all]"
	@touch $@

demo: $(VENV)/.core  ## segment real photographs and micrographs offline; writes demo/index.html
	$(BIN)/sam-plugins demo --out demo

napari: $(VENV)/.napari-window  ## open napari on a sample with the widget docked
	$(BIN)/python -m napari_sam

test: $(VENV)/.test  ## run all tests
	$(BIN)/python -m pytest

lint: $(VENV)/.lint  ## style, types, and the floors of the architecture
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

docs: $(VENV)/.docs  ## build the documentation into site/, warnings are errors
	$(BIN)/mkdocs build --strict

bench: $(VENV)/.bench  ## run the benchmarks against the peers
	$(BIN)/python -m benchmarks

clean:  ## remove everything that was made
	rm -rf $(VENV) site demo build *.egg-info
