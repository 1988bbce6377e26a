"""Compares the architecture that a checkpoint says it has with that of a network."""

from dataclasses import fields

from mindvit.errors import UserError
from mindvit.models.stems import STEMS
from mindvit.models.vit_config import ViTConfig
from mindvit.weights.checkpoint import Checkpoint
from mindvit.weights.infer_config import Tensors, differences, first_kernel, infer_config, matching_models
from mindvit.weights.published_architecture import Stated

# They may differ for fine-tuning, and have no tensors of their own. Everything else is either a property of the
# weights, or has no effect on evaluation.
_MAY_CHANGE = ("pool", "pos_embed", "patch_stride", "window_size")
_MUST_AGREE = ("embed_dim", "depth", "num_heads", "mlp_dim", "patch_size", "in_channels")


def check_architecture(checkpoint: Checkpoint, config: ViTConfig) -> list[str]:
    """Compares the tensors of a checkpoint, and what its metadata or its ``config.json`` says, with a config.

    Args:
        checkpoint: the checkpoint.
        config: configuration of the network.

    Returns:
        A note for each setting that differs and may differ, because a network can be fine-tuned with another one.

    Raises:
        UserError: if the checkpoint is for another network, with the differences and the models that it fits.
    """
    different = differences(checkpoint.tensors, config)
    if different:
        fitting = matching_models(checkpoint.tensors)
        advice = f"it fits {', '.join(fitting)}" if fitting else "no listed model fits it, so override these settings"
        if infer_config(checkpoint.tensors)["stem"] not in (None, *STEMS):
            advice = f"its stem is not supported; supported are {', '.join(STEMS)}"
        raise UserError(f"{checkpoint.path} is for another network: it differs in {'; '.join(different)}; {advice}")
    return _compare(checkpoint, config)


def _compare(checkpoint: Checkpoint, config: ViTConfig) -> list[str]:
    of_model = {item.name: getattr(config, item.name) for item in fields(config)}
    if checkpoint.metadata is not None:
        theirs = {name: getattr(checkpoint.metadata.model, name) for name in ("num_heads", *_MAY_CHANGE)}
        stated = {name: Stated(value, f"{name} is {value}") for name, value in theirs.items()}
        source, cure = "its metadata", "create the model with that number"
    else:
        stated, source = checkpoint.architecture, f"{checkpoint.path.parent / 'config.json'}"
        of_model["in_channels"] = _channels(checkpoint.tensors, config)
        cure = "override the setting of the model, or correct or remove that file if it is not of these weights"
    for name in _MUST_AGREE:
        if name in stated and stated[name].value != of_model[name]:
            raise UserError(
                f"{checkpoint.path} is for another network: {source} says that {stated[name].text}, but {name} of the "
                f"{'tensors' if name == 'in_channels' else 'model'} is {of_model[name]}; {cure}"
            )
    return [
        f"{source} says that {stated[name].text}, but {name} of the model is {of_model[name]}"
        for name in _MAY_CHANGE
        if name in stated and stated[name].value != of_model[name]
    ]


def _channels(tensors: Tensors, config: ViTConfig) -> int | None:
    kernel = tensors.get(first_kernel(config))
    return None if kernel is None or kernel.ndim < 2 else kernel.shape[1]
