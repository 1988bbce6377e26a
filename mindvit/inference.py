"""Naming what is on a picture."""

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path

import mindspore as ms
import numpy as np
from mindspore.dataset import transforms

from mindvit.data.pictures import read_picture
from mindvit.data.transforms import eval_transforms
from mindvit.errors import UserError
from mindvit.factory import TrainedModel, load_trained
from mindvit.files import make_folder
from mindvit.runtime import RuntimeSettings, start, with_precision
from mindvit.visualize.labels import write_labelled


@dataclass(frozen=True)
class InferSettings:
    """An inference."""

    ckpt: str
    """Checkpoint: a path, or the name of a file in ckpt/."""
    image: str
    """Picture file."""
    output: str | None = None
    """File that the picture is written to with its labels; its ending chooses the format."""
    top_k: int = 5
    """How many classes to name."""
    runtime: RuntimeSettings = field(default_factory=RuntimeSettings)
    download: bool = False
    """Fetch published weights that are missing."""

    def __post_init__(self) -> None:
        if self.top_k < 1:
            raise ValueError(f"top_k must be at least 1, not {self.top_k}")


@dataclass(frozen=True)
class Prediction:
    """One class that a picture may show."""

    label: int
    """Place among the network's outputs, from 0."""
    id: str
    """What tells the class apart in the data: a folder name, or a WordNet id."""
    name: str
    """What a person calls it."""
    probability: float
    """Softmax of its logit, 0 to 1."""


def infer(settings: InferSettings, as_json: bool = False) -> list[Prediction]:
    """Classifies a picture file, prints the ranked classes, and writes the labelled picture if asked to.

    Raises:
        UserError: for a mistake in the settings, the checkpoint or the picture.
    """
    runtime = start(settings.runtime)
    if settings.output:
        make_folder(Path(settings.output).parent)
    picture = np.asarray(read_picture(Path(settings.image)))
    trained = load_trained(settings.ckpt, settings.download)
    network = with_precision(trained.network, runtime).set_train(False)
    predictions = classify(picture, TrainedModel(network, trained.passport), settings.top_k)
    if settings.output:
        write_labelled(picture, predictions, Path(settings.output))
    if as_json:
        ranked = [asdict(prediction) for prediction in predictions]
        print(json.dumps({"image": settings.image, "predictions": ranked}, ensure_ascii=False, indent=2))
    else:
        for rank, prediction in enumerate(predictions, 1):
            print(f"{rank}. {prediction.name}  {100 * prediction.probability:.2f} %")
        if settings.output:
            print(f"wrote {settings.output}")
    return predictions


def classify(picture: np.ndarray, model: TrainedModel, top_k: int = 5) -> list[Prediction]:
    """Ranks the classes of a picture, prepared as for evaluation.

    Args:
        picture: RGB, uint8 (height, width, 3).
        model: a network in evaluation mode, and its passport.
        top_k: how many classes to name; at most all are.
    """
    config, classes = model.passport.model, model.passport.classes
    prepare = transforms.Compose(eval_transforms(config.image_shape, config.preprocessing))
    logits = model.network(ms.Tensor(prepare(picture)[None])).asnumpy()[0].astype(np.float64)
    if not np.isfinite(logits).all():
        raise UserError("the network's outputs are not finite numbers; the checkpoint's weights are broken")
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
