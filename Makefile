# make test   set up .venv, lint, type-check, run the tests
# make check  the lint and the types alone
# make fuzz   look for inputs that break a promise: SECONDS=60 for each target (see fuzz/README.md)
# make audit  compare the pinned versions with the known vulnerabilities (needs the network)
# make demo   set up .venv, train a tiny tokenizer on Python's own text, compare it with BPE
#
# The only needs are make, a Python 3.11 and a package index. Choose another interpreter with `make PYTHON=...`.

PYTHON ?= $(shell for p in python3.11 python3 python; do \
	"$$p" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo "$$p" && break; done)
VENV := .venv
RUN := $(VENV)/bin/python -m
STAMP := $(VENV)/.installed
PIP := $(RUN) pip --disable-pip-version-check --quiet install --no-compile -c constraints.txt
export PYTHONUNBUFFERED := 1

SECONDS := 60
.PHONY: help venv test check fuzz audit demo clean

help:
	@sed -n 's/^# \(make .*\)/\1/p' Makefile

venv: $(STAMP)

# torch first and alone: asked for together with the rest, an installer may settle on another build of it,
# and the plain one brings gigabytes of CUDA.
$(STAMP): pyproject.toml constraints.txt
	@test -n "$(PYTHON)" || { echo "make: no Python 3.11 or later found; say make PYTHON=/path/to/python3.11" >&2; exit 1; }
	@echo "setting up $(VENV) (once; a minute or two)"
	@$(PYTHON) -m venv $(VENV)
	@$(PIP) "$$(grep '^torch==' constraints.txt)"
	@$(PIP) -e '.[train,formats,ray,dev]'
	@touch $@

check: $(STAMP)
	$(RUN) ruff check .
	$(RUN) ruff format --check src tests examples runs benchmarks fuzz
	$(RUN) mypy

test: check
	$(RUN) pytest

fuzz: $(STAMP)
	@for target in $$(ls fuzz | sed -n 's/^\([a-z_]*\)\.py$$/\1/p' | grep -v -e __ -e harness -e inputs); do \
		echo "$$target:"; $(RUN) fuzz $$target --seconds $(SECONDS) || exit 1; done

# In an environment of its own: what looks for holes should not have to agree with our versions. Strict: a package that
# the index does not answer for is a failure, not a package without holes.
audit:
	@test -d $(VENV)-audit || $(PYTHON) -m venv $(VENV)-audit
	@$(VENV)-audit/bin/pip --disable-pip-version-check --quiet install pip-audit==2.10.1
	$(VENV)-audit/bin/pip-audit --strict --no-deps --disable-pip --requirement constraints.txt

demo: $(STAMP)
	$(VENV)/bin/gqvae demo

clean:
	rm -rf $(VENV) $(VENV)-audit out .mypy_cache .pytest_cache .ruff_cache .hypothesis
