"""Evaluates a checkpoint: python eval.py --ckpt output/digits/best.ckpt"""

from mindvit.cli import run_command

if __name__ == "__main__":
    run_command("eval")
