#!/usr/bin/env bash
# Installs the test packages into .venv, checks the style, and runs the tests: bash scripts/test.sh [--quick] [options]
# --quick leaves out the tests marked slow or distributed. Other arguments go to pytest.
set -euo pipefail
source "$(dirname "$0")/common.sh"

options=()
for argument in "$@"; do
    if [[ "${argument}" == --quick ]]; then
        options+=(-m "not slow and not distributed")
    else
        options+=("${argument}")
    fi
done
install requirements/*.txt requirements.txt
install_browser
"${PYTHON}" -m ruff check .
"${PYTHON}" -m ruff format --check .
# Compiling graphs takes most of the time and keeps one core busy, so two files are tested at a time, in the order that
# tests/conftest.py gives them.
"${PYTHON}" -m pytest --numprocesses auto --maxprocesses 2 --dist loadfile --no-loadscope-reorder "${options[@]}"
