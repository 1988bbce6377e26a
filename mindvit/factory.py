"""Making networks: fresh ones by name, trained ones from a checkpoint."""

from dataclasses import asdict, dataclass
from typing import Any, Literal

from mindvit.data.imagenet import shipped_classes
from mindvit.errors import UserError
from mindvit.models.config import ViTConfig
from mindvit.models.variants import model_config, name_in, override
from mindvit.models.vit import ViT
from mindvit.weights.checkpoint import Checkpoint, read_checkpoint
from mindvit.weights.loading import load_tensors
from mindvit.weights.locate import find_checkpoint
from mindvit.weights.passport import Passport


@dataclass(frozen=True)
class ModelSettings:
    """The network. A setting left empty (null) is what the name, or the checkpoint to start from, stands for."""

    name: str = "vit_b_16_224"
    """A name that mindvit.list_models() lists."""
    checkpoint: str | None = None
    """Weights to start from: a path, or the name of a file in ckpt/."""
    reset_head: bool = False
    """Start the head afresh where the checkpoint's has another number of classes."""
    image_size: int | None = None
    """Side of the input picture, in pixels."""
    patch_size: int | None = None
    """Side of a patch, in pixels."""
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
    drop_path: float | None = None
    """Stochastic depth: probability of skipping a block (the last one, where drop_path_mode is linear)."""
    drop_path_mode: Literal["linear", "constant"] | None = None
    """linear: drop_path rises from 0 at the first block; constant: it is the same for all."""
    layer_dropout: float | None = None
    """Probability of dropping an element after each block."""
    layer_scale: float | None = None
    """LayerScale: start of the learned factors of each sub-layer's output."""
    positions: Literal["learned", "sincos2d"] | None = None
    """learned: a table that is trained; sincos2d: fixed sines and cosines of row and column."""
    pool: Literal["cls", "mean"] | None = None
    """cls: a class token is classified; mean: there is none, and the mean of the patch tokens is classified."""
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
        """The settings of the network that are not left empty."""
        own = ("name", "checkpoint", "reset_head")
        return {key: value for key, value in asdict(self).items() if key not in own and value is not None}


@dataclass(frozen=True)
class TrainedModel:
    """A network with the weights and the passport of a checkpoint."""

    network: ViT
    passport: Passport


def create_model(
    name: str,
    *,
    num_classes: int | None = None,
    image_size: int | None = None,
    checkpoint: str | None = None,
    reset_head: bool = False,
    download: bool = False,
    **overrides: Any,
) -> ViT:
    """Makes a Vision Transformer by name.

    Args:
        name: one of ``mindvit.list_models()``.
        num_classes: outputs of the head; by default 1000, or as many as the checkpoint has.
        image_size: side of the square input picture, in pixels; by default the name's.
        checkpoint: weights to load, a path or the name of a file in ``ckpt/``; by default they are fresh.
        reset_head: whether the head stays fresh where the checkpoint's has another number of classes.
        download: whether to fetch a published checkpoint that is missing.
        overrides: other fields of ``mindvit.models.ViTConfig`` or ``mindvit.models.Preprocessing``.

    Raises:
        UserError: for an unknown name or setting (naming the nearest), sizes that do not fit, or a checkpoint that
            does not fit the network.
    """
    loaded = read_checkpoint(find_checkpoint(checkpoint, download)) if checkpoint else None
    base = None
    if loaded is not None:
        num_classes = num_classes or _classes_of_head(loaded)
        if loaded.passport is not None and loaded.passport.model_name == name:
            base = loaded.passport.model
    given = {"num_classes": num_classes, "image_size": image_size, **overrides}
    config = _config(name, {key: value for key, value in given.items() if value is not None}, base)
    network = ViT(config)
    if loaded is not None:
        load_tensors(network, loaded, reset_head)
    return network


def load_trained(checkpoint: str, download: bool = False) -> TrainedModel:
    """Makes the network of a checkpoint and loads it, recognising it by its passport, else by its file name.

    Args:
        checkpoint: a path, or the name of a file in ``ckpt/``.
        download: whether to fetch a published file that is missing.

    Raises:
        UserError: if the file is missing, damaged, not recognised, or does not fit the network it should hold.
    """
    loaded = read_checkpoint(find_checkpoint(checkpoint, download))
    passport = loaded.passport or _passport_by_name(loaded)
    network = ViT(passport.model)
    load_tensors(network, loaded)
    return TrainedModel(network, passport)


def _config(name: str, overrides: dict[str, Any], base: ViTConfig | None = None) -> ViTConfig:
    try:
        return override(base or model_config(name), **overrides)
    except ValueError as error:
        raise UserError(str(error)) from error


def _passport_by_name(loaded: Checkpoint) -> Passport:
    name = name_in(loaded.path.name)
    if name is None:
        raise UserError(
            f"{loaded.path} does not say which model it holds; put the model's name into the file's, "
            "as in vit_b_16_224.ckpt"
        )
    classes = shipped_classes()
    num_classes = _classes_of_head(loaded) or len(classes)
    return Passport(
        model_name=name,
        model=_config(name, {"num_classes": num_classes}),
        classes=classes if num_classes == len(classes) else None,
        data_source="imagenet",
    )


def _classes_of_head(loaded: Checkpoint) -> int | None:
    bias = loaded.tensors.get("dense.bias")
    return None if bias is None else bias.shape[0]
