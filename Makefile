# What a developer types; `make help` lists it. CI calls `make check test` and nothing else.
#
# Works with make 3.81, which macOS ships. Paths are relative, because make splits an absolute one at its spaces.
# Variables given to make (`make run PORT=9000 ONCE=1`) reach the programs through the environment.

PY := .venv/bin/python
COMPILE := $(PY) -m uv pip compile --quiet --universal --python-version 3.11 --generate-hashes \
	--no-emit-index-url --no-header --no-annotate $(UPGRADE) pyproject.toml

# Settings as in production, so that what needs them can be checked without a server or anybody's .env values.
PRODUCTION := env -i PATH="$$PATH" PYTHONWARNINGS="ignore:Got an error checking a consistent:RuntimeWarning" \
	SECRET_KEY=only-for-make-check-0123456789-abcdefghijklmnopqrstuvwxyz \
	CREDENTIALS_KEYS=AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA= \
	DEBUG=false ALLOWED_HOSTS=sendmsg.example PUBLIC_URL=https://sendmsg.example METRICS_TOKEN=only-for-make-check \
	DATABASE_URL=postgresql://127.0.0.1:1/sendmsg LOGS_DATABASE_URL=postgresql://127.0.0.1:1/sendmsg_logs \
	REDIS_URL=redis://127.0.0.1:1/0 BROKER_URL=amqp://127.0.0.1:1//

.DEFAULT_GOAL := help
.NOTPARALLEL:
.PHONY: help run test drill-failover drill-pacing drill-receipts drill-retention bench pictures check format lock FORCE
unexport PYTHONHOME PYTHONPATH
MAKEFLAGS += --no-print-directory

help: ## List these commands
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-16s%s\n", $$1, $$2}' Makefile

run: .venv/.run ## Start everything here, with a sandbox provider (PORT=8000; ONCE=1: one message, then stop)
	@exec $(PY) manage.py quickstart

# In two processes side by side, each with servers of its own: those that start and kill whole processes mostly wait.
# The output of the second is shown when both have ended. With ARGS it is one plain pytest.
APART := tests/stack tests/servers tests/embedded

test: .venv/.test ## Run the tests against real servers (ARGS="-k receipts")
	@if [ -n "$(strip $(ARGS))" ]; then exec $(PY) -m pytest $(ARGS); fi; \
	$(PY) -m pytest $(APART) >.venv/.apart 2>&1 & apart=$$!; \
	trap 'kill $$apart 2>/dev/null; exit 130' INT TERM HUP; \
	echo "Beside these run $(APART)"; \
	$(PY) -m pytest $(APART:%=--ignore=%); first=$$?; \
	wait $$apart; second=$$?; \
	cat .venv/.apart; \
	exit $$((first ? first : second))

drill-failover: .venv/.test ## Drop a provider twice amid 5,000 messages, and check what became of them (ARGS="--messages 1000")
	@exec $(PY) -m tests.drills.failover $(ARGS)

drill-pacing: .venv/.test ## Measure a limit over five workers, a provider that hangs, and a crowd of 100,000
	@exec $(PY) -m tests.drills.pacing

drill-receipts: .venv/.test ## Post 2,000 receipts a second for ten seconds, and check what became of them (ARGS="--rate 500")
	@exec $(PY) -m tests.drills.receipts $(ARGS)

drill-retention: .venv/.test ## Archive old rows by the million, and measure who waits beside it (ARGS="--messages 10000")
	@exec $(PY) -m tests.drills.retention $(ARGS)

pictures: .venv/.test ## Take the pictures of the admin in docs/pictures anew, of everything running; needs Chromium
	@exec $(PY) -m tests.drills.pictures

bench: .venv/.test ## Measure speed beside controls in the same run, about five minutes (BENCH=lives: one of them)
	@exec $(PY) -m tests.bench

