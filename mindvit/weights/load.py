"""Putting a file's tensors into a network: what fits as it is, what is made to fit, and what is refused."""

from collections.abc import Iterable
from dataclasses import replace
from math import isqrt

import mindspore as ms
import numpy as np
from mindspore import Parameter, Tensor

from mindvit.errors import UserError
from mindvit.models.vit import ViT
from mindvit.models.vit_config import ViTConfig
from mindvit.weights.checkpoint import Checkpoint
from mindvit.weights.infer_config import differences, infer_config, matching_models
from mindvit.weights.resize_pos_embed import Method, resize_grid, resize_pos_embed

_HEADS = ("dense", "dense_distillation")
_PATCHES = "patch_embedding.conv.weight"
_SHOWN = 5


def load_tensors(
    network: ViT, checkpoint: Checkpoint, method: Method = "bicubic", strict: bool = True, fresh_head: bool = False
) -> list[str]:
    """Loads a checkpoint's tensors into a network.

    Made to fit are the learned positions, to another grid of patches; the head, which stays fresh for another number of
    classes; and the first convolution, to another number of input channels: for one channel its weights are summed,
    for more they are repeated and scaled.

    Args:
        network: the network; it is unchanged where an error is raised.
        checkpoint: what to load.
        method: how positions are resized: see ``mindvit.weights.resize_pos_embed.resize_grid``.
        strict: whether tensors that are missing or left over are an error. If not they stay fresh, or out.
        fresh_head: whether the file's head is for other classes, and not to be loaded even if they are as many.

    Returns:
        A sentence for everything that was not loaded as it is.

    Raises:
        UserError: where the file is for another network, saying in what it differs and which models fit; else naming
            the tensors that are missing, left over, or of another shape.
    """
    config, tensors, notes = network.config, dict(checkpoint.tensors), []
    wanted = {parameter.name: tuple(parameter.shape) for parameter in network.get_parameters()}
    found = {name: values.shape for name, values in tensors.items()}
    misshapen = sorted(name for name in wanted.keys() & found.keys() if len(wanted[name]) != len(found[name]))
    if misshapen:
        raise UserError(_mismatch(checkpoint, [], [], misshapen, wanted, found))
    if _PATCHES in tensors:
        _check_construction(checkpoint, config if strict else _without_pre_logits(checkpoint, config))
        notes += _fit_channels(tensors, config)
        notes += _fit_positions(tensors, checkpoint, config, method)
    notes += _fit_heads(tensors, network, fresh_head)
    fresh = tuple(f"{head}." for head in _HEADS if f"{head}.weight" not in tensors)
    missing = [name for name in sorted(wanted.keys() - tensors.keys()) if not name.startswith(fresh)]
    unexpected = sorted(tensors.keys() - wanted.keys())
    found = {name: values.shape for name, values in tensors.items()}
    reshaped = sorted(name for name in wanted.keys() & found.keys() if wanted[name] != found[name])
    if reshaped or (strict and (missing or unexpected)):
        raise UserError(_mismatch(checkpoint, missing, unexpected, reshaped, wanted, found))
    if missing:
        notes.append(f"{_listed(missing)} {'is' if len(missing) == 1 else 'are'} missing, and fresh now")
    if unexpected:
        notes.append(f"left out: {_listed(unexpected)}")
    loaded = {name: Parameter(Tensor(values), name=name) for name, values in tensors.items() if name in wanted}
    # Names and shapes fit by now. strict_load would only refuse weights of another precision, such as float16.
    ms.load_param_into_net(network, loaded, strict_load=False)
    return notes


def _without_pre_logits(checkpoint: Checkpoint, config: ViTConfig) -> ViTConfig:
    """The settings as the file's in its tanh layer, which is left out where the model has none, as Google does when it
    fine-tunes; a missing one stays fresh."""
    return replace(config, pre_logits_dim=infer_config(checkpoint.tensors)["pre_logits_dim"])


def _check_construction(checkpoint: Checkpoint, config: ViTConfig) -> None:
    different = differences(checkpoint.tensors, config)
    if different:
        fitting = matching_models(checkpoint.tensors)
        advice = f"; it fits {', '.join(fitting)}" if fitting else "; no model of the table fits, so set these"
        raise UserError(f"{checkpoint.path} is for another network: it differs in {'; '.join(different)}{advice}")


