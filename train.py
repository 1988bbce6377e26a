"""Trains a Vision Transformer: python train.py --config configs/digits.yaml --output_dir output/digits"""

from mindvit.program import run


def main() -> None:
    from mindvit.config import parse
    from mindvit.training.recipe import Recipe
    from mindvit.training.trainer import train

    recipe, _ = parse(Recipe, __doc__)
    train(recipe)


if __name__ == "__main__":
    run(main)
