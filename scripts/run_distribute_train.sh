#!/usr/bin/env bash
# Trains with many workers: bash scripts/run_distribute_train.sh [CONFIG] [overrides…]
# CONFIG is configs/digits.yaml unless named; overrides are options of train.py, such as --train.epochs 3.
# One worker per NPU, else per GPU, else two on the CPU. In the environment: NPROC (workers on this server), NNODES,
# NODE_RANK, MASTER_ADDR, MASTER_PORT, JOIN_TIMEOUT (seconds), BIND_CORES; docs/distributed.md tells of them.
set -euo pipefail
source "$(dirname "$0")/common.sh"

take_config "$@"
exec "${PYTHON}" -m mindvit launch train --config "${config}" "${overrides[@]}"
