#!/usr/bin/env bash
# Classifies an image: bash scripts/run_infer.sh CKPT IMAGE [options of infer.py…]
set -euo pipefail
source "$(dirname "$0")/common.sh"

if [[ $# -lt 2 || "$1" == --* || "$2" == --* ]]; then
    echo "error: no checkpoint or no image given: bash scripts/run_infer.sh CKPT IMAGE [options of infer.py…]" >&2
    exit 2
fi
ckpt=$1
image=$2
shift 2
exec "${PYTHON}" infer.py --ckpt "${ckpt}" --image "${image}" "$@"
