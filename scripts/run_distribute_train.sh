#!/usr/bin/env bash
# Trains on several devices of one machine: bash scripts/run_distribute_train.sh [CONFIG] [overrides…]
# CONFIG is configs/digits.yaml unless named; overrides are options of train.py, such as --train.epochs 3.
# One worker per NPU, else two workers on the CPU. NPROC=4 and MASTER_PORT=8118 in the environment override.
set -euo pipefail
source "$(dirname "$0")/common.sh"

take_config "$@"
nproc=${NPROC:-$(GLOG_v=3 "${PYTHON}" -c 'from mindvit.runtime import default_world_size; print(default_world_size())')}
port=${MASTER_PORT:-8118}
logs=output/msrun

rm -rf "${logs}"
mkdir -p "${logs}"
echo "starting ${nproc} workers on port ${port}; their logs are ${logs}/worker_*.log"
# msrun starts its workers as "python", whichever that is on the PATH.
PATH="$(dirname "$(command -v "${PYTHON}")"):${PATH}"
if ! "${PYTHON}" -m mindspore.parallel.cluster.run --worker_num="${nproc}" --local_worker_num="${nproc}" \
    --master_port="${port}" --log_dir="${logs}" --join=True --tail_worker_log=0 \
    train.py --config "${config}" "${overrides[@]}" 2> "${logs}/msrun.log"; then
    if ! grep -s -h -m 1 '^error:' "${logs}"/worker_*.log >&2; then
        failed=$(grep -s -l '^Traceback' "${logs}"/worker_*.log | head -n 1 || true)
        echo "error: the job failed; the end of ${failed:-${logs}/msrun.log}:" >&2
        tail -n 15 "${failed:-${logs}/msrun.log}" >&2
    fi
    exit 1
fi
