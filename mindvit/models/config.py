"""What defines one Vision Transformer: its sizes, its regularisation, and how its pictures are prepared."""

from dataclasses import dataclass, field, fields

from mindvit.models.activations import GELU_FORMS

INTERPOLATIONS = ("nearest", "bilinear", "bicubic")
_CHOICES = {
    "gelu": GELU_FORMS,
    "drop_path_mode": ("linear", "constant"),
    "positions": ("learned", "sincos2d"),
    "pool": ("cls", "mean"),
}

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


@dataclass(frozen=True)
class Preprocessing:
    """How a decoded RGB picture becomes the network's input."""

    mean: tuple[float, float, float] = IMAGENET_MEAN
    """Mean of the red, green and blue values, on the scale 0 to 1."""
    std: tuple[float, float, float] = IMAGENET_STD
    """Standard deviation of the red, green and blue values, on the scale 0 to 1."""
    interpolation: str = "bilinear"
    """How pictures are resized: nearest, bilinear or bicubic."""
    crop_pct: float = 0.875
    """Evaluation: side of the central crop divided by the shorter side of the resized picture, in (0, 1]."""

    def __post_init__(self) -> None:
        for name in ("mean", "std"):
            values = getattr(self, name)
            if len(values) != 3:
                raise ValueError(f"{name} takes three numbers, for red, green and blue, not {list(values)}")
            object.__setattr__(self, name, tuple(float(value) for value in values))
        if min(self.std) <= 0:
            raise ValueError(f"std must be above 0, not {list(self.std)}")
        if self.interpolation not in INTERPOLATIONS:
            raise ValueError(f"interpolation must be one of {', '.join(INTERPOLATIONS)}, not {self.interpolation!r}")
        if not 0 < self.crop_pct <= 1:
            raise ValueError(f"crop_pct must lie in (0, 1], not {self.crop_pct}")


@dataclass(frozen=True)
class ViTConfig:
    """The settings of one ``ViT``. Sizes are checked when it is made.

    Raises:
        ValueError: naming the setting and what is wrong with it.
    """

    image_size: int = 224
    """Side of the square input picture, in pixels."""
    patch_size: int = 16
    """Side of a patch, in pixels; must divide image_size."""
    in_channels: int = 3
    """Channels of the input picture."""
    num_classes: int = 1000
    """Outputs of the classification head."""
    embed_dim: int = 768
    """Width of a token; num_heads must divide it."""
    depth: int = 12
    """Number of Transformer blocks."""
    num_heads: int = 12
    """Heads of each attention."""
    mlp_dim: int = 3072
    """Hidden width of each feed-forward."""
    dropout: float = 0.0
    """Probability of dropping an element: after the positions, each sub-layer, and before the head."""
    attention_dropout: float = 0.0
    """Probability of dropping an attention weight."""
    drop_path: float = 0.0
    """Stochastic depth: probability of skipping a block (the last one, where drop_path_mode is linear)."""
    drop_path_mode: str = "linear"
    """linear: drop_path rises from 0 at the first block; constant: it is the same for all."""
    layer_dropout: float = 0.0
    """Probability of dropping an element after each block."""
    layer_scale: float | None = None
    """LayerScale: start of the learned factors of each sub-layer's output; None has none."""
    positions: str = "learned"
    """learned: a table that is trained; sincos2d: fixed sines and cosines of row and column."""
    pool: str = "cls"
    """cls: a class token is classified; mean: there is none, and the mean of the patch tokens is classified."""
    pre_logits_dim: int | None = None
    """Width of a tanh layer before the head; None has none."""
    norm_eps: float = 1e-7
    """Epsilon of the layer norms (1e-7 is MindSpore's and the tutorial's; 1e-6 is Flax's and timm's)."""
    gelu: str = "tanh"
    """Form of the GELU: tanh or exact."""
    preprocessing: Preprocessing = field(default_factory=Preprocessing)
    """How pictures are prepared for this network."""

    def __post_init__(self) -> None:
        for name in (
            "image_size",
            "patch_size",
            "in_channels",
            "num_classes",
            "embed_dim",
            "depth",
            "num_heads",
            "mlp_dim",
        ):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, not {getattr(self, name)}")
        if self.image_size % self.patch_size:
            nearest = max(round(self.image_size / self.patch_size), 1) * self.patch_size
            raise ValueError(
                f"image_size {self.image_size} is not divisible by patch_size {self.patch_size}; "
                f"the nearest that is: {nearest}"
            )
        if self.embed_dim % self.num_heads:
            raise ValueError(f"num_heads {self.num_heads} does not divide embed_dim {self.embed_dim}")
        for name in ("dropout", "attention_dropout", "drop_path", "layer_dropout"):
            if not 0 <= getattr(self, name) < 1:
                raise ValueError(f"{name} must lie in [0, 1), not {getattr(self, name)}")
        if self.norm_eps <= 0:
            raise ValueError(f"norm_eps must be above 0, not {self.norm_eps}")
        for name, values in _CHOICES.items():
            if getattr(self, name) not in values:
                raise ValueError(f"{name} must be one of {', '.join(values)}, not {getattr(self, name)!r}")
        if self.positions == "sincos2d" and self.embed_dim % 4:
            raise ValueError(f"positions sincos2d need an embed_dim divisible by 4, not {self.embed_dim}")
        for name in ("layer_scale", "pre_logits_dim"):
            value = getattr(self, name)
            if value is not None and value <= 0:
                raise ValueError(f"{name} must be above 0, not {value}")

    @classmethod
    def from_dict(cls, settings: dict) -> "ViTConfig":
        """Rebuilds a config from ``dataclasses.asdict`` of one.

        Raises:
            ValueError: for settings that this version does not know.
        """
        known = {item.name for item in fields(cls)}
        unknown = sorted(set(settings) - known)
        if unknown:
            raise ValueError(f"unknown model settings {', '.join(unknown)}")
        settings = dict(settings)
        settings["preprocessing"] = Preprocessing(**settings.get("preprocessing", {}))
        return cls(**settings)
