"""Extracts features: python extract_features.py --ckpt X.ckpt --folder IMAGES --output features.npz"""

from mindvit.cli import run_command

if __name__ == "__main__":
    run_command("extract-features")
