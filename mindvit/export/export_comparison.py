"""Compares an exported file with the network, on random images and on photographs."""

from collections.abc import Callable, Iterator, Sequence

import mindspore as ms
import numpy as np
from mindspore.dataset.transforms import Compose
from PIL import Image
from sklearn.datasets import load_sample_images

from mindvit.data.transforms import EvalTransform, to_input
from mindvit.errors import UserError
from mindvit.models.vit import ViT
from mindvit.models.vit_config import ViTConfig

TOLERANCE = 1e-4
"""Greatest difference of an output, in float32."""
DYNAMIC_BATCHES = (1, 3, 8)
"""Batch sizes that a file with a dynamic batch is run with."""
_RANDOM = 4


def comparison_images(config: ViTConfig) -> np.ndarray:
    """Images to compare with: uint8 noise, then two photographs and their mirror images, as the network sees them.

    The photographs are those that scikit-learn brings. A network that takes another number of channels than three gets
    their gray values in every channel.

    Returns:
        uint8 (8, height, width, channels).
    """
    rng, (height, width) = np.random.default_rng(0), config.image_shape
    noise = rng.integers(0, 256, (_RANDOM, height, width, config.in_channels), np.uint8)
    transform = EvalTransform(config.image_shape, config.preprocessing)
    photos = np.stack([transform(Image.fromarray(photo)) for photo in load_sample_images().images])
    if config.in_channels != 3:
        gray = photos.mean(-1, keepdims=True).astype(np.uint8)
        photos = np.repeat(gray, config.in_channels, -1)
    return np.concatenate([noise, photos, photos[:, :, ::-1]])


def network_inputs(images: np.ndarray, config: ViTConfig) -> np.ndarray:
    """Normalizes images of ``comparison_images``: float32 (n, channels, height, width)."""
    if config.in_channels != 3:
        return np.ascontiguousarray((images.astype(np.float32) / 127.5 - 1).transpose(0, 3, 1, 2))
    normalize = Compose(to_input(config.preprocessing))
    return np.stack([normalize(image) for image in images])


def expected_outputs(network: ViT, inputs: np.ndarray, probabilities: bool) -> np.ndarray:
    """The outputs of the network, float32 (n, classes).

    Raises:
        UserError: if they are not finite.
    """
    logits = network(ms.Tensor(inputs)).asnumpy().astype(np.float64)
    if not np.isfinite(logits).all():
        raise UserError("the outputs of the network are not finite; the weights of the checkpoint are broken")
    if probabilities:
        odds = np.exp(logits - logits.max(1, keepdims=True))
        logits = odds / odds.sum(1, keepdims=True)
    return logits.astype(np.float32)


def max_difference(
    run: Callable[[np.ndarray], np.ndarray], inputs: np.ndarray, expected: np.ndarray, batch_sizes: Sequence[int]
) -> float:
    """The greatest difference between the outputs of a file and those of the network.

    Args:
        run: runs the file on one batch.
        inputs: its inputs.
        expected: the outputs of the network for them.
        batch_sizes: sizes of the batches; each size runs all inputs.

    Raises:
        UserError: if it is above ``TOLERANCE``.
    """
    found = [np.abs(run_in_batches(run, inputs, size) - expected).max() for size in batch_sizes]
    difference = float(np.max(found))
    if not difference <= TOLERANCE:  # A comparison with NaN is false.
        raise UserError(
            f"the exported file differs from the network by {difference:.3g} (at most {TOLERANCE:g} is allowed), so it "
            "is not written; please report this with the settings of the model"
        )
    return difference


def batches_of(inputs: np.ndarray, size: int) -> Iterator[np.ndarray]:
    """Divides inputs into batches of one size; the last batch is filled with the first inputs again."""
    for start in range(0, len(inputs), size):
        yield np.take(inputs, range(start, start + size), axis=0, mode="wrap")


def run_in_batches(run: Callable[[np.ndarray], np.ndarray], inputs: np.ndarray, size: int) -> np.ndarray:
    """The outputs for all inputs, in batches of one size."""
    return np.concatenate([run(batch) for batch in batches_of(inputs, size)])[: len(inputs)]
