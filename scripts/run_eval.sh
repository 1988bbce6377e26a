#!/usr/bin/env bash
# Evaluates a checkpoint: bash scripts/run_eval.sh CKPT [options of eval.py…]
set -euo pipefail
source "$(dirname "$0")/common.sh"

if [[ $# -eq 0 || "$1" == --* ]]; then
    echo "error: name a checkpoint: bash scripts/run_eval.sh CKPT [options of eval.py…]" >&2
    exit 2
fi
ckpt=$1
shift
exec "${PYTHON}" eval.py --ckpt "${ckpt}" "$@"
