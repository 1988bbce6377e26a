"""The description of a layout."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from mindvit.models.vit_config import Preprocessing
from mindvit.weights.layouts.key_map import KeyMap

Arrays = dict[str, np.ndarray]


@dataclass(frozen=True)
class Layout:
    """A way to name and shape the weights of a Vision Transformer."""

    name: str
    """Name of the layout."""
    signature_keys: tuple[str, ...]
    """Tensor names, at least one of which is in every file of this layout."""
    key_map: KeyMap
    """Maps the names of the layout to ours."""
    norm_eps: float
    """Epsilon of the layer norms that the weights were trained with."""
    gelu: str
    """Form of the GELU that the weights were trained with."""
    preprocessing: Callable[[int], Preprocessing]
    """Preprocessing of a plain ViT, by the side of the input image."""
    prepare: Callable[[Arrays], Arrays] = dict
    """Normalizes the names before they are looked up in the key map."""
    ignored: tuple[str, ...] = ()
    """Endings of names that are not weights."""

    def unexpected(self, arrays: Mapping[str, np.ndarray]) -> list[str]:
        """The names in a file that this layout does not have, after ``prepare``."""
        names = self.prepare(dict(arrays))
        return [name for name in names if not name.endswith(self.ignored) and not self.key_map.knows(name)]

    def to_ours(self, arrays: Mapping[str, np.ndarray]) -> Arrays:
        """The tensors under our names; unknown names are skipped."""
        return self.key_map.to_ours(self.prepare(dict(arrays)))


def augreg_preprocessing(image_size: int) -> Preprocessing:
    """The preprocessing of Google's ViTs and most of timm's: values from -1 to 1, bicubic, crop 0.9 below 384 px."""
    halves = (0.5, 0.5, 0.5)
    return Preprocessing(halves, halves, "bicubic", 0.9 if image_size < 384 else 1.0)


def tutorial_preprocessing(image_size: int) -> Preprocessing:
    """The preprocessing of MindSpore's tutorial: ImageNet's mean and std, bilinear without antialiasing, crop 0.875."""
    return Preprocessing(resize="mindspore")
