"""Putting a checkpoint's tensors into a network, strictly."""

import mindspore as ms
from mindspore import nn

from mindvit.errors import UserError
from mindvit.weights.checkpoint import Checkpoint

_HEAD = ("dense.weight", "dense.bias")
_SHOWN = 5


def load_tensors(network: nn.Cell, checkpoint: Checkpoint, reset_head: bool = False) -> list[str]:
    """Loads a checkpoint into a network whose tensors must have the same names and shapes.

    Args:
        network: the network; it is unchanged where an error is raised.
        checkpoint: what to load.
        reset_head: whether a head of another shape keeps its fresh values instead.

    Returns:
        The names of the tensors that kept their fresh values: the head's, or none.

    Raises:
        UserError: naming the tensors that are missing, left over, or of another shape.
    """
    wanted = {parameter.name: tuple(parameter.shape) for parameter in network.get_parameters()}
    found = {name: tuple(tensor.shape) for name, tensor in checkpoint.tensors.items()}
    missing = sorted(wanted.keys() - found.keys())
    left_over = sorted(found.keys() - wanted.keys())
    reshaped = sorted(name for name in wanted.keys() & found.keys() if wanted[name] != found[name])
    kept: list[str] = []
    if reset_head and any(name in missing + reshaped for name in _HEAD):
        kept = [name for name in _HEAD if name in wanted]
        missing = [name for name in missing if name not in _HEAD]
        reshaped = [name for name in reshaped if name not in _HEAD]
    if missing or left_over or reshaped:
        raise UserError(_mismatch(checkpoint, missing, left_over, reshaped, wanted, found))
    # Names and shapes fit by now. strict_load would only refuse weights of another precision, such as float16.
    loaded = {name: tensor for name, tensor in checkpoint.tensors.items() if name not in kept}
    ms.load_param_into_net(network, loaded, strict_load=False)
    return kept


def _mismatch(checkpoint: Checkpoint, missing: list, left_over: list, reshaped: list, wanted: dict, found: dict) -> str:
    parts = []
    if reshaped:
        shapes = [f"{name} is {_shape(found[name])} and not {_shape(wanted[name])}" for name in reshaped]
        parts.append(_listed(shapes))
    if missing:
        parts.append(f"it lacks {_listed(missing)}")
    if left_over:
        parts.append(f"it has {_listed(left_over)} besides")
    advice = ""
    if reshaped and set(reshaped) <= set(_HEAD) and not missing and not left_over:
        advice = ". Only the head differs: for other classes, start it afresh with --model.reset_head true"
    return f"{checkpoint.path} does not fit this model: {'; '.join(parts)}{advice}"


def _listed(names: list[str]) -> str:
    rest = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(names[:_SHOWN]) + rest


def _shape(shape: tuple[int, ...]) -> str:
    return "x".join(map(str, shape))
