"""Evaluates a checkpoint on every picture of a data set exactly once: python eval.py --ckpt output/digits/best.ckpt"""

from mindvit.program import run


def main() -> None:
    from mindvit.config import parse
    from mindvit.evaluation.report import EvalSettings, evaluate_checkpoint

    settings, _ = parse(EvalSettings, __doc__)
    evaluate_checkpoint(settings)


if __name__ == "__main__":
    run(main)
