"""Trains a Vision Transformer: python train.py --config configs/digits.yaml --output_dir output/digits"""

from mindvit.cli import run_command

if __name__ == "__main__":
    run_command("train")
