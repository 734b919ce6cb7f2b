# Two commands do all the set-up: `make demo` and `make test`.
SHELL := /bin/bash
export PATH := $(HOME)/.local/bin:$(CURDIR)/.tools/bin:$(PATH)
UV := $(shell PATH="$(PATH)" command -v uv 2>/dev/null)
RUN := uv run --frozen

.PHONY: demo test check bench setup demo-setup uv

demo: demo-setup  ## the main job, end to end: this machine's own Python libraries against HumanEval
	$(RUN) antivenom demo --out demo-report

test: setup  ## the whole test suite
	$(RUN) pytest

check: setup  ## format, lint, types, import floors
	./scripts/check

bench: setup  ## side-by-side speed, as ratios
	$(RUN) python benchmarks/contamination.py
	$(RUN) python benchmarks/scorers.py
	$(RUN) python benchmarks/lm.py
	$(RUN) python benchmarks/clip.py

setup: uv  ## everything, so that no test has to be skipped (torch and ray among it: gigabytes)
	uv sync --frozen --quiet --all-groups --all-extras

demo-setup: uv  ## what the main job needs: no torch
	uv sync --frozen --quiet --inexact --extra embed --extra demo

uv:
ifeq ($(UV),)
	@echo "uv is not installed: putting it into .tools/"
	@python3 -m venv .tools && .tools/bin/pip install --quiet "uv>=0.9"
endif
