#!/usr/bin/env bash
# Installs the requirements, then trains a Vision Transformer on digits, evaluates it and classifies an image.
# Needs Python 3.10 to 3.12. Writes to output/quickstart/; a second run does not train again. Arguments go to train.py.
set -euo pipefail
source "$(dirname "$0")/common.sh"

out=output/quickstart
install requirements.txt

if [[ -f "${out}/summary.json" && -f "${out}/best.ckpt" ]]; then
    echo "already trained: ${out}/best.ckpt (remove ${out} to train again)"
else
    # Two thirds of the epochs of the recipe: slightly less accurate, and less than two minutes on two cores.
    "${PYTHON}" train.py --config configs/digits.yaml --train.epochs 40 --output_dir "${out}" --overwrite true "$@"
fi
"${PYTHON}" eval.py --ckpt "${out}/best.ckpt" --output "${out}/evaluation.json"
image=$(find dataset/digits/val/3 -name '*.png' | sort | head -n 1)
"${PYTHON}" infer.py --ckpt "${out}/best.ckpt" --image "${image}" --output "${out}/prediction.jpg"

cat <<END

Done. ${out}/ contains
  summary.json      accuracy, time and speed of the training
  metrics.jsonl     metrics of every epoch
  config.yaml       all settings of the run, for train.py --config
  curves.png        loss, accuracy and learning rate over the epochs
  prediction.jpg    a validation image with its predicted class
  best.ckpt         weights of the best epoch, for eval.py and infer.py
The digits are in dataset/digits/. To activate the Python environment: source .venv/bin/activate
END
