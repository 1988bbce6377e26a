"""Finds the dictionary with the weights in a PyTorch file."""

from pathlib import Path
from typing import Any

from mindvit.errors import UserError
from mindvit.weights.formats.torch_pickle import TensorView

PREFERRED = (
    "model",
    "state_dict",
    "model_state",
    "model_state_dict",
    "net",
    "network",
    "module",
    "model_ema",
    "state_dict_ema",
    "ema",
)
"""Keys under which programs save the weights of a model. If a file has several, the first of these is used."""

_OPTIMIZER = "optim"

# DistributedDataParallel and torch.compile wrap a model; the wrapper adds a prefix to all names.
_WRAPPERS = ("module.", "_orig_mod.")


def find_state_dict(path: Path, content: Any) -> dict[str, TensorView]:
    """Finds the state dict in the content of a file, and removes the name prefixes of model wrappers.

    If the content has dictionaries of tensors, the first one under a key in ``PREFERRED`` is used, or else the only
    one. If it has none, the tensors of the content itself are used. Epochs, settings and optimizer states are ignored.

    Args:
        path: the file, for messages.
        content: content of the file.

    Raises:
        UserError: if there are no named tensors, or several dictionaries of them under unknown keys.
    """
    if not isinstance(content, dict):
        raise UserError(f"{path} has no named tensors; save model.state_dict() in it")
    nested = {key: _tensors(value) for key, value in content.items() if isinstance(value, dict)}
    nested = {key: tensors for key, tensors in nested.items() if tensors and not key.startswith(_OPTIMIZER)}
    preferred = [key for key in PREFERRED if key in nested]
    if preferred:
        return _without_wrappers(nested[preferred[0]])
    own = _tensors(content)
    if len(nested) > 1 or (nested and any(view.shape for view in own.values())):
        places = ", ".join(sorted(nested)) + (" and the top level" if own else "")
        raise UserError(f"{path} has tensors in several places ({places}); save only model.state_dict()")
    tensors = next(iter(nested.values()), own)
    if not tensors:
        raise UserError(f"{path} has no named tensors; save model.state_dict() in it")
    return _without_wrappers(tensors)


def _tensors(content: dict[str, Any]) -> dict[str, TensorView]:
    return {name: value for name, value in content.items() if isinstance(value, TensorView)}


def _without_wrappers(tensors: dict[str, TensorView]) -> dict[str, TensorView]:
    for prefix in _WRAPPERS:
        if all(name.startswith(prefix) for name in tensors):
            return _without_wrappers({name.removeprefix(prefix): value for name, value in tensors.items()})
    return tensors
