"""Making networks: fresh ones by name, trained ones from a checkpoint."""

import warnings
from dataclasses import asdict, dataclass, fields, replace
from typing import Any, Literal

from mindvit.data.imagenet import shipped_classes
from mindvit.data.split import Classes
from mindvit.errors import UserError
from mindvit.models.config import ViTConfig
from mindvit.models.variants import model_config, name_in, override
from mindvit.models.vit import ViT
from mindvit.weights.checkpoint import Checkpoint
from mindvit.weights.companions import read_companions
from mindvit.weights.facts import fitting_models
from mindvit.weights.layouts.recognise import LAYOUTS
from mindvit.weights.loading import load_tensors
from mindvit.weights.locate import find_checkpoint
from mindvit.weights.passport import Passport
from mindvit.weights.reading import read_weights
from mindvit.weights.resizing import Method


@dataclass(frozen=True)
class NetworkSettings:
    """What of a network is otherwise than its name, or the checkpoint to start from, says; null leaves it so."""

    image_size: int | tuple[int, int] | None = None
    """Side of the square input picture, or its height and width, in pixels."""
    patch_size: int | None = None
    """Side of a patch, in pixels."""
    patch_stride: int | None = None
    """Pixels from one patch to the next; less than patch_size makes patches overlap."""
    stem: Literal["r26", "r50", "r50_s16", "efficientnet_b0"] | None = None
    """Convolutional network whose feature map is cut into patches (hybrid)."""
    embed_dim: int | None = None
    """Width of a token."""
    depth: int | None = None
    """Number of Transformer blocks."""
    num_heads: int | None = None
    """Heads of each attention."""
    mlp_dim: int | None = None
    """Hidden width of each feed-forward."""
    dropout: float | None = None
    """Probability of dropping an element."""
    attention_dropout: float | None = None
    """Probability of dropping an attention weight."""
    patch_dropout: float | None = None
    """Share of the patches that are left out, in training."""
    drop_path: float | None = None
    """Stochastic depth: probability of skipping a block (the last one, where drop_path_mode is linear)."""
    drop_path_mode: Literal["linear", "constant"] | None = None
    """linear: drop_path rises from 0 at the first block; constant: it is the same for all."""
    layer_dropout: float | None = None
    """Probability of dropping an element after each block."""
    layer_scale: float | None = None
    """LayerScale: start of the learned factors of each sub-layer's output."""
    qk_norm: bool | None = None
    """Layer norms of each head's queries and keys."""
    window: int | None = None
    """Local attention: a patch sees the patches of the window x window square around it."""
    positions: Literal["learned", "learned2d", "sincos2d", "relative", "none"] | None = None
    """learned: a table that is trained; learned2d: one of rows and one of columns; sincos2d: fixed sines and cosines
    of row and column; relative: learned biases of the attention; none."""
    prefix_positions: bool | None = None
    """Whether the class and distillation tokens have rows in the learned table."""
    class_token: bool | None = None
    """Whether there is a class token; by default where the pool is cls."""
    register_tokens: int | None = None
    """Learned tokens that belong to no patch and are not classified."""
    distilled: bool | None = None
    """A distillation token with a head of its own (DeiT)."""
    pool: Literal["cls", "mean", "mean_norm", "map"] | None = None
    """What is classified. cls: the class token; mean: the mean of the patches' tokens; mean_norm: that mean, normalised
    after it was taken, not before; map: what an attention layer with a learned query picks (MAP)."""
    pre_logits_dim: int | None = None
    """Width of a tanh layer before the head."""
    norm_eps: float | None = None
    """Epsilon of the layer norms."""
    gelu: Literal["tanh", "exact"] | None = None
    """Form of the GELU."""
    mean: tuple[float, float, float] | None = None
    """Mean of the red, green and blue values, on the scale 0 to 1."""
    std: tuple[float, float, float] | None = None
    """Standard deviation of the red, green and blue values, on the scale 0 to 1."""
    interpolation: Literal["nearest", "bilinear", "bicubic"] | None = None
    """How pictures are resized."""
    crop_pct: float | None = None
    """Evaluation: side of the central crop divided by the shorter side of the resized picture."""

    def overrides(self) -> dict[str, Any]:
        """The settings that are not left empty."""
        own = {item.name for item in fields(NetworkSettings)}
        return {key: value for key, value in asdict(self).items() if key in own and value is not None}


@dataclass(frozen=True)
class ModelSettings(NetworkSettings):
    """The network. A setting left empty (null) is what the name, or the checkpoint to start from, stands for."""

    name: str = "vit_b_16_224"
    """A name that mindvit.list_models() lists."""
    checkpoint: str | None = None
    """Weights to start from, this project's or another's: a path, or the name of a file in ckpt/."""
    resize_positions: Literal["bicubic", "bilinear"] = "bicubic"
    """How the checkpoint's positions are resized to another grid: as timm does, or as Google."""


@dataclass(frozen=True)
class TrainedModel:
    """A network with the weights and the passport of a checkpoint."""

    network: ViT
    passport: Passport


