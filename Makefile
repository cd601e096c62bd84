# Two commands matter to a newcomer: `make demo` and `make test`.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
PIN    := -c deploy/constraints.txt
SECONDS ?= 600

.PHONY: demo test fuzz bench soak law agents lint tools clean

demo: $(VENV)/.run
	$(BIN)/tracker demo

test: $(VENV)/.test tools lint
	$(BIN)/pytest -n auto --dist loadgroup --durations 20

fuzz: $(VENV)/.test
	$(BIN)/pytest -n auto tests/fuzz tests/core --hypothesis-profile=long

bench: $(VENV)/.bench tools
	$(BIN)/python -m tests.bench

soak: $(VENV)/.test tools
	$(BIN)/python -m tests.soak --seconds $(SECONDS)

law: $(VENV)/.test
	$(BIN)/python -m tests.law

agents: $(VENV)/.test
	$(BIN)/python -m tests.agents

tools:
	@sh tests/tools.sh

lint: $(VENV)/.test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

$(VENV)/bin/python:
	$(PYTHON) -m venv $(VENV)

$(VENV)/.run: $(VENV)/bin/python pyproject.toml deploy/constraints.txt
	$(BIN)/python -m pip install --quiet $(PIN) -e .
	touch $@

$(VENV)/.test: $(VENV)/bin/python pyproject.toml deploy/constraints.txt
	$(BIN)/python -m pip install --quiet $(PIN) -e '.[test]'
	touch $@ $(VENV)/.run

$(VENV)/.bench: $(VENV)/.test
	$(BIN)/python -m pip install --quiet $(PIN) -e '.[bench]'
	touch $@

clean:
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis dist build
