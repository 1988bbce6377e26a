"""What there is to know of a layout."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from mindvit.models.vit_config import Preprocessing
from mindvit.weights.layouts.key_map import KeyMap

Arrays = dict[str, np.ndarray]


@dataclass(frozen=True)
class Layout:
    """One way of naming and shaping the weights of a Vision Transformer."""

    name: str
    """What it is called."""
    signature_keys: tuple[str, ...]
    """Names of tensors of which one at least is in every file of this layout."""
    key_map: KeyMap
    """Its names and ours."""
    norm_eps: float
    """Epsilon of the layer norms that its weights were trained with."""
    gelu: str
    """Form of the GELU that they were trained with."""
    preprocessing: Callable[[int], Preprocessing]
    """How images were prepared, by the side of the input, for a plain ViT."""
    prepare: Callable[[Arrays], Arrays] = dict
    """Makes the names regular before they are looked up."""
    ignored: tuple[str, ...] = ()
    """Endings of names that hold no weights."""

    def unexpected(self, arrays: Mapping[str, np.ndarray]) -> list[str]:
        """The names of a file that this layout does not have."""
        names = self.prepare(dict(arrays))
        return [name for name in names if not name.endswith(self.ignored) and not self.key_map.knows(name)]

    def to_ours(self, arrays: Mapping[str, np.ndarray]) -> Arrays:
        """The tensors under our names."""
        return self.key_map.to_ours(self.prepare(dict(arrays)))


def augreg_preprocessing(image_size: int) -> Preprocessing:
    """As Google's ViTs and most of timm's: values from -1 to 1, bicubic, cropped to 0.9 below 384 px."""
    halves = (0.5, 0.5, 0.5)
    return Preprocessing(halves, halves, "bicubic", 0.9 if image_size < 384 else 1.0)


def tutorial_preprocessing(image_size: int) -> Preprocessing:
    """As MindSpore's tutorial and torchvision: ImageNet's statistics, bilinear, cropped to 0.875."""
    return Preprocessing()
