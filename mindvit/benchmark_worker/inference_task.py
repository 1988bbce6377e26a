"""What is measured of the command infer."""

from typing import Any

import mindspore as ms

from mindvit.errors import UserError
from mindvit.factory import TrainedModel, create_model
from mindvit.inference.batched_pass import Answer, classify_files
from mindvit.inference.image_inputs import find_inputs
from mindvit.inference.predictor import Predictor
from mindvit.inference.video_frames import Interval
from mindvit.training.recipe import Recipe
from mindvit.weights.metadata import CheckpointMetadata

_TOP_K = 5


class InferenceTask:
    """A pass over files: read, decode, preprocess, classify, rank. Unreadable files are not counted.

    Args:
        recipe: model, batch size and number of workers.
        images: a folder of images.

    Raises:
        UserError: if none of them can be read.
    """

    def __init__(self, recipe: Recipe, images: str) -> None:
        network = create_model(recipe.model.name, checkpoint=recipe.model.checkpoint, **recipe.model.overrides())
        metadata = CheckpointMetadata(recipe.model.name, network.config, None)
        self.predictor = Predictor(TrainedModel(network, metadata), recipe.data.batch_size)
        self.files, _ = find_inputs([images])
        self.num_workers = recipe.data.num_workers
        self.facts: dict[str, Any] = {"versions": {"mindspore": ms.__version__}}
        self.images = self._pass()
        if self.images == 0:
            raise UserError(f"none of the images in {images} can be read")

    def step(self) -> None:
        """Classifies all images."""
        self._pass()

    def _pass(self) -> int:
        answers = classify_files(self.files, self.predictor, _TOP_K, Interval(seconds=1), self.num_workers)
        return sum(isinstance(answer, Answer) for answer in answers)
