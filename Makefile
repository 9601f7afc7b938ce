# What a developer types; `make help` lists it. CI calls `make check test` and nothing else.
PYTHON ?= $(shell command -v python3.13 || command -v python3.12 || command -v python3.11 || command -v python3)
BIN := .venv/bin
COMPILE := $(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header --no-annotate pyproject.toml

.PHONY: help run test check format lock clean
.DEFAULT_GOAL := help
