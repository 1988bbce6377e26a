"""Classifies images with a trained network."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

import mindspore as ms
import numpy as np
from PIL import Image

from mindvit.data.images import read_image
from mindvit.data.transforms import eval_input
from mindvit.errors import UserError
from mindvit.factory import TrainedModel, load_trained
from mindvit.files import make_folder
from mindvit.printable import printable
from mindvit.runtime import RuntimeSettings, apply_amp, init_runtime
from mindvit.strict_json import dump_json
from mindvit.visualize.annotate import write_annotated_image

_MAX_NAME = 200
"""Characters of a class name that are printed."""
ImageLike = str | Path | Image.Image | np.ndarray
"""An image file, a PIL image, or an RGB array, uint8 (height, width, 3)."""


@dataclass(frozen=True)
class InferSettings:
    """An inference."""

    ckpt: str
    """Checkpoint: a path, or the name of a file in ckpt/."""
    image: str
    """Image file."""
    output: str | None = None
    """File to write the annotated image to; its extension sets the format. null writes none."""
    top_k: int = 5
    """Number of classes to report."""
    runtime: RuntimeSettings = field(default_factory=RuntimeSettings)
    download: bool = False
    """Download published weights that are missing."""

    def __post_init__(self) -> None:
        _check_top_k(self.top_k)


@dataclass(frozen=True)
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


def infer(settings: InferSettings, as_json: bool = False) -> list[Prediction]:
    """Classifies an image file, prints the ranked classes, and writes the annotated image if asked to.

    Raises:
        UserError: for a mistake in the settings, the checkpoint or the image.
    """
    runtime = init_runtime(settings.runtime)
    if settings.output:
        make_folder(Path(settings.output).parent)
    image = read_image(Path(settings.image))
    trained = load_trained(settings.ckpt, settings.download)
    network = apply_amp(trained.network, runtime).set_train(False)
    predictions = classify(image, TrainedModel(network, trained.metadata), settings.top_k)
    if settings.output:
        write_annotated_image(np.asarray(image), predictions, Path(settings.output))
    if as_json:
        ranked = [asdict(prediction) for prediction in predictions]
        print(dump_json({"image": settings.image, "predictions": ranked}, indent=2))
    else:
        for position, prediction in enumerate(predictions, 1):
            print(f"{position}. {printable(prediction.name, _MAX_NAME)}  {100 * prediction.probability:.2f} %")
        if settings.output:
            print(f"wrote {printable(settings.output)}")
    return predictions


def predict(
    images: ImageLike | Sequence[ImageLike], model: TrainedModel | str | Path, top_k: int = 5
) -> list[list[Prediction]]:
    """Classifies images, one after the other, with the preprocessing of the model.

    It uses the device and the mode (graph or PyNative) that MindSpore is set to, in float32.

    Args:
        images: one image or several; each is a file, a PIL image, or an RGB array, uint8 (height, width, 3).
        model: what ``load_trained`` returns, or a checkpoint: a path, or the name of a file in ``ckpt/``.
        top_k: number of classes to report for each image; at most all are.

    Returns:
        For each image its predictions, the most probable first.

    Raises:
        UserError: if a file cannot be read, or is corrupt, or an array is not RGB.
        ValueError: if ``top_k`` is less than 1.
    """
    _check_top_k(top_k)
    trained = model if isinstance(model, TrainedModel) else load_trained(str(model))
    trained.network.set_train(False)
    several = [images] if isinstance(images, str | Path | Image.Image | np.ndarray) else images
    return [classify(image, trained, top_k) for image in several]


def classify(image: ImageLike, model: TrainedModel, top_k: int = 5) -> list[Prediction]:
    """Ranks the classes of an image, with the preprocessing of evaluation.

    Args:
        image: a file, a PIL image, or an RGB array, uint8 (height, width, 3).
        model: a network in evaluation mode, and its metadata.
        top_k: number of classes to report; at most all are.

    Raises:
        UserError: if the file cannot be read, or is corrupt, if the array is not RGB, or if the outputs are not finite.
    """
    config, classes = model.metadata.model, model.metadata.classes
    pixels = eval_input(_rgb(image), config.image_shape, config.preprocessing)
    logits = model.network(ms.Tensor(pixels[None])).asnumpy()[0].astype(np.float64)
    if not np.isfinite(logits).all():
        raise UserError("the outputs of the network are not finite; the weights of the checkpoint are broken")
    odds = np.exp(logits - logits.max())
    probabilities = odds / odds.sum()
    return [
        Prediction(
            label=int(label),
            id=classes.ids[label] if classes else str(label),
            name=classes.names[label] if classes else f"class {label}",
            probability=float(probabilities[label]),
        )
        for label in np.argsort(-probabilities, kind="stable")[:top_k]
    ]


def _rgb(image: ImageLike) -> Image.Image:
    if isinstance(image, str | Path):
        return read_image(Path(image))
    if isinstance(image, Image.Image):
        return image if image.mode == "RGB" else image.convert("RGB")  # convert() would copy an RGB image.
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3:
        raise UserError(f"an image array must be RGB, uint8 (height, width, 3), not {image.dtype} {image.shape}")
    return Image.fromarray(image)


def _check_top_k(top_k: int) -> None:
    if top_k < 1:
        raise ValueError(f"top_k must be at least 1, not {top_k}")
