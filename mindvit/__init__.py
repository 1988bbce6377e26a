"""mindvit: training, evaluating and using Vision Transformers on MindSpore.

The public API, documented in docs/python.md. Everything is imported on first use.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mindvit.classes import Classes
    from mindvit.errors import UserError
    from mindvit.evaluation.evaluator import evaluate
    from mindvit.evaluation.metrics import Evaluation
    from mindvit.factory import TrainedModel, create_model, load_trained, load_weights
    from mindvit.inference.predictor import Prediction, predict
    from mindvit.models.intermediates import Intermediates
    from mindvit.models.variants import list_models
    from mindvit.models.vit import ViT
    from mindvit.models.vit_config import Preprocessing, ViTConfig
    from mindvit.parsing import load_recipe
    from mindvit.training.recipe import Recipe
    from mindvit.training.trainer import train

__all__ = [
    "Classes",
    "Evaluation",
    "Intermediates",
    "Prediction",
    "Preprocessing",
    "Recipe",
    "TrainedModel",
    "UserError",
    "ViT",
    "ViTConfig",
    "create_model",
    "evaluate",
    "list_models",
    "load_recipe",
    "load_trained",
    "load_weights",
    "predict",
    "train",
]
__version__ = "0.3.0"

_HOMES = {
    "Classes": "mindvit.classes",
    "Evaluation": "mindvit.evaluation.metrics",
    "Intermediates": "mindvit.models.intermediates",
    "Prediction": "mindvit.inference.predictor",
    "Preprocessing": "mindvit.models.vit_config",
    "Recipe": "mindvit.training.recipe",
    "TrainedModel": "mindvit.factory",
    "UserError": "mindvit.errors",
    "ViT": "mindvit.models.vit",
    "ViTConfig": "mindvit.models.vit_config",
    "create_model": "mindvit.factory",
    "evaluate": "mindvit.evaluation.evaluator",
    "list_models": "mindvit.models.variants",
    "load_recipe": "mindvit.parsing",
    "load_trained": "mindvit.factory",
    "load_weights": "mindvit.factory",
    "predict": "mindvit.inference.predictor",
    "train": "mindvit.training.trainer",
}


def __getattr__(name: str) -> Any:
    # Imported on first use, so that the command line can set MindSpore's log level before MindSpore is imported.
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
