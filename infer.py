"""Classifies an image: python infer.py --ckpt output/digits/best.ckpt --image IMAGE --output annotated.jpg"""

from mindvit.cli import run_command

if __name__ == "__main__":
    run_command("infer")
