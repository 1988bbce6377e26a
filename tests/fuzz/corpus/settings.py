"""Recipes that are huge, ambiguous or not finite."""

from tests.fuzz.corpus.case import written

_LAUGHS = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]\n" for i in range(1, 12)
)


def _recipe(text):
    return written("recipe.yaml", text.encode("utf-8", "surrogateescape"))


_RECIPES = {
    "duplicate key": ("lr is given twice, in lines 2 and 3", _recipe("optimizer:\n  lr: 1\n  lr: 2\n")),
    "duplicate group": ("data is given twice", _recipe("data: {path: a}\ntrain: {}\ndata: {batch_size: 3}\n")),
    "alias bomb": ("aliases expanded", _recipe(_LAUGHS)),
    "deep nesting": ("more than 20 levels", _recipe("model: " + "[" * 100_000)),
    "group inside itself": ("inside the group that it stands for", _recipe("model: &a {name: *a}")),
    "1e9 epochs": ("a run has at most 100,000,000 steps", _recipe("train: {epochs: 1000000000}")),
    "learning rate NaN": ("optimizer.lr must be", _recipe("optimizer: {lr: .nan}")),
    "learning rate infinite": ("optimizer.lr must be", _recipe("optimizer: {lr: .inf}")),
    "weight decay NaN": ("optimizer.weight_decay must be", _recipe("optimizer: {weight_decay: .nan}")),
    "epsilon NaN": ("norm_eps must be", _recipe("model: {norm_eps: .nan}")),
    "warm-up NaN": ("schedule.warmup_epochs must be", _recipe("schedule: {warmup_epochs: .nan}")),
    "a program in a tag": ("is not YAML", _recipe("model: !!python/object/apply:os.system [touch executed]")),
    "integer of 5000 digits": ("is not YAML|whole number", _recipe("train: {seed: " + "9" * 5000 + "}")),
    "not UTF-8": ("is not YAML", _recipe("model: \udcff")),
    "NUL in a path": ("contains a NUL", _recipe('output_dir: "a\\0b"')),
    "two million bytes": ("at most 1,048,576 are read", _recipe("#" * 2_000_000)),
}

TABLES = {
    "recipes": _RECIPES,
}
