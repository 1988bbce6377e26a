"""Making networks: fresh ones by name, trained ones from a checkpoint."""

import warnings
from dataclasses import dataclass, replace
from typing import Any

from mindvit.classes import Classes
from mindvit.config import optional_settings
from mindvit.data.imagenet import imagenet_classes
from mindvit.errors import UserError
from mindvit.models.variants import model_config, name_in, override
from mindvit.models.vit import ViT
from mindvit.models.vit_config import Preprocessing, ViTConfig
from mindvit.weights.checkpoint import Checkpoint
from mindvit.weights.infer_config import matching_models
from mindvit.weights.layouts.detect import LAYOUTS
from mindvit.weights.load import load_tensors
from mindvit.weights.locate import find_checkpoint
from mindvit.weights.metadata import CheckpointMetadata
from mindvit.weights.read import read_weights
from mindvit.weights.resize_pos_embed import Method
from mindvit.weights.sidecar_config import read_sidecar_config

ModelOverrides = optional_settings(
    "ModelOverrides",
    "Overrides for the model configuration. null keeps the value from the model name or checkpoint.",
    ViTConfig,
    Preprocessing,
    leave_out=("in_channels", "num_classes", "preprocessing"),
)


@dataclass(frozen=True)
class ModelSettings(ModelOverrides):
    """Model name, initial weights, and overrides for the model configuration (null keeps the model's value)."""

    name: str = "vit_b_16_224"
    """Model name, one of those that mindvit.list_models() returns."""
    checkpoint: str | None = None
    """Weights to start from, of this project or another: a path, or the name of a file in ckpt/. null starts from
    random weights."""
    resize_pos_embed: Method = "bicubic"
    """How the position embeddings of the checkpoint are resized to another grid: bicubic as timm, bilinear as Google."""


@dataclass(frozen=True)
class TrainedModel:
    """A network with the weights and the metadata of a checkpoint."""

    network: ViT
    metadata: CheckpointMetadata


def create_model(
    name: str,
    *,
    num_classes: int | None = None,
    classes: Classes | None = None,
    image_size: int | tuple[int, int] | None = None,
    checkpoint: str | None = None,
    resize_pos_embed: Method = "bicubic",
    download: bool = False,
    **overrides: Any,
) -> ViT:
    """Makes a Vision Transformer by name.

    Weights may be this project's or another's, in whatever format and layout ``mindvit.weights`` knows. The network
    then computes as the one that they were trained in, unless the overrides say otherwise. A warning tells whatever was
    not loaded as it is: a head for other classes starts fresh, positions are resized.

    Args:
        name: one of ``mindvit.list_models()``.
        num_classes: outputs of the head; by default 1000, or as many as the checkpoint has.
        classes: what the head shall tell apart, in place of their number.
        image_size: side of the square input image, or its height and width, in pixels; by default the name's.
        checkpoint: weights to load, a path or the name of a file in ``ckpt/``; by default they are fresh.
        resize_pos_embed: how positions are resized to another grid: see ``mindvit.weights.resize_pos_embed.resize_grid``.
        download: whether to fetch a published checkpoint that is missing.
        overrides: other fields of ``mindvit.models.ViTConfig`` or ``mindvit.models.Preprocessing``.

    Raises:
        UserError: for an unknown name or setting (naming the nearest), sizes that do not fit, or a checkpoint that
            does not fit the network.
    """
    loaded = read_weights(find_checkpoint(checkpoint, download)) if checkpoint else None
    outputs = num_classes if classes is None else len(classes)
    given = {"num_classes": outputs, "image_size": image_size}
    given = {key: value for key, value in given.items() if value is not None}
    network = ViT(model_settings(name, loaded, **given, **overrides))
    if loaded is not None:
        own = classes_of(loaded)
        others = classes is not None and own is not None and own.ids != classes.ids
        _say(loaded, load_tensors(network, loaded, resize_pos_embed, fresh_head=others))
    return network


def load_trained(checkpoint: str, download: bool = False, **overrides: Any) -> TrainedModel:
    """Makes the network of a checkpoint and loads it, recognising it by its metadata, else by its file name.

    Args:
        checkpoint: a path, or the name of a file in ``ckpt/``.
        download: whether to fetch a published file that is missing.
        overrides: fields of ``mindvit.models.ViTConfig`` that shall be otherwise than the checkpoint's.

    Raises:
        UserError: if the file is missing, damaged, not recognised, or does not fit the network it should hold.
    """
    loaded = read_weights(find_checkpoint(checkpoint, download))
    metadata = loaded.metadata or _metadata_by_name(loaded)
    metadata = replace(metadata, model=_override(metadata.model, overrides))
    network = ViT(metadata.model)
    _say(loaded, load_tensors(network, loaded))
    return TrainedModel(network, metadata)


