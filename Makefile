## make run    set up .venv, run the line, tell the verdict
## make test   set up .venv, run the tests
## make check  format, lint, types, imports
## make repro  the other door: dvc repro
## make ui     MLflow's page, on 127.0.0.1
## make lock   resolve requirements.lock anew from pyproject.toml

.PHONY: help run test check format lint types imports repro ui lock

UV := $(or $(shell command -v uv),.uv/bin/uv)
READY := .venv/ready
export PATH := $(CURDIR)/.venv/bin:$(PATH)

# A .venv is bound to its folder: after a move its commands name an interpreter that is gone.
ifneq ($(wildcard .venv/bin/dvc),)
ifneq ($(shell test -x "`head -n 1 .venv/bin/dvc | cut -c3-`" && echo there),there)
$(error .venv: it was made in another folder. Remove it with `rm -rf .venv`, then run make again)
endif
endif

help:
	@sed -n 's/^## //p' Makefile

run: $(READY)
	@ganlift run

# One process more than there are cores: a test often waits for processes that it has started.
test: $(READY)
	@OMP_NUM_THREADS=1 LOKY_MAX_CPU_COUNT=1 python -m pytest --numprocesses $$(($$(nproc) + 1)) --dist loadgroup --no-loadscope-reorder

check: $(READY)
	@$(MAKE) --no-print-directory --jobs 2 --keep-going --output-sync=target format lint types imports

format: $(READY)
	@ruff format --check .
lint: $(READY)
	@ruff check .
types: $(READY)
	@mypy
imports: $(READY)
	@lint-imports --no-cache

repro: $(READY)
	@dvc repro

ui: $(READY)
	@ganlift ui

lock: | $(filter .uv/%,$(UV))
	$(UV) pip compile pyproject.toml --group dev --universal --python-version 3.11 \
	  --generate-hashes --no-header --quiet -o requirements.lock

# Bytecode is compiled here, or every import takes three times as long; the versions and their
# hashes are those of the lock. Without git, DVC has to be told so.
$(READY): requirements.lock pyproject.toml | $(filter .uv/%,$(UV))
	@echo "setting up .venv (once, some minutes)"
	@$(UV) venv --quiet --allow-existing --python '>=3.11' .venv
	@$(UV) pip install --quiet --python .venv --compile-bytecode --require-hashes -r requirements.lock
	@$(UV) pip install --quiet --python .venv --no-deps --no-build-isolation -e .
	@git rev-parse --git-dir >/dev/null 2>&1 || dvc config --local core.no_scm true
	@touch $@

.uv/bin/uv:
	@{ python3 -m venv .uv && .uv/bin/python -m pip install --quiet uv; } || { rm -rf .uv; \
	  echo "error: uv: it is not on PATH and pip could not install it. Install uv, then run make again." >&2; \
	  exit 1; }
