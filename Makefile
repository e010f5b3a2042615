# `make book` and `make test` do everything, from a fresh clone; `make help` lists the rest.
PYTHON ?= python3
PORT ?= 8000
WORKERS ?= 2
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
HTML := _build/html

# What a page is made from. Prose is re-read at every change; a change of anything else also discards the
# executed chapters, because the cache of executions looks only at a notebook's own code.
INPUTS := $(shell find book walkcut _config.yml _toc.yml Makefile -type f \
	-not -path 'book/exam/*' -not -path 'book/_ext/pdf.*' -not -path '*/__pycache__/*' -not -path '*/.ipynb_checkpoints/*' -not -name '*.tmp' 2>/dev/null)
PROSE := $(wildcard book/*.md book/*.ipynb book/*.bib book/*.yml) _toc.yml
CODE := $(filter-out $(PROSE),$(INPUTS))

export PYTHONHASHSEED ?= 0

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help setup book slides pdf exam test fuzz lint serve lab clean

help:  ## list the targets
	@grep -hE '^[a-z]+:.*##' Makefile | sed -E 's/^([a-z]+):.*## */  make \1\t/' | expand -t 16

setup: $(READY)  ## create .venv with the pinned requirements and the package

$(READY): requirements.txt pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || { \
	  echo "The book needs Python 3.11 or newer, and '$(PYTHON)' is not: install it, or name one: make PYTHON=python3.12" >&2; exit 1; }
	@$(BIN)/python -c '' 2>/dev/null || $(PYTHON) -m venv --clear $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements.txt -e .
	@touch $@

book: _build/.built  ## execute every chapter, build the site, print the page to open
	@echo "The book is built. Open: $(CURDIR)/$(HTML)/index.html"

slides: book  ## build the site with its decks of slides, print the decks to open
	@echo "Slides, turned by arrow keys and printed one to a page:"; ls $(CURDIR)/$(HTML)/book/*-slides.html

pdf: _build/book.pdf  ## print the whole book into one PDF by Chromium, print where it lies
	@echo "The book on paper: $(CURDIR)/_build/book.pdf"

_build/book.pdf: _build/.built $(wildcard book/_ext/pdf.*)
	$(BIN)/python book/_ext/pdf.py $(HTML) $@

exam: $(READY)  ## build the questions for instructors, apart from the site, print the page to open
	@mkdir -p _build/exam
	$(BIN)/mystnb-docutils-html5 --config=book/exam/docutils.conf book/exam/bank.md _build/exam/bank.html
	@echo "Questions, with solutions folded: $(CURDIR)/_build/exam/bank.html"

_build/.built: $(INPUTS) $(READY) _build/.code
	@touch _build/.started
	$(BIN)/jupyter-book build . --all -W -n --keep-going
	@mv _build/.started $@

_build/.code: $(CODE) $(READY)
	@rm -rf _build/.jupyter_cache
	@mkdir -p _build && touch $@

# Each worker computes with one thread, or they would wait for one another; a file is never shared between two of them.
test: $(READY)  ## run every test and every chapter, by WORKERS=2 side by side
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n $(WORKERS) --dist loadfile --nbval-lax tests $(wildcard book/*.ipynb)

fuzz: $(READY)  ## try some thousand damaged files, odd arrays and odd options; minutes
	HYPOTHESIS_PROFILE=many OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n $(WORKERS) tests/test_fuzz.py

lint: $(READY)  ## check style and types; code in the chapters fits its box of 84 columns
	$(BIN)/ruff check .
	$(BIN)/ruff check --isolated --select E501 --line-length 84 book/*.ipynb
	$(BIN)/mypy

serve: book  ## build the site and serve it at http://127.0.0.1:8000 (PORT=8000)
	$(BIN)/python -m http.server --bind 127.0.0.1 --directory $(HTML) $(PORT)

lab: $(READY)  ## open the chapters in JupyterLab
	$(BIN)/jupyter lab book

clean:  ## remove the built site, the executed chapters and the caches; .venv stays
	rm -rf _build .pytest_cache .ruff_cache .hypothesis *.egg-info
	find book walkcut tests -name __pycache__ -prune -exec rm -rf {} +
