"""Writes embeddings of a folder's pictures:
python extract_features.py --ckpt output/digits/best.ckpt --folder PICTURES --output features.npz"""

from mindvit.program import run


def main() -> None:
    from mindvit.config import parse
    from mindvit.extraction import ExtractSettings, extract

    settings, _ = parse(ExtractSettings, __doc__)
    extract(settings)


if __name__ == "__main__":
    run(main)
