"""Embeddings of a folder of images."""

import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import mindspore as ms
import numpy as np
from mindspore import nn
from tqdm import tqdm

from mindvit.data.corrupt_images import CorruptImageLog, reraise_decode_errors
from mindvit.data.folder import open_unlabelled
from mindvit.data.pipeline import eval_pipeline
from mindvit.data.settings import CORES, check_loading
from mindvit.data.split import PADDING_LABEL
from mindvit.errors import UserError
from mindvit.factory import load_trained
from mindvit.files import make_folder, replacing
from mindvit.models.vit import ViT
from mindvit.models.vit_config import ViTConfig
from mindvit.runtime import RuntimeSettings, apply_amp, init_runtime


@dataclass(frozen=True)
class ExtractSettings:
    """An extraction of features."""

    ckpt: str
    """Checkpoint: a path, or the name of a file in ckpt/."""
    folder: str
    """Folder of images; those of its subfolders count too."""
    output: str
    """File to write, .npz: features, and files, the images' paths within the folder."""
    block: int | None = None
    """Block whose output is taken, from 0, or from the last with -1; by default what the head classifies."""
    tokens: Literal["cls", "mean", "all"] | None = None
    """With block: the class token (the default where there is one), the mean of the patches, or all tokens."""
    batch_size: int = 16
    """Images that go through the network at once."""
    num_workers: int = min(8, CORES)
    """Threads that prepare images, at most one a core."""
    on_corrupt: Literal["error", "skip"] = "error"
    """What an image that cannot be decoded does: end the extraction, or be left out and named."""
    runtime: RuntimeSettings = field(default_factory=RuntimeSettings)
    download: bool = False
    """Fetch published weights that are missing."""

    def __post_init__(self) -> None:
        check_loading(self.batch_size, self.num_workers, group="")
        if self.block is None and self.tokens is not None:
            raise ValueError("tokens is for the output of a block; choose one with --block")
        if not self.output.endswith(".npz"):
            raise ValueError(f"output must end in .npz, and not be {self.output}")


class Features(nn.Cell):
    """The features that are asked for, of a batch of images.

    Args:
        network: in evaluation.
        block: whose output is taken, from 0; None takes what the head classifies.
        tokens: of a block's output ``"cls"``, ``"mean"`` (of the patches) or ``"all"``.

    Input: images, (batch, in_channels, height, width), normalised. Output: float32, (batch, width), or for all tokens
    (batch, tokens, width).
    """

    def __init__(self, network: ViT, block: int | None = None, tokens: str = "cls") -> None:
        super().__init__(auto_prefix=False)
        self.network = network
        self.block = block
        self.tokens = tokens
        self.prefix_tokens = network.config.prefix_tokens

    def construct(self, images):
        if self.block is None:
            x = self.network.pooled(self.network.encode(images))
        else:
            x = self.network.embed(images)
            for index in range(self.block + 1):
                x = self.network.transformer.layers[index](x)
            if self.tokens == "cls":
                x = x[:, 0]
            elif self.tokens == "mean":
                x = x[:, self.prefix_tokens :].mean(1)
        return x.astype(ms.float32)


def extract(settings: ExtractSettings) -> None:
    """Writes the features of all images of a folder into one file, and prints what was written.

    The images are prepared as for evaluation, and stand in the order of their paths.

    Raises:
        UserError: for a mistake in the settings, the checkpoint or the folder.
    """
    runtime = init_runtime(settings.runtime)
    make_folder(Path(settings.output).parent)
    trained = load_trained(settings.ckpt, settings.download)
    config = trained.network.config
    block, tokens = _choose(settings, config)
    images = open_unlabelled(Path(settings.folder))
    network = apply_amp(Features(trained.network, block, tokens), runtime).set_train(False)
    corrupt = CorruptImageLog() if settings.on_corrupt == "skip" else None
    batches = eval_pipeline(images, config, settings.batch_size, settings.num_workers, corrupt=corrupt)
    found, sound = [], []
    with reraise_decode_errors(images), tqdm(total=len(images), unit="image", leave=False) as bar:
        for images, labels in batches.create_tuple_iterator(num_epochs=1):
            counts = labels.asnumpy() != PADDING_LABEL
            found.append(network(images).asnumpy()[counts])
            sound.append(counts)
            bar.update(min(len(counts), len(images) - bar.n))
    features = np.concatenate(found)
    if not len(features):
        raise UserError(f"{settings.folder} has no image that can be decoded")
    if not np.isfinite(features).all():
        raise UserError("the features are not finite numbers; the checkpoint's weights are broken")
    folder = Path(settings.folder)
    # The last batch is filled up with blanks, beyond the images that there are.
    places = np.flatnonzero(np.concatenate(sound))
    files = np.array([Path(images.describe(place)).relative_to(folder).as_posix() for place in places])
    with replacing(Path(settings.output)) as temporary:
        np.savez_compressed(temporary, features=features, files=files)
    left_out = sorted(corrupt.found) if corrupt else []
    for name in left_out:
        print(f"left out, damaged: {name}", file=sys.stderr)
    print(f"wrote {settings.output}: features {'x'.join(map(str, features.shape))} of {len(files):,} images")


def _choose(settings: ExtractSettings, config: ViTConfig) -> tuple[int | None, str]:
    block, tokens = settings.block, settings.tokens
    if block is not None and not -config.depth <= block < config.depth:
        raise UserError(f"there is no block {block}; the network has {config.depth}, from 0 to {config.depth - 1}")
    if tokens == "cls" and not config.has_class_token:
        raise UserError("the network has no class token; take the mean of the patches with --tokens mean")
    default = "cls" if config.has_class_token else "mean"
    return (None if block is None else block % config.depth), tokens or default
