"""Extracts the features (embeddings) of a folder of images."""

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
from mindvit.graph_cache.cached_compile import cache_graphs
from mindvit.models.vit import ViT
from mindvit.models.vit_config import ViTConfig
from mindvit.printable import printable
from mindvit.runtime import RuntimeSettings, apply_amp, init_runtime


@dataclass(frozen=True)
class ExtractSettings:
    """An extraction of features."""

    ckpt: str
    """Checkpoint: a path, or the name of a file in ckpt/."""
    folder: str
    """Folder of images, subfolders included."""
    output: str
    """File to write, .npz: features, and files, the paths of the images relative to the folder."""
    block: int | None = None
    """Block whose output is extracted, from 0, or from the last with -1. null extracts the input of the head."""
    tokens: Literal["cls", "mean", "all"] | None = None
    """Tokens of the block's output: class token, mean of the patch tokens, or all tokens. null takes the class token,
    or mean if the model has none."""
    batch_size: int = 16
    """Images per batch."""
    num_workers: int = min(8, CORES)
    """Data workers: threads that read and preprocess images, at most one per core."""
    on_corrupt: Literal["error", "skip"] = "error"
    """What happens at an image that cannot be decoded: error ends the extraction, skip omits and reports it."""
    runtime: RuntimeSettings = field(default_factory=RuntimeSettings)
    download: bool = False
    """Download published weights that are missing."""

    def __post_init__(self) -> None:
        check_loading(self.batch_size, self.num_workers, group="")
        if self.block is None and self.tokens is not None:
            raise ValueError("tokens applies to the output of a block; choose a block with --block")
        if not self.output.endswith(".npz"):
            raise ValueError(f"output must end in .npz, not {self.output}")


class Features(nn.Cell):
    """Computes the features of a batch of images.

    Args:
        network: a network in evaluation mode.
        block: block whose output is returned, from 0; None returns the input of the head.
        tokens: tokens of the block's output: ``"cls"``, ``"mean"`` (of the patch tokens) or ``"all"``.

    Input: images, (batch, in_channels, height, width), normalized. Output: float32, (batch, width), or for all tokens
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
    """Writes the features of all images of a folder to one file, and prints a summary.

    Images are preprocessed as in evaluation, and sorted by path.

    Raises:
        UserError: for a mistake in the settings, the checkpoint or the folder.
    """
    runtime = init_runtime(settings.runtime)
    make_folder(Path(settings.output).parent)
    trained = load_trained(settings.ckpt, settings.download)
    config = trained.network.config
    block, tokens = _resolve_tokens(settings, config)
    split = open_unlabelled(Path(settings.folder))
    network = apply_amp(Features(trained.network, block, tokens), runtime).set_train(False)
    if runtime.compile_cache:
        cache_graphs(network)
    corrupt = CorruptImageLog() if settings.on_corrupt == "skip" else None
    batches = eval_pipeline(split, config, settings.batch_size, settings.num_workers, corrupt=corrupt)
    found, readable = [], []
    with reraise_decode_errors(split, option="--on_corrupt"), tqdm(total=len(split), unit="image", leave=False) as bar:
        for images, labels in batches.create_tuple_iterator(num_epochs=1):
            is_image = labels.asnumpy() != PADDING_LABEL
            found.append(network(images).asnumpy()[is_image])
            readable.append(is_image)
            bar.update(min(len(is_image), len(split) - bar.n))
    features = np.concatenate(found)
    if not len(features):
        raise UserError(f"{settings.folder} has no image that can be decoded")
    if not np.isfinite(features).all():
        raise UserError("the features are not finite; the weights of the checkpoint are broken")
    folder = Path(settings.folder)
    # Corrupt images and the padding of the last batch have no row.
    indices = np.flatnonzero(np.concatenate(readable))
    files = np.array([Path(split.describe(index)).relative_to(folder).as_posix() for index in indices])
    with replacing(Path(settings.output)) as temporary:
        np.savez_compressed(temporary, features=features, files=files)
    for name in sorted(corrupt.found) if corrupt else []:
        print(f"skipped, corrupt: {printable(name)}", file=sys.stderr)
    print(f"wrote {settings.output}: features {'x'.join(map(str, features.shape))} of {len(files):,} images")


def _resolve_tokens(settings: ExtractSettings, config: ViTConfig) -> tuple[int | None, str]:
    block, tokens = settings.block, settings.tokens
    if block is not None and not -config.depth <= block < config.depth:
        raise UserError(f"there is no block {block}; the network has {config.depth}, from 0 to {config.depth - 1}")
    if tokens == "cls" and not config.has_class_token:
        raise UserError("the network has no class token; use the mean of the patch tokens with --tokens mean")
    default = "cls" if config.has_class_token else "mean"
    return (None if block is None else block % config.depth), tokens or default
