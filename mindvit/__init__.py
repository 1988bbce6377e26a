"""mindvit: training, evaluating and using Vision Transformers on MindSpore."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mindvit.factory import create_model, load_weights
    from mindvit.models.variants import list_models

__all__ = ["create_model", "list_models", "load_weights"]
__version__ = "0.1.0"

_HOMES = {
    "create_model": "mindvit.factory",
    "load_weights": "mindvit.factory",
    "list_models": "mindvit.models.variants",
}


def __getattr__(name: str) -> Any:
    # Imported on first use, so that the programs can set MindSpore's log level before it is imported.
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)
