#!/usr/bin/env bash
# Trains on several ranks: bash scripts/run_distribute_train.sh [CONFIG] [overrides…]
# CONFIG is by default configs/digits.yaml; overrides are options of train.py, such as --train.epochs 20.
# By default one rank per NPU, else one per GPU, else two on the CPU. Environment variables: NPROC (ranks on this node),
# NNODES, NODE_RANK, MASTER_ADDR, MASTER_PORT, JOIN_TIMEOUT (seconds), BIND_CORES; see docs/distributed.md.
set -euo pipefail
source "$(dirname "$0")/common.sh"

take_config "$@"
exec "${PYTHON}" -m mindvit launch train --config "${config}" "${overrides[@]}"
