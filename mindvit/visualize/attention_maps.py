"""Attention maps: attention rollout, and the attention of single heads, over an image."""

import math
from dataclasses import dataclass

import mindspore as ms
import numpy as np
from PIL import Image

from mindvit.data.transforms import EvalTransform, eval_input
from mindvit.errors import UserError
from mindvit.factory import TrainedModel
from mindvit.models.attention_weights import AttentionWeights, HeadFusion, query_weights
from mindvit.models.vit_config import ViTConfig

_MIN_SIDE, _MAX_SIDE = 448, 1024
"""Least and greatest longer side of the area that ``evaluation_crop`` returns, in pixels."""
_BLOCKY = 4
"""Enlargement from which on pixels stay squares, so that nothing is seen that the network does not see."""


@dataclass(frozen=True)
class ImageAttention:
    """What a network attends to in one image."""

    logits: np.ndarray
    """Logits, float32 (num_classes,)."""
    rollout: np.ndarray
    """Attention rollout: share of each patch in the query, float64 (rows, columns). The sum is at most 1: class,
    distillation and register tokens have the rest."""
    heads: np.ndarray
    """Attention weight of each patch, for the query, in each head: float32 (depth, num_heads, rows, columns)."""

    @property
    def probabilities(self) -> np.ndarray:
        """Softmax of the logits, float64 (num_classes,)."""
        odds = np.exp(self.logits.astype(np.float64) - self.logits.max())
        return odds / odds.sum()


class AttentionMaps:
    """Computes attention maps of images, one after the other, with one compiled graph.

    Attention rollout (Abnar & Zuidema, 2020, https://arxiv.org/abs/2005.00928) follows the attention through all
    blocks. With the attention A of a block, fused over its heads, and its residual connection, the share of the inputs
    in the outputs of the block is A + I, with the sum of each row scaled to 1. The product over all blocks is the share
    of each patch in the query. The query is what the head of the network reads: the class token; the mean of class and
    distillation token of a distilled network; the mean of the patches with pool mean and mean_norm; the probe's own
    weights, averaged over its heads, with pool map.

    Feed-forward layers, values and the size of the residual are not part of it, so a map shows where information can
    come from; it is no proof of what decides.

    Args:
        model: the network and its metadata, as ``load_trained`` returns them.
        head_fusion: how the weights of the heads of a block become one: mean as in the paper, max or min.
        discard_ratio: fraction of the weights of each block, the smallest, that the rollout sets to 0; in [0, 1). 0 is
            the rollout of the paper.

    Raises:
        ValueError: if ``discard_ratio`` is outside [0, 1).
    """

    def __init__(self, model: TrainedModel, head_fusion: HeadFusion = "mean", discard_ratio: float = 0.0) -> None:
        check_discard_ratio(discard_ratio)
        self.config = model.metadata.model
        self.discard_ratio = discard_ratio
        self.patch_overlap = self.config.patch_size / (self.config.patch_stride or self.config.patch_size)
        model.network.set_train(False)
        self._cell = AttentionWeights(model.network, head_fusion).set_train(False)
        self._query = np.array(query_weights(model.network))

    def __call__(self, image: Image.Image) -> ImageAttention:
        """The attention in an image, with the preprocessing of evaluation.

        Args:
            image: RGB, of any size, as ``mindvit.data.images.read_image`` returns it.

        Raises:
            UserError: if the outputs of the network are not finite.
        """
        config = self.config
        pixels = eval_input(image, config.image_shape, config.preprocessing)
        logits, heads, fused, *probe = self._cell(ms.Tensor(pixels[None]))
        logits = logits.asnumpy()[0]
        if not np.isfinite(logits).all():
            raise UserError("the outputs of the network are not finite; the weights of the checkpoint are broken")
        query = probe[0].asnumpy()[0].mean(0) if probe else self._query
        shares = rollout([weights.asnumpy()[0] for weights in fused], query, self.discard_ratio)
        single = np.stack([weights.asnumpy()[0] for weights in heads])
        prefix = config.prefix_tokens
        return ImageAttention(
            logits,
            shares[prefix:].reshape(config.grid),
            single[:, :, prefix:].reshape(*single.shape[:2], *config.grid),
        )


