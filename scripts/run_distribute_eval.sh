#!/usr/bin/env bash
# Evaluates a checkpoint on several ranks: bash scripts/run_distribute_eval.sh CKPT [options of eval.py…]
# The environment variables are those of run_distribute_train.sh.
set -euo pipefail
source "$(dirname "$0")/common.sh"

take_checkpoint run_distribute_eval.sh "$@"
exec "${PYTHON}" -m mindvit launch eval --ckpt "${ckpt}" "${options[@]}"
