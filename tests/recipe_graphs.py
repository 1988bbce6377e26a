"""Which recipes have the same graph of a training step, so that one compilation stands for all of them."""

from mindvit.config import flatten

# What decides the graph of a step, where the sizes are the same. The others concern data, rates and files.
GRAPH_GROUPS = ("model", "loss", "optimizer", "ema", "swa", "distill", "runtime")
GRAPH_SETTINGS = ("train.accumulate_steps", "train.recompute", "augment.mixup", "augment.cutmix")
NOT_IN_GRAPH = {
    "model.name",
    "model.checkpoint",
    "model.resize_pos_embed",
    "optimizer.lr",
    "optimizer.lr_base_batch_size",
}
FACTORS = {"model.drop_path"}
NOT_IN_GRAPH |= {f"model.{name}" for name in ("crop_pct", "interpolation", "mean", "resize", "std")}


def graph_of(recipe):
    """What decides the graph of a recipe, given as the content of its YAML file with all settings."""
    return tuple(
        f"{name}: {value if name.startswith('model.') and name not in FACTORS else kind_of(value)}"
        for name, value in sorted(flatten(recipe).items())
        if (name.partition(".")[0] in GRAPH_GROUPS and name not in NOT_IN_GRAPH) or name in GRAPH_SETTINGS
    )


def kind_of(value):
    """A factor other than 0 and 1 is a constant of the graph; its size decides about no operator."""
    return "factor" if isinstance(value, (int, float)) and value not in (0, 1) else value
