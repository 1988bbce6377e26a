"""From images to ranked classes."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import mindspore as ms
import numpy as np
from mindspore.dataset.transforms import Compose
from PIL import Image

from mindvit.data.images import read_image
from mindvit.data.transforms import EvalTransform, to_input
from mindvit.errors import UserError
from mindvit.factory import TrainedModel, load_trained

ImageLike = str | Path | Image.Image | np.ndarray
"""An image file, a PIL image, or an RGB array, uint8 (height, width, 3)."""


@dataclass(frozen=True, slots=True)
class Prediction:
    """A class of an image, with its probability."""

    label: int
    """Index of the network's output, from 0."""
    id: str
    """Class id: a folder name, or a WordNet id."""
    name: str
    """Class name, for display."""
    probability: float
    """Softmax of the logit, 0 to 1."""


class Predictor:
    """Ranks the classes of images, with the preprocessing of evaluation.

    Every batch has the same size, so that MindSpore compiles one graph: missing images are blank. An image gets the
    same predictions whatever else is in its batch. Another batch size, or another place in the batch, changes the order
    in which the CPU adds products: logits differ by up to about 3e-6 then, probabilities by up to 1e-6.

    Args:
        model: a network, which is set to evaluation mode, and its metadata.
        batch_size: images per batch.
    """

    def __init__(self, model: TrainedModel, batch_size: int = 1) -> None:
        config = model.metadata.model
        self.batch_size = batch_size
        self.network = model.network.set_train(False)
        self.classes = model.metadata.classes
        self.blank = np.zeros((batch_size, 3, *config.image_shape), np.float32)
        self._transform = EvalTransform(config.image_shape, config.preprocessing)
        self._to_input = Compose(to_input(config.preprocessing))

    def input(self, image: Image.Image) -> np.ndarray:
        """The network input of an RGB image, float32 (3, height, width). Several threads may call it."""
        return self._to_input(self._transform(image))

    def probabilities(self, inputs: Sequence[np.ndarray]) -> np.ndarray:
        """The softmax of the logits.

        Args:
            inputs: what ``input`` returns for 1 to ``batch_size`` images.

        Returns:
            float64 (images, classes).

        Raises:
            UserError: if the outputs are not finite.
        """
        batch = self.blank.copy()
        batch[: len(inputs)] = inputs
        logits = self.network(ms.Tensor(batch)).asnumpy()[: len(inputs)].astype(np.float64)
        if not np.isfinite(logits).all():
            raise UserError("the outputs of the network are not finite; the weights of the checkpoint are broken")
        odds = np.exp(logits - logits.max(1, keepdims=True))
        return odds / odds.sum(1, keepdims=True)

    def rank(self, probabilities: np.ndarray, top_k: int) -> list[Prediction]:
        """The most probable classes of an image, at most ``top_k``, the best first."""
        classes = self.classes
        return [
            Prediction(
                label=int(label),
                id=classes.ids[label] if classes else str(label),
                name=classes.names[label] if classes else f"class {label}",
                probability=float(probabilities[label]),
            )
            for label in np.argsort(-probabilities, kind="stable")[:top_k]
        ]


def predict(
    images: ImageLike | Sequence[ImageLike], model: TrainedModel | str | Path, top_k: int = 5, batch_size: int = 1
) -> list[list[Prediction]]:
    """Classifies images, with the preprocessing of the model.

    It uses the device and the mode (graph or PyNative) that MindSpore is set to, in float32.

    Args:
        images: one image or several; each is a file, a PIL image, or an RGB array, uint8 (height, width, 3).
        model: what ``load_trained`` returns, or a checkpoint: a path, or the name of a file in ``ckpt/``.
        top_k: number of classes to report for each image; at most all are.
        batch_size: images per batch. More are faster, above all on an NPU, and each size compiles a graph. With another
            batch size probabilities differ by up to 1e-6.

    Returns:
        For each image its predictions, the most probable first.

    Raises:
        UserError: if a file cannot be read, or is corrupt, or an array is not RGB.
        ValueError: if ``top_k`` or ``batch_size`` is less than 1.
    """
    check_top_k(top_k)
    if batch_size < 1:
        raise ValueError(f"batch_size must be at least 1, not {batch_size}")
    trained = model if isinstance(model, TrainedModel) else load_trained(str(model))
    several = [images] if isinstance(images, str | Path | Image.Image | np.ndarray) else images
    predictor = Predictor(trained, batch_size)
    ranked = []
    for first in range(0, len(several), batch_size):
        inputs = [predictor.input(_rgb(image)) for image in several[first : first + batch_size]]
        ranked += [predictor.rank(row, top_k) for row in predictor.probabilities(inputs)]
    return ranked


def classify(image: ImageLike, model: TrainedModel, top_k: int = 5) -> list[Prediction]:
    """Ranks the classes of an image.

    Args:
        image: a file, a PIL image, or an RGB array, uint8 (height, width, 3).
        model: a network and its metadata.
        top_k: number of classes to report; at most all are.

    Raises:
        UserError: if the file cannot be read, or is corrupt, if the array is not RGB, or if the outputs are not finite.
    """
    return predict([image], model, top_k)[0]


def check_top_k(top_k: int) -> None:
    """Refuses less than one class.

    Raises:
        ValueError: if ``top_k`` is less than 1.
    """
    if top_k < 1:
        raise ValueError(f"top_k must be at least 1, not {top_k}")


def _rgb(image: ImageLike) -> Image.Image:
    if isinstance(image, str | Path):
        return read_image(Path(image))
    if isinstance(image, Image.Image):
        return image if image.mode == "RGB" else image.convert("RGB")  # convert() would copy an RGB image.
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3:
        raise UserError(f"an image array must be RGB, uint8 (height, width, 3), not {image.dtype} {image.shape}")
    return Image.fromarray(image)