def load_weights(
    model: ViT, file: str, *, resize_pos_embed: Method = "bicubic", strict: bool = True, download: bool = False
) -> ViT:
    """Loads a file of weights, this project's or another's, into a model that is there already.

    The model then computes as the network that they were trained in: epsilon of the norms, form of the GELU, and how
    its images are prepared are set accordingly in its ``config``. Warnings tell whatever was not loaded as it is.

    Args:
        model: changed in place.
        file: a path, or the name of a file in ``ckpt/``.
        resize_pos_embed: how positions are resized to another grid: see ``mindvit.weights.resize_pos_embed.resize_grid``.
        strict: whether tensors that are missing or left over are an error.
        download: whether to fetch a published file that is missing.

    Returns:
        The model.

    Raises:
        UserError: if the file is missing, damaged, not recognised, or for another network; nothing is loaded then.
    """
    loaded = read_weights(find_checkpoint(file, download))
    try:
        settings = override(model.config, **_origin(loaded, model.config))
    except ValueError as error:
        raise UserError(f"{loaded.path}: {error}") from error
    notes = load_tensors(model, loaded, resize_pos_embed, strict)
    model.apply_numerics(settings)
    _say(loaded, notes)
    return model


def model_settings(name: str, loaded: Checkpoint | None = None, **overrides: Any) -> ViTConfig:
    """The settings of a network by its name, by the weights that it is made for, and by overrides, the last first.

    Raises:
        UserError: for an unknown name or setting (naming the nearest), or sizes that do not fit.
    """
    try:
        config = model_config(name)
        if loaded is not None:
            if loaded.metadata is not None and loaded.metadata.model_name == name:
                config = loaded.metadata.model
            config = override(config, **_origin(loaded, config))
            classes = _classes_of_head(loaded)
            config = config if classes is None else override(config, num_classes=classes)
    except ValueError as error:
        raise UserError(str(error)) from error
    return _override(config, overrides)


def classes_of(loaded: Checkpoint) -> Classes | None:
    """The classes that a file of weights tells apart, where it or its sidecars name them or they are ImageNet's."""
    if loaded.metadata is not None:
        return loaded.metadata.classes
    outputs, named = _classes_of_head(loaded), read_sidecar_config(loaded.path)[1]
    if named is not None and len(named) == outputs:
        return named
    return imagenet_classes() if outputs == len(imagenet_classes()) else None


def _origin(loaded: Checkpoint, config: ViTConfig) -> dict[str, Any]:
    """How the network that a file's weights were trained in computes, and how its images are prepared."""
    if loaded.metadata is not None:
        trained = loaded.metadata.model
        return {"norm_eps": trained.norm_eps, "gelu": trained.gelu, "preprocessing": trained.preprocessing}
    found = {"norm_eps": loaded.layout.norm_eps, "gelu": loaded.layout.gelu}
    side = max(config.image_shape)
    # A name such as deit_* stands for its own preparation; a plain ViT's depends on who trained it.
    if any(config.preprocessing == layout.preprocessing(side) for layout in LAYOUTS):
        found["preprocessing"] = loaded.layout.preprocessing(side)
    return found | read_sidecar_config(loaded.path)[0]


def _override(config: ViTConfig, overrides: dict[str, Any]) -> ViTConfig:
    try:
        return override(config, **overrides)
    except ValueError as error:
        raise UserError(str(error)) from error


def _metadata_by_name(loaded: Checkpoint) -> CheckpointMetadata:
    name = name_in(loaded.path.name)
    if name is None:
        fitting = ", ".join(matching_models(loaded.tensors))
        raise UserError(
            f"{loaded.path} does not say which model it holds; put the model's name into the file's, "
            f"as in vit_b_16_224.ckpt, or convert it with convert.py" + (f" (it fits {fitting})" if fitting else "")
        )
    return make_metadata(name, loaded, model_settings(name, loaded))


def make_metadata(name: str, loaded: Checkpoint, config: ViTConfig) -> CheckpointMetadata:
    """The metadata of another program's weights under one of our names."""
    classes = classes_of(loaded)
    is_imagenet = classes is not None and classes.ids == imagenet_classes().ids
    source = {"data_source": "imagenet"} if is_imagenet else {}
    return CheckpointMetadata(model_name=name, model=config, classes=classes, origin=loaded.layout.name, **source)


def _classes_of_head(loaded: Checkpoint) -> int | None:
    weights = loaded.tensors.get("dense.weight")
    return weights.shape[0] if weights is not None and weights.ndim == 2 else None


def _say(loaded: Checkpoint, notes: list[str]) -> None:
    for note in notes:
        warnings.warn(f"{loaded.path}: {note}", stacklevel=3)
