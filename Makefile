# cellgate from a checkout. `make` alone lists the targets.
PYTHON ?= $(shell command -v python3.11 || echo python3)
WORKSTATION := .venv
FIELD := .venv-field
PIP := -m pip --disable-pip-version-check install --quiet --constraint constraints.txt
CELLS ?= ../shared/data/nih-cells.zip
RUNTIME := $(shell find edge_runtime -type f -not -path '*/__pycache__/*')

.DEFAULT_GOAL := help
.PHONY: help install install-field demo default-bundle figures docs test test-workstation test-field lint format wheel clean

help:  ## list the targets
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/\1\t\2/p' Makefile | expand -t 20

install: $(WORKSTATION)/installed  ## the workstation's environment, .venv (torch, onnx, scikit-learn, tools)

install-field: $(FIELD)/installed  ## the device's environment, .venv-field: the built wheel, no torch

demo: install  ## simulate cells, train, export, verify, read a slide; the result is in demo/ (5 min)
	$(WORKSTATION)/bin/python -m scripts.demo demo

default-bundle: install  ## cross-fit, test and seal the wheel's bundle (90 min on 2 cores; CELLS=archive)
	$(WORKSTATION)/bin/python -m scripts.default_bundle --cells $(CELLS)

figures: install  ## write the default bundle's figures into README.md and docs/results.md
	$(WORKSTATION)/bin/python -m scripts.figures

docs: install  ## build the site into site/; a broken link or a name that is gone fails
	NO_MKDOCS_2_WARNING=1 $(WORKSTATION)/bin/mkdocs build --strict --quiet

test: test-workstation test-field  ## all tests; those of the runtime in .venv-field, from the built wheel

test-workstation: install
	$(WORKSTATION)/bin/python -m pytest tests --ignore tests/edge_runtime

test-field: install-field
	$(FIELD)/bin/pytest tests/edge_runtime

lint: install  ## style, types, who may import whom
	$(WORKSTATION)/bin/ruff check .
	$(WORKSTATION)/bin/ruff format --check .
	$(WORKSTATION)/bin/mypy
	$(WORKSTATION)/bin/lint-imports

format: install  ## put the code in its standard form
	$(WORKSTATION)/bin/ruff check --fix .
	$(WORKSTATION)/bin/ruff format .

wheel: dist/built  ## the wheel for the device, in dist/

clean:  ## remove the environments and everything that commands made here
	rm -rf $(WORKSTATION) $(FIELD) build dist demo site *.egg-info

$(WORKSTATION)/installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(WORKSTATION)
	$(WORKSTATION)/bin/python $(PIP) --upgrade pip
	$(WORKSTATION)/bin/python $(PIP) --editable ".[workstation]" --group dev
	touch $@

$(FIELD)/installed: dist/built constraints.txt
	rm -rf $(FIELD)
	$(PYTHON) -m venv $(FIELD)
	$(FIELD)/bin/python $(PIP) --upgrade pip
	$(FIELD)/bin/python $(PIP) dist/cellgate-*.whl --group test
	touch $@

dist/built: $(WORKSTATION)/installed $(RUNTIME) README.md LICENSE
	rm -rf dist build
	$(WORKSTATION)/bin/python -m build --wheel --outdir dist . > /dev/null
	touch $@
