"""Creates models by name, and loads trained models from checkpoints."""

import warnings
from dataclasses import dataclass, replace
from typing import Any

from mindvit.analysis.host_memory import check_fits
from mindvit.classes import Classes
from mindvit.config import optional_settings
from mindvit.data.imagenet import imagenet_classes
from mindvit.errors import UserError
from mindvit.models.variants import model_config, name_in, override
from mindvit.models.vit import ViT
from mindvit.models.vit_config import Preprocessing, ViTConfig
from mindvit.runtime import use_default_kernels
from mindvit.weights.checkpoint import Checkpoint
from mindvit.weights.infer_config import matching_models
from mindvit.weights.layouts.detect import LAYOUTS
from mindvit.weights.load import load_tensors
from mindvit.weights.locate import find_checkpoint
from mindvit.weights.metadata import FORMER_RESIZE_NOTE, CheckpointMetadata
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
    """Model name, initial weights, and overrides of the model.

    null keeps the value of the named model, or of the checkpoint.
    """

    name: str = "vit_b_16_224"
    """Model name, one of those that mindvit.list_models() returns."""
    checkpoint: str | None = None
    """Weights to start from, of this project or another: a path, or the name of a file in ckpt/. null starts from
    random weights."""
    resize_pos_embed: Method = "bicubic"
    """How position embeddings of the checkpoint are resized to another grid: bicubic as timm, bilinear as Google."""


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
    """Creates a Vision Transformer by name.

    The checkpoint may be of this project or of another library, in any format and layout that ``mindvit.weights``
    knows. The network then has the numerics (GELU, epsilon) and the preprocessing that the weights were trained with,
    unless the overrides set others. Everything that is adapted is reported as a warning: a head for other classes is
    newly initialized, position embeddings are resized to the grid of the model.

    Args:
        name: model name, one of ``mindvit.list_models()``.
        num_classes: outputs of the head; by default those of the checkpoint, or 1000 without one.
        classes: classes of the head, instead of their number.
        image_size: side of the square input image, or its height and width, in pixels; by default the model's.
        checkpoint: weights to load: a path, or the name of a file in ``ckpt/``; by default the weights are random.
        resize_pos_embed: how position embeddings are resized to another grid: see
            ``mindvit.weights.resize_pos_embed.resize_grid``.
        download: whether to download a published checkpoint that is missing.
        overrides: other fields of ``mindvit.models.ViTConfig`` or ``mindvit.models.Preprocessing``.

    Raises:
        UserError: for an unknown name or setting (the message names the nearest), incompatible sizes, or a checkpoint
            that does not fit the network.
    """
    loaded = read_weights(find_checkpoint(checkpoint, download)) if checkpoint else None
    outputs = num_classes if classes is None else len(classes)
    given = {"num_classes": outputs, "image_size": image_size}
    given = {key: value for key, value in given.items() if value is not None}
    config = resolve_config(name, loaded, **given, **overrides)
    check_fits(config)
    use_default_kernels()
    network = ViT(config)
    if loaded is not None:
        trained = checkpoint_classes(loaded)
        reset_head = classes is not None and trained is not None and trained.ids != classes.ids
        _warn(loaded, load_tensors(network, loaded, resize_pos_embed, reset_head=reset_head))
    return network


def load_trained(checkpoint: str, download: bool = False, **overrides: Any) -> TrainedModel:
    """Creates the network of a checkpoint and loads its weights.

    The metadata of the checkpoint gives the model name. A file without metadata must have the model name in its own
    name.

    Args:
        checkpoint: a path, or the name of a file in ``ckpt/``.
        download: whether to download a published file that is missing.
        overrides: fields of ``mindvit.models.ViTConfig`` that replace those of the checkpoint.

    Raises:
        UserError: if the file is missing, corrupt or of no known layout, if its model is not known, or if it does not
            fit that model.
    """
    loaded = read_weights(find_checkpoint(checkpoint, download))
    metadata = loaded.metadata or _metadata_by_name(loaded)
    metadata = replace(metadata, model=_override(metadata.model, overrides))
    check_fits(metadata.model)
    use_default_kernels()
    network = ViT(metadata.model)
    notes = load_tensors(network, loaded)
    _warn(loaded, [*notes, FORMER_RESIZE_NOTE] if metadata.former_resize else notes)
    return TrainedModel(network, metadata)


