"""Names what is on a picture: python infer.py --ckpt output/digits/best.ckpt --image PICTURE --output labelled.jpg"""

from mindvit.program import run


def main() -> None:
    from mindvit.config import parse
    from mindvit.inference import InferSettings, infer

    settings, flags = parse(InferSettings, __doc__, flags={"json": "Print the classes as JSON."})
    infer(settings, as_json="json" in flags)


if __name__ == "__main__":
    run(main)
