#!/usr/bin/env bash
# Evaluates a checkpoint: bash scripts/run_eval.sh CKPT [options of eval.py…]
set -euo pipefail
source "$(dirname "$0")/common.sh"

take_checkpoint run_eval.sh "$@"
exec "${PYTHON}" eval.py --ckpt "${ckpt}" "${options[@]}"
