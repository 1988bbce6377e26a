"""Which of the dictionaries in a PyTorch file are the weights."""

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
"""Keys under which programs save a model's weights; where a file has several, the first of these is taken."""

_OPTIMIZER = "optim"

# DistributedDataParallel and torch.compile wrap a model, and save it under the wrapper's name.
_WRAPPERS = ("module.", "_orig_mod.")


def find_state_dict(path: Path, content: Any) -> dict[str, TensorView]:
    """Finds the tensors by name in what a file holds, without the prefixes that wrapping a model gives to all names.

    They are those of a dictionary within, if it has one: the first under a name in ``PREFERRED``, or else the only one.
    If it has none, they are the file's own. Epochs, settings and what belongs to an optimizer are left out.

    Raises:
        UserError: if there are no named tensors, or several dictionaries of them under unknown names.
    """
    if not isinstance(content, dict):
        raise UserError(f"{path} holds no tensors by name; save model.state_dict() in it")
    within = {key: _tensors(value) for key, value in content.items() if isinstance(value, dict)}
    within = {key: tensors for key, tensors in within.items() if tensors and not key.startswith(_OPTIMIZER)}
    preferred = [key for key in PREFERRED if key in within]
    if preferred:
        return _unwrapped(within[preferred[0]])
    own = _tensors(content)
    if len(within) > 1 or (within and any(view.shape for view in own.values())):
        places = ", ".join(sorted(within)) + (" and beside them" if own else "")
        raise UserError(f"{path} holds tensors in several places ({places}); save the model's state_dict() alone")
    tensors = next(iter(within.values()), own)
    if not tensors:
        raise UserError(f"{path} holds no tensors by name; save model.state_dict() in it")
    return _unwrapped(tensors)


def _tensors(content: dict[str, Any]) -> dict[str, TensorView]:
    return {name: value for name, value in content.items() if isinstance(value, TensorView)}


def _unwrapped(tensors: dict[str, TensorView]) -> dict[str, TensorView]:
    for prefix in _WRAPPERS:
        if all(name.startswith(prefix) for name in tensors):
            return _unwrapped({name.removeprefix(prefix): value for name, value in tensors.items()})
    return tensors
