"""Loads the tensors of a checkpoint into a network, adapts some of them, and refuses what does not fit."""

from dataclasses import replace
from math import isqrt

import mindspore as ms
import numpy as np
from mindspore import Parameter, Tensor

from mindvit.errors import UserError
from mindvit.models.vit import ViT
from mindvit.models.vit_config import ViTConfig
from mindvit.weights.check_architecture import check_architecture
from mindvit.weights.checkpoint import Checkpoint
from mindvit.weights.infer_config import PATCH_KERNEL, first_kernel, infer_config
from mindvit.weights.resize_pos_embed import Method, resize_grid, resize_pos_embed

_HEADS = ("dense", "dense_distillation")
_SHOWN = 5


def load_tensors(
    network: ViT, checkpoint: Checkpoint, method: Method = "bicubic", strict: bool = True, reset_head: bool = False
) -> list[str]:
    """Loads the tensors of a checkpoint into a network.

    Three kinds of tensors are adapted. Learned position embeddings are resized to another grid of patches. A head with
    another number of classes stays newly initialized. The first convolution is changed to another number of input
    channels: for one channel its weights are summed, for more they are repeated and scaled.

    Args:
        network: the network; it is unchanged if an error is raised.
        checkpoint: the checkpoint.
        method: how position embeddings are resized: see ``mindvit.weights.resize_pos_embed.resize_grid``.
        strict: whether missing and unexpected tensors are an error. If not, missing ones stay newly initialized and
            unexpected ones are skipped.
        reset_head: whether the head stays newly initialized, because the checkpoint has other classes.

    Returns:
        A note for each tensor or group of tensors that was adapted, missing or skipped.

    Raises:
        UserError: if the checkpoint is for another network, with the differences and the models that it fits; else with
            the tensors that are missing, unexpected or of another shape.
    """
    config, tensors, notes = network.config, dict(checkpoint.tensors), []
    expected = {parameter.name: tuple(parameter.shape) for parameter in network.get_parameters()}
    found = {name: values.shape for name, values in tensors.items()}
    not_adaptable = sorted(
        name for name in expected.keys() & found.keys() if not _is_adaptable(found[name], expected[name])
    )
    if not_adaptable:
        raise UserError(_mismatch(checkpoint, [], [], not_adaptable, expected, found))
    integers = [name for name in expected if name in tensors and tensors[name].dtype.kind != "f"]
    if integers:
        shown = [f"{name} has the data type {tensors[name].dtype}" for name in integers]
        raise UserError(f"{checkpoint.path} does not fit this model: {_first_names(shown)}, not a floating-point one")
    if PATCH_KERNEL in tensors:
        notes += check_architecture(checkpoint, config if strict else _ignore_pre_logits(checkpoint, config))
        notes += _adapt_channels(tensors, config)
        notes += _adapt_pos_embed(tensors, checkpoint, config, method)
    notes += _drop_other_heads(tensors, network, reset_head)
    new_heads = tuple(f"{head}." for head in _HEADS if f"{head}.weight" not in tensors)
    missing = [name for name in sorted(expected.keys() - tensors.keys()) if not name.startswith(new_heads)]
    unexpected = sorted(tensors.keys() - expected.keys())
    found = {name: values.shape for name, values in tensors.items()}
    other_shape = sorted(name for name in expected.keys() & found.keys() if expected[name] != found[name])
    if other_shape or (strict and (missing or unexpected)):
        raise UserError(_mismatch(checkpoint, missing, unexpected, other_shape, expected, found))
    if missing:
        notes.append(f"missing, newly initialized: {_first_names(missing)}")
    if unexpected:
        notes.append(f"unexpected, skipped: {_first_names(unexpected)}")
    loaded = {name: Parameter(Tensor(values), name=name) for name, values in tensors.items() if name in expected}
    # Names and shapes are checked above. strict_load would only refuse weights of another precision, such as float16.
    ms.load_param_into_net(network, loaded, strict_load=False)
    return notes


def _ignore_pre_logits(checkpoint: Checkpoint, config: ViTConfig) -> ViTConfig:
    """The config with the pre-logits layer of the checkpoint, so that it is no difference between the two.

    If only the checkpoint has one, it is skipped, as Google does for fine-tuning. If only the model has one, it stays
    newly initialized.
    """
    return replace(config, pre_logits_dim=infer_config(checkpoint.tensors)["pre_logits_dim"])


def _is_adaptable(found: tuple[int, ...], expected: tuple[int, ...]) -> bool:
    """Whether a tensor has the axes that adapting it needs, all with values."""
    return len(found) == len(expected) and 0 not in found