def create_model(
    name: str,
    *,
    num_classes: int | None = None,
    classes: Classes | None = None,
    image_size: int | tuple[int, int] | None = None,
    checkpoint: str | None = None,
    resize_positions: Method = "bicubic",
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
        image_size: side of the square input picture, or its height and width, in pixels; by default the name's.
        checkpoint: weights to load, a path or the name of a file in ``ckpt/``; by default they are fresh.
        resize_positions: how positions are resized to another grid: see ``mindvit.weights.resizing.resize_grid``.
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
        _say(loaded, load_tensors(network, loaded, resize_positions, fresh_head=others))
    return network


def load_trained(checkpoint: str, download: bool = False, **overrides: Any) -> TrainedModel:
    """Makes the network of a checkpoint and loads it, recognising it by its passport, else by its file name.

    Args:
        checkpoint: a path, or the name of a file in ``ckpt/``.
        download: whether to fetch a published file that is missing.
        overrides: fields of ``mindvit.models.ViTConfig`` that shall be otherwise than the checkpoint's.

    Raises:
        UserError: if the file is missing, damaged, not recognised, or does not fit the network it should hold.
    """
    loaded = read_weights(find_checkpoint(checkpoint, download))
    passport = loaded.passport or _passport_by_name(loaded)
    passport = replace(passport, model=_override(passport.model, overrides))
    network = ViT(passport.model)
    _say(loaded, load_tensors(network, loaded))
    return TrainedModel(network, passport)


def load_weights(
    model: ViT, file: str, *, resize_positions: Method = "bicubic", strict: bool = True, download: bool = False
) -> ViT:
    """Loads a file of weights, this project's or another's, into a model that is there already.

    The model then computes as the network that they were trained in: epsilon of the norms, form of the GELU, and how
    its pictures are prepared are set accordingly in its ``config``. Warnings tell whatever was not loaded as it is.

    Args:
        model: changed in place.
        file: a path, or the name of a file in ``ckpt/``.
        resize_positions: how positions are resized to another grid: see ``mindvit.weights.resizing.resize_grid``.
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
    notes = load_tensors(model, loaded, resize_positions, strict)
    model.compute_as(settings)
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
            if loaded.passport is not None and loaded.passport.model_name == name:
                config = loaded.passport.model
            config = override(config, **_origin(loaded, config))
            classes = _classes_of_head(loaded)
            config = config if classes is None else override(config, num_classes=classes)
    except ValueError as error:
        raise UserError(str(error)) from error
    return _override(config, overrides)


def classes_of(loaded: Checkpoint) -> Classes | None:
    """The classes that a file of weights tells apart, where it or its companions name them or they are ImageNet's."""
    if loaded.passport is not None:
        return loaded.passport.classes
    outputs, named = _classes_of_head(loaded), read_companions(loaded.path)[1]
    if named is not None and len(named) == outputs:
        return named
    return shipped_classes() if outputs == len(shipped_classes()) else None


def _origin(loaded: Checkpoint, config: ViTConfig) -> dict[str, Any]:
    """How the network that a file's weights were trained in computes, and how its pictures are prepared."""
    if loaded.passport is not None:
        trained = loaded.passport.model
        return {"norm_eps": trained.norm_eps, "gelu": trained.gelu, "preprocessing": trained.preprocessing}
    found = {"norm_eps": loaded.layout.norm_eps, "gelu": loaded.layout.gelu}
    side = max(config.image_shape)
    # A name such as deit_* stands for its own preparation; a plain ViT's depends on who trained it.
    if any(config.preprocessing == layout.pictures(side) for layout in LAYOUTS):
        found["preprocessing"] = loaded.layout.pictures(side)
    return found | read_companions(loaded.path)[0]


def _override(config: ViTConfig, overrides: dict[str, Any]) -> ViTConfig:
    try:
        return override(config, **overrides)
    except ValueError as error:
        raise UserError(str(error)) from error


def _passport_by_name(loaded: Checkpoint) -> Passport:
    name = name_in(loaded.path.name)
    if name is None:
        fitting = ", ".join(fitting_models(loaded.tensors))
        raise UserError(
            f"{loaded.path} does not say which model it holds; put the model's name into the file's, "
            f"as in vit_b_16_224.ckpt, or convert it with convert.py" + (f" (it fits {fitting})" if fitting else "")
        )
    return passport_of(name, loaded, model_settings(name, loaded))


def passport_of(name: str, loaded: Checkpoint, config: ViTConfig) -> Passport:
    """The passport of another program's weights under one of our names."""
    classes = classes_of(loaded)
    is_imagenet = classes is not None and classes.ids == shipped_classes().ids
    source = {"data_source": "imagenet"} if is_imagenet else {}
    return Passport(model_name=name, model=config, classes=classes, origin=loaded.layout.name, **source)


def _classes_of_head(loaded: Checkpoint) -> int | None:
    weights = loaded.tensors.get("dense.weight")
    return weights.shape[0] if weights is not None and weights.ndim == 2 else None


def _say(loaded: Checkpoint, notes: list[str]) -> None:
    for note in notes:
        warnings.warn(f"{loaded.path}: {note}", stacklevel=3)
