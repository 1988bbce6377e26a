"""Converts weights of Google, timm, Hugging Face, torchvision, MindCV or the tutorial, and back:
python convert.py --source FILE --model vit_b_16_224 --output ckpt/mine.ckpt"""

from mindvit.program import run


def main() -> None:
    from mindvit.config import parse
    from mindvit.conversion import ConvertSettings, convert

    settings, _ = parse(ConvertSettings, __doc__)
    convert(settings)


if __name__ == "__main__":
    run(main)
