"""Images inside an HTML page, as data URIs: thumbnails and attention maps."""

import base64
import io
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image

from mindvit.data.split import Split
from mindvit.factory import TrainedModel
from mindvit.visualize.attention_maps import AttentionMaps, evaluation_crop, overlay, scaled

_SIDE = 192
"""Longer side of a thumbnail, in pixels: twice that on the page, for dense screens."""
_MAP_SIDE = 256
_TINY = 64
"""Up to this side, an image is embedded without loss and shown with visible pixels."""


@dataclass(frozen=True)
class AttentionView:
    """An image, and what the network attends to in it."""

    image: str
    """The area that the network sees, as a data URI."""
    overlay: str
    """The attention rollout over it, as a data URI."""
    true: str
    """Id of the true class."""
    predicted: str
    """Id of the predicted class."""
    probability: float
    """Probability of the predicted class, 0 to 1."""


def thumbnail(image: Image.Image, side: int = _SIDE) -> str:
    """An image as a small data URI: PNG if it is tiny, otherwise JPEG.

    Args:
        image: RGB.
        side: greatest longer side, in pixels.
    """
    small = image.copy()
    small.thumbnail((side, side), Image.Resampling.LANCZOS)
    is_tiny = max(image.size) <= _TINY
    file = io.BytesIO()
    small.save(file, "PNG") if is_tiny else small.save(file, "JPEG", quality=82)
    return f"data:image/{'png' if is_tiny else 'jpeg'};base64,{base64.b64encode(file.getvalue()).decode('ascii')}"


def attention_views(model: TrainedModel, split: Split, indices: Sequence[int]) -> list[AttentionView]:
    """Attention rollout over some images of a split.

    Args:
        model: the network and its metadata.
        split: images, with the labels of the outputs of the network.
        indices: which images.

    Raises:
        UserError: if an image cannot be read, or the network has no attention over its patches.
    """
    maps = AttentionMaps(model)
    views = []
    for index in indices:
        image = split.read(index)
        found = maps(image)
        logits = found.logits.astype(np.float64)
        odds = np.exp(logits - logits.max())
        seen = evaluation_crop(image, model.metadata.model)
        label, ids = int(logits.argmax()), split.classes.ids
        views.append(
            AttentionView(
                thumbnail(seen, _MAP_SIDE),
                thumbnail(overlay(seen, scaled(found.rollout)), _MAP_SIDE),
                ids[split.labels[index]],
                ids[label],
                float(odds[label] / odds.sum()),
            )
        )
    return views
