"""Classifies images for the page, one at a time, in one thread."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, BinaryIO

import numpy as np
from PIL import Image

from mindvit.classes import Classes
from mindvit.data.images import read_image
from mindvit.factory import TrainedModel, load_trained
from mindvit.printable import printable
from mindvit.runtime import RuntimeSettings, apply_amp, init_runtime
from mindvit.visualize.attention_maps import AttentionMaps, evaluation_crop, overlay, scaled
from mindvit.weights.metadata import CheckpointMetadata

_MAX_NAME = 100
"""Characters of a class name."""


@dataclass(frozen=True)
class Answer:
    """What the page shows about an image."""

    probabilities: dict[str, float]
    """Probability by class, the most probable first."""
    seen: Image.Image
    """The area that the network sees."""
    attention: Image.Image
    """Attention rollout over this area."""


class ImageClassifier:
    """A network that is compiled before its first image.

    All work is done in one thread: requests are served in their order, and MindSpore's settings, which belong to a
    thread, are those of ``runtime``.

    Args:
        ckpt: checkpoint: a path, or the name of a file in ``ckpt/``.
        runtime: device and precision.
        top_k: greatest number of classes of an answer.
        download: whether to download a published checkpoint that is missing.

    Raises:
        UserError: for a mistake in the settings or the checkpoint.
    """

    def __init__(self, ckpt: str, runtime: RuntimeSettings, top_k: int, download: bool = False) -> None:
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="network")
        self._top_k = top_k
        self._maps = self._in_thread(self._load, ckpt, runtime, download)

    def _load(self, ckpt: str, runtime: RuntimeSettings, download: bool) -> AttentionMaps:
        device = init_runtime(runtime)
        trained = load_trained(ckpt, download)
        self.metadata: CheckpointMetadata = trained.metadata
        self._names = display_names(trained.metadata.classes, trained.metadata.model.num_classes)
        maps = AttentionMaps(TrainedModel(apply_amp(trained.network, device), trained.metadata))
        maps(Image.new("RGB", maps.config.image_shape[::-1]))  # Compiles.
        return maps

    def classify(self, image: Image.Image) -> Answer:
        """The answer for an image in RGB.

        Raises:
            UserError: if the outputs of the network are not finite.
        """
        return self._in_thread(self._classify, image)

    def classify_file(self, file: BinaryIO, name: str) -> Answer:
        """The answer for an image file.

        Args:
            file: the file.
            name: its name, for messages.

        Raises:
            UserError: if it is no image that can be read; the message names the file.
        """
        # It is decoded in the thread too, so that several large images do not fill the memory at the same time.
        return self._in_thread(lambda: self._classify(read_image(file, name)))

    def close(self) -> None:
        """Ends the thread, after the work it is doing."""
        self._thread.shutdown(cancel_futures=True)

    def _classify(self, image: Image.Image) -> Answer:
        found = self._maps(image)
        best = np.argsort(-found.probabilities, kind="stable")[: self._top_k]
        seen = evaluation_crop(image, self._maps.config)
        heat = overlay(seen, scaled(found.rollout), patch_overlap=self._maps.patch_overlap)
        return Answer({self._names[label]: float(found.probabilities[label]) for label in best}, seen, heat)

    def _in_thread(self, action: Callable, *arguments: Any) -> Any:
        return self._thread.submit(action, *arguments).result()


def display_names(classes: Classes | None, count: int) -> list[str]:
    """A name for each output. Classes of the same name, such as ImageNet's two cranes, are told apart by their ids.

    Args:
        classes: the classes; None if they are not known.
        count: number of outputs.
    """
    if classes is None:
        return [f"class {label}" for label in range(count)]
    names = [printable(name, _MAX_NAME) for name in classes.names]
    return [
        name if names.count(name) == 1 else f"{name} ({printable(class_id, _MAX_NAME)})"
        for name, class_id in zip(names, classes.ids, strict=True)
    ]
