# Each target makes .venv if it is missing and installs what it needs, under constraints.txt.
PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV ?= .venv
BIN := $(VENV)/bin
# Label Studio pins other versions of what this project needs, so that it has a place of its own.
LABEL_STUDIO_VENV := .venv-label-studio
LABEL_STUDIO := label-studio==1.23.2
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt

# Processes that run tests; each takes up to 4 GB.
TESTS_AT_ONCE ?= 2

.PHONY: demo napari label-studio label-studio-server stock-sdk test lint docs bench clean help

help:  ## list the targets
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/'

$(BIN)/python:
	$(PYTHON) -m venv $(VENV)

# One stamp per extra: installing again only when pyproject.toml or constraints.txt changed.
$(VENV)/.core: pyproject.toml constraints.txt | $(BIN)/python
	$(PIP) -e .
	@touch $@

$(VENV)/.%: pyproject.toml constraints.txt $(VENV)/.core
	$(PIP) -e ".[$*]"
	@touch $@

# What the backend needs of the extra label-studio; label-studio-ml, its other part, would take
# mkdocs back to an old Jinja2.
$(VENV)/.serving: $(VENV)/.train
	$(PIP) "waitress>=3"
	@touch $@

# With a Qt binding, which the extra itself leaves to people.
$(VENV)/.napari-window: $(VENV)/.napari
	$(PIP) "napari[all]"
	@touch $@

$(LABEL_STUDIO_VENV)/.$(LABEL_STUDIO):
	$(PYTHON) -m venv $(LABEL_STUDIO_VENV)
	$(LABEL_STUDIO_VENV)/bin/python -m pip install --quiet --disable-pip-version-check $(LABEL_STUDIO)
	@touch $@

# Into a folder of its own, which the tests put before everything else on the path: it brings a Flask
# and a Jinja2 of its time.
STOCK_SDK := .label-studio-ml
$(STOCK_SDK)/.installed: $(VENV)/.core
	$(PIP) --target $(STOCK_SDK) "label-studio-ml==1.0.9" "redis>=4" "rq>=1.10"
	@touch $@

demo: $(VENV)/.core  ## segment real photographs and micrographs offline; writes demo/index.html
	$(BIN)/sam-plugins demo --out demo

napari: $(VENV)/.napari-window  ## open napari on a sample with the widget docked
	$(BIN)/python -m napari_sam

label-studio: $(VENV)/.serving label-studio-server  ## start Label Studio on a sample project, with the model connected
	$(BIN)/sam-plugins label-studio sample

label-studio-server: $(LABEL_STUDIO_VENV)/.$(LABEL_STUDIO)  ## install Label Studio itself (1 GB), for the sample and the tests

stock-sdk: $(STOCK_SDK)/.installed  ## install Label Studio's own ML SDK, for the tests

test: $(VENV)/.test  ## run all tests
	$(BIN)/python -m pytest -n $(TESTS_AT_ONCE)

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
	rm -rf $(VENV) $(LABEL_STUDIO_VENV) $(STOCK_SDK) site demo build *.egg-info
