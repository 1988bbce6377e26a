#!/usr/bin/env bash
# From a fresh clone to a trained, evaluated and drawn Vision Transformer, on any machine with Python 3.10 to 3.12.
# Everything is written to output/quickstart/. Run again, it does not train a second time. Arguments go to train.py.
set -euo pipefail
source "$(dirname "$0")/common.sh"

out=output/quickstart
install requirements.txt

if [[ -f "${out}/summary.json" && -f "${out}/best.ckpt" ]]; then
    echo "already trained: ${out}/best.ckpt (remove ${out} to train anew)"
else
    # Two thirds of the recipe's epochs: a little less accurate, and done within two minutes on two cores.
    "${PYTHON}" train.py --config configs/digits.yaml --train.epochs 40 --output_dir "${out}" --overwrite true "$@"
fi
"${PYTHON}" eval.py --ckpt "${out}/best.ckpt" --output "${out}/evaluation.json"
image=$(find dataset/digits/val/3 -name '*.png' | sort | head -n 1)
"${PYTHON}" infer.py --ckpt "${out}/best.ckpt" --image "${image}" --output "${out}/prediction.jpg"

cat <<END

Done. In ${out}/ you find
  summary.json      accuracy, time and speed of the training
  metrics.jsonl     every epoch's figures
  config.yaml       every setting of the run, ready for train.py --config
  curves.png        loss, accuracy and learning rate over the epochs
  prediction.jpg    a held-out digit with its predicted class
  best.ckpt         the best epoch's weights, for eval.py and infer.py
The digits are in dataset/digits/. To use Python yourself: source .venv/bin/activate
END