def _fit_channels(tensors: dict[str, np.ndarray], config: ViTConfig) -> list[str]:
    roots = {None: _PATCHES, "efficientnet_b0": "stem.conv.weight"}
    name = roots.get(config.stem, "stem.root.conv.weight")
    weights = tensors.get(name)
    if weights is None:
        return []
    have, want = weights.shape[1], config.in_channels
    if have == want:
        return []
    if want == 1:
        tensors[name] = weights.sum(axis=1, keepdims=True)
        return [f"the first convolution's {have} input channels are summed to one"]
    repeated = np.concatenate([weights] * -(-want // have), axis=1)[:, :want]
    tensors[name] = (repeated * (have / want)).astype(weights.dtype)
    return [f"the first convolution's {have} input channels are repeated to {want}, and scaled by {have}/{want}"]


def _fit_heads(tensors: dict[str, np.ndarray], network: ViT, fresh: bool) -> list[str]:
    notes = []
    for head in _HEADS:
        layer = getattr(network, head, None)
        weights, bias = f"{head}.weight", f"{head}.bias"
        if layer is None:
            continue
        have, want = tensors[weights].shape[0] if weights in tensors else None, layer.weight.shape[0]
        if have is None:
            reason = "the file has no head"
        elif have != want:
            reason = f"the file's head tells {have:,} classes apart and the model's {want:,}"
        elif fresh:
            reason = "the file's head tells other classes apart than the model's"
        else:
            continue
        notes.append(f"{reason}; {head} is fresh")
        tensors.pop(weights, None)
        tensors.pop(bias, None)
    return notes


def _fit_positions(
    tensors: dict[str, np.ndarray], checkpoint: Checkpoint, config: ViTConfig, method: Method
) -> list[str]:
    old, new, notes = None, config.grid, []
    if config.pos_embed == "learned" and "pos_embedding" in tensors:
        trained, rows = checkpoint.metadata, tensors["pos_embedding"].shape[1]
        old = trained.model.grid if trained else _grid_of(rows, checkpoint, config)
        notes += _fit_placed_tokens(tensors, old, config)
        if old != new:
            tensors["pos_embedding"] = resize_pos_embed(tensors["pos_embedding"], old, new, method)
    elif config.pos_embed == "learned2d":
        tables = [name for name in ("pos_rows", "pos_columns") if name in tensors]
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
        notes.append(f"positions are resized from {old[0]}x{old[1]} patches to {new[0]}x{new[1]} ({method})")
    return notes


def _grid_of(rows: int, checkpoint: Checkpoint, config: ViTConfig) -> tuple[int, int]:
    """The grid of a table whose file does not tell it: the model's, else a square."""
    own = config.has_class_token + config.distilled
    for placed in (own, 0):
        if rows - placed == config.num_patches:
            return config.grid
    for placed in (own, 0):
        side = isqrt(max(rows - placed, 0))
        if side and side * side == rows - placed:
            return side, side
    raise UserError(
        f"{checkpoint.path} has {rows} positions, which are no square of patches; "
        "choose the image_size that it was trained at"
    )


def _fit_placed_tokens(tensors: dict[str, np.ndarray], grid: tuple[int, int], config: ViTConfig) -> list[str]:
    """Gives the class and distillation tokens rows of their own in the table, or takes them from there."""
    table = tensors["pos_embedding"]
    have, want = table.shape[1] - grid[0] * grid[1], config.placed_tokens
    if have == want:
        return []
    if want == 0:
        for index, name in enumerate(("cls", "distillation")[:have]):
            tensors[name] = tensors[name] + table[:, index : index + 1]
        tensors["pos_embedding"] = table[:, have:]
        return ["the positions of the tokens before the patches are added to these tokens"]
    if have == 0:
        tensors["pos_embedding"] = np.concatenate([np.zeros_like(table[:, :want]), table], axis=1)
        return ["the tokens before the patches have no position in the file; theirs start at 0"]
    return []


def _mismatch(
    checkpoint: Checkpoint, missing: list, unexpected: list, reshaped: list, wanted: dict, found: dict
) -> str:
    parts = []
    if reshaped:
        shapes = [f"{name} is {_shape(found[name])} and not {_shape(wanted[name])}" for name in reshaped]
        parts.append(_listed(shapes))
    if missing:
        parts.append(f"it lacks {_listed(missing)}")
    if unexpected:
        parts.append(f"it has {_listed(unexpected)} besides")
    return f"{checkpoint.path} does not fit this model: {'; '.join(parts)}"


def _listed(names: list[str]) -> str:
    rest = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(names[:_SHOWN]) + rest


def _shape(shape: Iterable[int]) -> str:
    return "x".join(map(str, shape)) or "a single number"