check: .venv/.test ## Lint, types, imports, migrations, deployment settings, OpenAPI
	$(PY) -m ruff check
	$(PY) -m ruff format --check
	@$(PRODUCTION) $(PY) -m mypy
	@$(PRODUCTION) .venv/bin/lint-imports
	@$(PRODUCTION) $(PY) manage.py makemigrations --check --dry-run
	@$(PRODUCTION) DJANGO_SETTINGS_MODULE=sendmsg.settings $(PY) -m tests.migrations.rules
	@$(PRODUCTION) $(PY) manage.py check --deploy --fail-level WARNING
	@$(PRODUCTION) $(PY) manage.py spectacular --validate --fail-on-warn --file /dev/null

format: .venv/.test ## Format the code, and repair what the linter can
	$(PY) -m ruff check --fix
	$(PY) -m ruff format

# What is optional elsewhere is in the image: which of it is used is a matter of settings.
EXTRAS := aws otel parquet s3 sqs zstd

lock: .venv/.test ## Pin the dependencies of pyproject.toml (UPGRADE=--upgrade)
	$(COMPILE) --output-file requirements.txt
	$(COMPILE) $(EXTRAS:%=--extra %) --constraint requirements.txt --output-file docker/requirements.txt
	$(COMPILE) --extra embedded --constraint requirements.txt --output-file sendmsg/embedded/requirements.txt
	$(COMPILE) --extra dev --extra embedded --constraint requirements.txt --output-file tests/requirements.txt

# A stamp for each set of packages: installed again when one of its files changes, and never else.

RUN := requirements.txt sendmsg/embedded/requirements.txt
TEST := $(RUN) tests/requirements.txt

.venv/.run: .venv/.made $(RUN)
	@$(call install,$(RUN))
	@touch $@

.venv/.test: .venv/.made $(TEST)
	@$(call install,$(TEST))
	@touch .venv/.run $@

# pip's progress is a dot a package; its warnings and errors are shown when it failed.
install = \
	[ -e .venv/.run ] && printf 'Installing what has changed ' || \
		printf 'Installing packages (first time, about half a minute) '; \
	started=$$(date +%s); \
	[ -w "$${HOME:-/nowhere}" ] || export PIP_NO_CACHE_DIR=1; \
	rm -f .venv/.failed; \
	{ $(PY) -m pip install --disable-pip-version-check --no-input --progress-bar off --require-hashes \
		$(1:%=-r %) 2>.venv/.errors || touch .venv/.failed; } | \
		awk '/^Collecting|^Installing/ {printf "."; fflush()} END {printf " "}'; \
	[ ! -e .venv/.failed ] || { echo failed; cat .venv/.errors >&2; exit 1; }; \
	echo "$$(($$(date +%s) - started)) s"

# The first Python that runs, has a right version and can make environments: a pyenv shim exists without running, and
# Debian's python3 may come without ensurepip. An environment that works is kept; FORCE: its Python has gone.
.venv/.made: $(shell test -x $(PY) || echo FORCE)
	@if $(PY) -c "import pip, sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))" 2>/dev/null; then \
		touch $@; exit; \
	fi; \
	set -- python3.13 python3.12 python3.11 python3 python; \
	[ -z "$(PYTHON)" ] || set -- "$(PYTHON)"; \
	others=; bare=; \
	for python; do \
		version=$$("$$python" -c "import sys; print('%d.%d' % sys.version_info[:2])" 2>/dev/null) || continue; \
		case $$version in \
			3.11|3.12|3.13) ;; \
			*) others="$$others, $$python is $$version"; continue;; \
		esac; \
		"$$python" -c "import ensurepip, ssl, venv" 2>/dev/null || { bare=$${bare:-$$version}; continue; }; \
		echo "Making .venv with Python $$version"; \
		"$$python" -m venv --clear .venv && touch $@; exit; \
	done; \
	if [ -n "$$bare" ]; then \
		echo "Python $$bare can't make virtual environments; Debian and Ubuntu: apt-get install python$$bare-venv" >&2; \
	else \
		echo "SendMSG needs Python 3.11, 3.12 or 3.13; found none$$others. PYTHON=/path/to/python names one" >&2; \
	fi; \
	exit 1
