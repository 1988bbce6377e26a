#!/usr/bin/env bash
# Installs what the tests need into .venv, checks the style, and runs the tests. Arguments go to pytest.
set -euo pipefail
source "$(dirname "$0")/common.sh"

install requirements-dev.txt requirements-tensorboard.txt requirements.txt
"${PYTHON}" -m ruff check .
"${PYTHON}" -m ruff format --check .
# Most of the time goes into compiling graphs, which keeps one core busy: two files are tested at a time.
"${PYTHON}" -m pytest --numprocesses auto --maxprocesses 2 --dist loadfile "$@"
