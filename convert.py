"""Converts weights of other libraries, and back: python convert.py --source FILE --model vit_b_16_224 --output X"""

from mindvit.cli import run_command

if __name__ == "__main__":
    run_command("convert")
