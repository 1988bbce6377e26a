#!/usr/bin/env bash
# Trains on one device: bash scripts/run_standalone_train.sh [CONFIG] [overrides…]
# CONFIG is by default configs/digits.yaml; overrides are options of train.py, such as --train.epochs 20.
set -euo pipefail
source "$(dirname "$0")/common.sh"

take_config "$@"
exec "${PYTHON}" train.py --config "${config}" "${overrides[@]}"
