"""What is measured of input pipelines: this project's, alone or in front of the training step, and MindSpore's own."""

import time
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import mindspore as ms
import mindspore.dataset as ds
import numpy as np
from mindspore import Tensor, nn
from mindspore.dataset import vision

from mindvit.data.image_cache import cache_images
from mindvit.data.pipeline import train_pipeline
from mindvit.data.transforms import to_input
from mindvit.factory import resolve_config
from mindvit.runtime import Runtime
from mindvit.training.recipe import Recipe
from mindvit.training.setup import sampling_plan, training_source

_INTERPOLATIONS = {
    "nearest": vision.Inter.NEAREST,
    "bilinear": vision.Inter.BILINEAR,
    "bicubic": vision.Inter.BICUBIC,
}


class _Pass:
    """A pass over some images of a dataset.

    The first batch is not timed: it comes after the start of the threads. Queues are empty then, because what takes
    the batches out is never slower than the pipeline, unless it is a training step.
    """

    def __init__(self, dataset: ds.Dataset, batch_size: int, images: int) -> None:
        self.dataset = dataset
        self.batches = -(-images // batch_size)
        self.images = self.batches * batch_size
        self.facts: dict[str, Any] = {"versions": {"mindspore": ms.__version__}}

    def step(self) -> float:
        """Seconds of a pass, without its first batch."""
        epochs = -(-(self.batches + 1) // self.dataset.get_dataset_size())
        iterator = self.dataset.create_tuple_iterator(num_epochs=epochs, output_numpy=True, do_copy=False)
        batches = (batch for _ in range(epochs) for batch in iterator)
        self.use(next(batches))
        started = time.perf_counter()
        self.take(batches)
        seconds = time.perf_counter() - started
        iterator.stop()
        return seconds

    def take(self, batches: Iterator[list[np.ndarray]]) -> None:
        """Takes the batches of a pass."""
        for _ in range(self.batches):
            self.use(next(batches))

    def use(self, batch: list[np.ndarray]) -> None:
        """What is done with a batch."""


class PipelineTask(_Pass):
    """The training pipeline of a recipe.

    Args:
        recipe: the recipe.
        runtime: device and precision.
        images: images of a step.
        step: the training step that takes the batches; None: nothing does.
    """

    def __init__(self, recipe: Recipe, runtime: Runtime, images: int, step: nn.Cell | None = None) -> None:
        source = training_source(recipe)
        source = cache_images(source) if recipe.data.cache == "ram" else source
        augment = recipe.augment
        augment = replace(augment, flip=source.train.flip if augment.flip is None else augment.flip)
        config = resolve_config(recipe.model.name, **recipe.model.overrides())
        plan = sampling_plan(recipe, source, runtime)
        dataset = train_pipeline(source.train, config, augment, plan, recipe.data.num_workers)
        super().__init__(dataset, plan.batch_size, images)
        self.train_step = step

    def use(self, batch: list[np.ndarray]) -> None:
        """Trains with a batch, if there is a training step."""
        if self.train_step is not None:
            self.train_step(*map(Tensor, batch))[0].asnumpy()


class StockPipelineTask(_Pass):
    """MindSpore's own operators on an image folder: ``RandomCropDecodeResize``, flip, ``Normalize``, ``HWC2CHW``.

    Args:
        recipe: the recipe.
        folder: the folder of the training images, with a sub-folder for each class.
        images: images of a step.
    """

    def __init__(self, recipe: Recipe, folder: str, images: int) -> None:
        augment, workers = recipe.augment, recipe.data.num_workers
        config = resolve_config(recipe.model.name, **recipe.model.overrides())
        interpolation = _INTERPOLATIONS[config.preprocessing.interpolation]
        dataset = ds.ImageFolderDataset(folder, num_parallel_workers=workers, shuffle=True)
        crop = vision.RandomCropDecodeResize(config.image_shape, augment.crop_scale, augment.crop_ratio, interpolation)
        flip = [vision.RandomHorizontalFlip()] if augment.flip is not False else []
        operations = [crop, *flip, *to_input(config.preprocessing)]
        dataset = dataset.map(operations, "image", num_parallel_workers=workers)
        batch = recipe.data.batch_size * recipe.train.accumulate_steps
        super().__init__(dataset.batch(batch, drop_remainder=True), batch, images)