def attention_rollout(
    model: TrainedModel, image: Image.Image, head_fusion: HeadFusion = "mean", discard_ratio: float = 0.0
) -> np.ndarray:
    """Attention rollout over an image, scaled to 0 (least attended patch) to 1 (most attended patch).

    Each call compiles a graph. For several images use ``AttentionMaps``.

    Args:
        model: the network and its metadata, as ``load_trained`` returns them.
        image: RGB, of any size, as ``mindvit.data.images.read_image`` returns it.
        head_fusion: as in ``AttentionMaps``.
        discard_ratio: as in ``AttentionMaps``.

    Returns:
        float64 (rows, columns) of patches, over the area that ``evaluation_crop`` returns.

    Raises:
        UserError: if the outputs of the network are not finite.
        ValueError: if ``discard_ratio`` is outside [0, 1).
    """
    return scaled(AttentionMaps(model, head_fusion, discard_ratio)(image).rollout)


def rollout(fused: list[np.ndarray], query: np.ndarray, discard_ratio: float = 0.0) -> np.ndarray:
    """Attention rollout of one image: the share of each input token in a mixture of output tokens.

    Args:
        fused: attention weights of each block, first block first, fused over the heads: (tokens, tokens), one row per
            query.
        query: the mixture: the share of each output token, (tokens,).
        discard_ratio: fraction of the weights of a block, the smallest, that are set to 0.

    Returns:
        float64 (tokens,), with the sum of ``query``.
    """
    shares = query.astype(np.float64)
    # From the last block to the first, so that a row is multiplied by matrices, not matrices by matrices.
    for weights in reversed(fused):
        weights = weights.astype(np.float64)
        discarded = int(weights.size * discard_ratio)
        if discarded:
            smallest = np.argpartition(weights, discarded - 1, axis=None)[:discarded]
            weights.flat[smallest] = 0
        # With the residual connection, A + I, whose rows are scaled to the sum 1.
        shares = shares / (weights.sum(1) + 1)
        shares = shares @ weights + shares
    return shares


def scaled(heat: np.ndarray) -> np.ndarray:
    """A map scaled linearly from its least and greatest value to 0 and 1; a map of one value becomes 0."""
    heat = heat.astype(np.float64)
    low, high = heat.min(), heat.max()
    return (heat - low) / (high - low) if high > low else np.zeros_like(heat)


def evaluation_crop(image: Image.Image, config: ViTConfig) -> Image.Image:
    """The area of an image that the network sees, at about the resolution of the image, for display.

    Args:
        image: RGB, in display orientation.
        config: configuration of the network, with its preprocessing.

    Returns:
        RGB, with the aspect ratio of the input of the network. Its longer side has 448 to 1,024 pixels.
    """
    box = EvalTransform(config.image_shape, config.preprocessing).crop_box((image.height, image.width))
    area = max(box[2] - box[0], box[3] - box[1])
    longer = min(max(area, _MIN_SIDE), _MAX_SIDE)
    height, width = (max(round(longer * side / max(config.image_shape)), 1) for side in config.image_shape)
    method = Image.Resampling.NEAREST if longer > _BLOCKY * area else Image.Resampling.BICUBIC
    return image.resize((width, height), method, box)


def overlay(
    image: Image.Image, heat: np.ndarray, colormap: str = "inferno", opacity: float = 0.5, patch_overlap: float = 1.0
) -> Image.Image:
    """Lays a map over an image.

    Args:
        image: RGB; the area that the map covers, as ``evaluation_crop`` returns it.
        heat: values from 0 to 1, (rows, columns), such as ``attention_rollout`` returns; interpolated bilinearly.
        colormap: name of a colormap of Matplotlib.
        opacity: of the map, from 0 to 1.
        patch_overlap: side of a patch divided by the distance between patches; 1 if patches do not overlap.

    Returns:
        RGB, of the size of the image.
    """
    import matplotlib  # The import takes a quarter of a second.

    # The center of the first patch is half a patch from the border, which is more than half a cell if patches overlap.
    margin = math.ceil(patch_overlap)
    padded = Image.fromarray(np.pad(heat, margin, mode="edge").astype(np.float32))
    start = margin + 0.5 - patch_overlap / 2
    box = (start, start, padded.width - start, padded.height - start)
    values = np.asarray(padded.resize(image.size, Image.Resampling.BILINEAR, box)).clip(0, 1)
    colors = matplotlib.colormaps[colormap](values)[:, :, :3]
    mixed = (1 - opacity) * np.asarray(image.convert("RGB")) + opacity * 255 * colors
    return Image.fromarray(mixed.round().astype(np.uint8))


def check_discard_ratio(discard_ratio: float) -> None:
    """Checks a discard ratio.

    Raises:
        ValueError: if it is outside [0, 1).
    """
    if not 0 <= discard_ratio < 1:
        raise ValueError(f"discard_ratio must be at least 0 and less than 1, not {discard_ratio}")
