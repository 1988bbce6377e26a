"""mindvit: training, evaluating and using Vision Transformers on MindSpore."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mindvit.factory import create_model
    from mindvit.models.variants import list_models

__all__ = ["create_model", "list_models"]
__version__ = "0.1.0"


def __getattr__(name: str) -> Any:
    # On first use, so that the programs can set MindSpore's log level before it is imported.
    if name == "create_model":
        from mindvit.factory import create_model

        return create_model
    if name == "list_models":
        from mindvit.models.variants import list_models

        return list_models
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