def load_weights(
    model: ViT, file: str, *, resize_pos_embed: Method = "bicubic", strict: bool = True, download: bool = False
) -> ViT:
    """Loads a weights file, of this project or of another library, into an existing model.

    The model also takes the numerics and the preprocessing that the weights were trained with: epsilon of the norms,
    form of the GELU, and ``preprocessing`` in its ``config``. Everything that is adapted is reported as a warning.

    Args:
        model: the model, changed in place.
        file: a path, or the name of a file in ``ckpt/``.
        resize_pos_embed: how position embeddings are resized to another grid: see
            ``mindvit.weights.resize_pos_embed.resize_grid``.
        strict: whether missing and unexpected tensors are an error.
        download: whether to download a published file that is missing.

    Returns:
        The model.

    Raises:
        UserError: if the file is missing, corrupt, of no known layout, or for another network; the model is unchanged
            then.
    """
    loaded = read_weights(find_checkpoint(file, download))
    try:
        settings = override(model.config, **_trained_settings(loaded, model.config))
    except ValueError as error:
        raise UserError(f"{loaded.path}: {error}") from error
    notes = load_tensors(model, loaded, resize_pos_embed, strict)
    model.apply_numerics(settings)
    _warn(loaded, notes)
    return model


def resolve_config(name: str, loaded: Checkpoint | None = None, **overrides: Any) -> ViTConfig:
    """The configuration of a network: overrides first, then the settings of the checkpoint, then those of the name.

    Raises:
        UserError: for an unknown name or setting (the message names the nearest), or incompatible sizes.
    """
    try:
        config = model_config(name)
        if loaded is not None:
            if loaded.metadata is not None and loaded.metadata.model_name == name:
                config = loaded.metadata.model
            config = override(config, **_trained_settings(loaded, config))
            outputs = _head_outputs(loaded)
            config = config if outputs is None else override(config, num_classes=outputs)
    except ValueError as error:
        raise UserError(str(error)) from error
    return _override(config, overrides)


def checkpoint_classes(loaded: Checkpoint) -> Classes | None:
    """The classes of a checkpoint: from its metadata or sidecar config, or ImageNet's if it has 1000; else None."""
    if loaded.metadata is not None:
        return loaded.metadata.classes
    outputs, named = _head_outputs(loaded), read_sidecar_config(loaded.path)[1]
    if named is not None and len(named) == outputs:
        return named
    return imagenet_classes() if outputs == len(imagenet_classes()) else None


def _trained_settings(loaded: Checkpoint, config: ViTConfig) -> dict[str, Any]:
    """The numerics and the preprocessing that the weights of a checkpoint were trained with."""
    if loaded.metadata is not None:
        trained = loaded.metadata.model
        return {"norm_eps": trained.norm_eps, "gelu": trained.gelu, "preprocessing": trained.preprocessing}
    found = {"norm_eps": loaded.layout.norm_eps, "gelu": loaded.layout.gelu}
    side = max(config.image_shape)
    # A model such as deit_* has its own preprocessing. That of a plain ViT depends on who trained it.
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
            f"{loaded.path} does not name its model; put the model name into the file name, "
            f"as in vit_b_16_224.ckpt, or convert it with convert.py" + (f" (it fits {fitting})" if fitting else "")
        )
    return make_metadata(name, loaded, resolve_config(name, loaded))


def make_metadata(name: str, loaded: Checkpoint, config: ViTConfig) -> CheckpointMetadata:
    """The metadata for weights of another program.

    Args:
        name: model name.
        loaded: the weights, without metadata.
        config: configuration of the network.
    """
    classes = checkpoint_classes(loaded)
    is_imagenet = classes is not None and classes.ids == imagenet_classes().ids
    source = {"data_source": "imagenet"} if is_imagenet else {}
    return CheckpointMetadata(model_name=name, model=config, classes=classes, origin=loaded.layout.name, **source)


def _head_outputs(loaded: Checkpoint) -> int | None:
    weights = loaded.tensors.get("dense.weight")
    return weights.shape[0] if weights is not None and weights.ndim == 2 and weights.size else None


def _warn(loaded: Checkpoint, notes: list[str]) -> None:
    for note in notes:
        warnings.warn(f"{loaded.path}: {note}", stacklevel=3)
