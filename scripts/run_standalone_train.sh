#!/usr/bin/env bash
# Trains on one device: bash scripts/run_standalone_train.sh [CONFIG] [overrides…]
# CONFIG is configs/digits.yaml unless named; overrides are options of train.py, such as --train.epochs 3.
set -euo pipefail
source "$(dirname "$0")/common.sh"

config=configs/digits.yaml
if [[ $# -gt 0 && "$1" != --* ]]; then
    config=$1
    shift
fi
exec "${PYTHON}" train.py --config "${config}" "$@"
