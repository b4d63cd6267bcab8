# Two commands on a fresh machine: `make demo` and `make test`. Each sets up what it needs, once.
.DEFAULT_GOAL := help
.PHONY: help demo test test-lowest faults lint docs format peers clean

bin := .venv/bin

# Files side by side, a process a core: what a file makes once, such as a server or a model, it makes once.
side_by_side := -n auto --maxprocesses 4 --dist loadfile
# One thread each: with as many as there are cores in every process, they wait for each other in busy loops.
test test-lowest: export OMP_NUM_THREADS := 1

help:
	@echo "make demo    install, ingest the example documents, ask five questions, write demo/report.html"
	@echo "make test    install with the development tools, run the tests"
	@echo "make faults  the long tests: processes killed, servers gone, disks full (three quarters of an hour)"
	@echo "make lint    ruff, pyright, import-linter"
	@echo "make docs    the pages of docs/ and the reference of the API, into site/"
	@echo "make format  ruff's own changes"
	@echo "make clean   remove the environments and all that was built"
	@echo "make peers   an environment for what benchmarks.peers measures and does not go with the rest"
	@echo "make test-lowest   the tests on the lowest versions that pyproject.toml promises"

demo: .venv/.ready-all
	@$(bin)/rag-plugins demo --output demo/report.html

test: .venv/.ready-dev
	@$(bin)/python -m pytest $(side_by_side)

# Warnings are the same as in `make test`; what passes is not told one by one.
test-lowest: .venv-lowest/.ready-lowest
	@.venv-lowest/bin/python -m pytest -q $(side_by_side)

# What these print are the figures of docs/reliability.md.
faults: .venv/.ready-dev
	@$(bin)/python -m pytest -m faults -rP tests/faults

docs: .venv/.ready-dev
	@NO_MKDOCS_2_WARNING=1 $(bin)/mkdocs build --strict -q

# No cache for import-linter: it keeps imports of modules that did not exist yet.
lint: .venv/.ready-dev
	$(bin)/ruff check .
	$(bin)/ruff format --check .
	$(bin)/pyright
	$(bin)/lint-imports --no-cache

format: .venv/.ready-dev
	$(bin)/ruff check --fix .
	$(bin)/ruff format .

# The stamps lie in the environment, so removing it removes them.
.venv/.ready-%: pyproject.toml constraints.txt scripts/setup
	@./scripts/setup $*

peers: .venv-peers/.ready-peers

.venv-peers/.ready-peers: pyproject.toml scripts/setup
	@./scripts/setup peers

.venv-lowest/.ready-lowest: requirements-lowest.txt pyproject.toml scripts/setup
	@./scripts/setup lowest

clean:
	rm -rf .venv .venv-lowest .venv-peers site build dist demo .pytest_cache .ruff_cache .hypothesis .import_linter_cache .coverage
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