def _adapt_channels(tensors: dict[str, np.ndarray], config: ViTConfig) -> list[str]:
    name = first_kernel(config)
    weights = tensors.get(name)
    if weights is None:
        return []
    have, want = weights.shape[1], config.in_channels
    if have == want:
        return []
    if want == 1:
        tensors[name] = weights.sum(axis=1, keepdims=True)
        return [f"the {have} input channels of the first convolution are summed to 1"]
    repeated = np.concatenate([weights] * -(-want // have), axis=1)[:, :want]
    tensors[name] = (repeated * (have / want)).astype(weights.dtype)
    return [f"the {have} input channels of the first convolution are repeated to {want} and scaled by {have}/{want}"]


def _drop_other_heads(tensors: dict[str, np.ndarray], network: ViT, reset: bool) -> list[str]:
    """Removes heads that do not fit from the tensors."""
    notes = []
    for head in _HEADS:
        layer = getattr(network, head, None)
        weights, bias = f"{head}.weight", f"{head}.bias"
        if layer is None:
            continue
        have, want = tensors[weights].shape[0] if weights in tensors else None, layer.weight.shape[0]
        if have is None and head == "dense_distillation" and "dense.weight" in tensors:
            reason = "the checkpoint has no distillation head, and the mean of both heads is the output of the model"
        elif have is None:
            reason = "the checkpoint has no head"
        elif have != want:
            reason = f"the checkpoint's head has {have:,} classes and the model's has {want:,}"
        elif reset:
            reason = "the checkpoint's head has other classes than the model's"
        else:
            continue
        notes.append(f"{reason}; {head} is newly initialized")
        tensors.pop(weights, None)
        tensors.pop(bias, None)
    return notes


def _adapt_pos_embed(
    tensors: dict[str, np.ndarray], checkpoint: Checkpoint, config: ViTConfig, method: Method
) -> list[str]:
    old, new, notes = None, config.grid, []
    if config.pos_embed == "learned" and "pos_embedding" in tensors:
        batch, rows, width = tensors["pos_embedding"].shape
        if (batch, width) != (1, config.embed_dim):
            return []  # The caller refuses the shape.
        old = checkpoint.metadata.model.grid if checkpoint.metadata else _infer_grid(rows, checkpoint, config)
        notes += _adapt_prefix_pos_embed(tensors, old, config)
        if old != new:
            tensors["pos_embedding"] = resize_pos_embed(tensors["pos_embedding"], old, new, method)
    elif config.pos_embed == "learned2d":
        tables = [name for name in ("pos_rows", "pos_columns") if name in tensors and len(tensors[name]) == 1]
        old = tuple(tensors[name].shape[1] for name in tables) if len(tables) == 2 else None
        for name in tables:
            size = new[0] if name == "pos_rows" else new[1]
            tensors[name] = resize_grid(tensors[name][0][:, None], (size, 1), method)[None, :, 0]
    elif config.pos_embed == "relative":
        spans = (2 * new[0] - 1, 2 * new[1] - 1)
        for name in [name for name in tensors if name.endswith("relative_bias.table")]:
            old = tuple((span + 1) // 2 for span in tensors[name].shape[1:])
            tensors[name] = resize_grid(tensors[name].transpose(1, 2, 0), spans, method).transpose(2, 0, 1)
    if old and old != new:
        notes.append(f"position embeddings are resized from {old[0]}x{old[1]} to {new[0]}x{new[1]} patches ({method})")
    return notes


def _infer_grid(rows: int, checkpoint: Checkpoint, config: ViTConfig) -> tuple[int, int]:
    """The grid of a table from a checkpoint without metadata.

    It is that of the image size in ``config.json``; without one a square; that of the model if there is no such square.
    """
    tokens = config.has_class_token + config.distilled
    stated = checkpoint.architecture.get("image_size")
    if stated is not None:
        patch, stride = config.patch_size, config.patch_stride or config.patch_size
        grid = tuple(max((side - patch) // stride + 1, 0) for side in stated.value)
        if rows - grid[0] * grid[1] not in (tokens, 0):
            raise UserError(
                f"{checkpoint.path} has {rows} position embeddings, but {checkpoint.path.parent / 'config.json'} says "
                f"that {stated.text}, which has {grid[0]}x{grid[1]} patches; "
                "correct or remove that file if it is not of these weights"
            )
        return grid
    for prefix in (tokens, 0):
        side = isqrt(max(rows - prefix, 0))
        if side and side * side == rows - prefix:
            return side, side
        if rows - prefix == config.num_patches:
            return config.grid
    raise UserError(
        f"{checkpoint.path} has {rows} position embeddings, which do not form a square grid of patches; "
        "set image_size to the size that it was trained at"
    )


def _adapt_prefix_pos_embed(tensors: dict[str, np.ndarray], grid: tuple[int, int], config: ViTConfig) -> list[str]:
    """Adds rows for the class and distillation tokens to the table, or moves their rows into these tokens."""
    table = tensors["pos_embedding"]
    have, want = table.shape[1] - grid[0] * grid[1], config.pos_embed_tokens
    if have == want:
        return []
    if want == 0:
        for index, name in enumerate(("cls", "distillation")[:have]):
            tensors[name] = tensors[name] + table[:, index : index + 1]
        tensors["pos_embedding"] = table[:, have:]
        return ["the position embeddings of the prefix tokens are added to these tokens"]
    if have == 0:
        tensors["pos_embedding"] = np.concatenate([np.zeros_like(table[:, :want]), table], axis=1)
        return ["the checkpoint has no position embeddings for the prefix tokens; they are initialized to 0"]
    return []


def _mismatch(
    checkpoint: Checkpoint, missing: list, unexpected: list, other_shape: list, expected: dict, found: dict
) -> str:
    parts = []
    if other_shape:
        parts.append(_first_names([f"{name} has shape {found[name]}, not {expected[name]}" for name in other_shape]))
    if missing:
        parts.append(f"missing {_first_names(missing)}")
    if unexpected:
        parts.append(f"unexpected {_first_names(unexpected)}")
    if unexpected and not (missing or other_shape):
        parts.append(
            "if these are not part of the classifier, such as the decoder of a masked autoencoder, "
            "convert the file with convert.py and --strict false, which skips them"
        )
    return f"{checkpoint.path} does not fit this model: {'; '.join(parts)}"


def _first_names(names: list[str]) -> str:
    rest = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(names[:_SHOWN]) + rest
