"""What defines one Vision Transformer: its sizes, its regularisation, and how its images are prepared."""

from dataclasses import dataclass, field, fields
from typing import Literal

from mindvit.models.activations import GELUForm
from mindvit.models.choices import check_choices
from mindvit.models.stems import StemName, stem_stride

Interpolation = Literal["nearest", "bilinear", "bicubic"]
DropPathMode = Literal["linear", "constant"]
PosEmbed = Literal["learned", "learned2d", "sincos2d", "relative", "none"]
Pool = Literal["cls", "mean", "mean_norm", "map"]

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


@dataclass(frozen=True)
class Preprocessing:
    """How a decoded RGB image becomes the network's input."""

    mean: tuple[float, float, float] = IMAGENET_MEAN
    """Mean of the red, green and blue values, on the scale 0 to 1."""
    std: tuple[float, float, float] = IMAGENET_STD
    """Standard deviation of the red, green and blue values, on the scale 0 to 1."""
    interpolation: Interpolation = "bilinear"
    """How images are resized: nearest, bilinear or bicubic."""
    crop_pct: float = 0.875
    """Evaluation: side of the central crop divided by the shorter side of the resized image, in (0, 1]."""

    def __post_init__(self) -> None:
        for name in ("mean", "std"):
            values = getattr(self, name)
            if len(values) != 3:
                raise ValueError(f"{name} takes three numbers, for red, green and blue, not {list(values)}")
            object.__setattr__(self, name, tuple(float(value) for value in values))
        if min(self.std) <= 0:
            raise ValueError(f"std must be above 0, not {list(self.std)}")
        check_choices(self)
        if not 0 < self.crop_pct <= 1:
            raise ValueError(f"crop_pct must lie in (0, 1], not {self.crop_pct}")


@dataclass(frozen=True)
class ViTConfig:
    """The settings of one ``ViT``. Sizes are checked when it is made.

    Raises:
        ValueError: naming the setting and what is wrong with it.
    """

    image_size: int | tuple[int, int] = 224
    """Side of the square input image, or its height and width, in pixels."""
    patch_size: int = 16
    """Side of a patch, in pixels; that of a hybrid must be a multiple of its stem's stride."""
    patch_stride: int | None = None
    """Pixels from one patch to the next; less than patch_size makes patches overlap, None is patch_size."""
    stem: StemName | None = None
    """Convolutional network whose feature map is cut into patches in place of the image (hybrid); None has none."""
    in_channels: int = 3
    """Channels of the input image."""
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
    drop_path_mode: DropPathMode = "linear"
    """linear: drop_path rises from 0 at the first block; constant: it is the same for all."""
    block_dropout: float = 0.0
    """Probability of dropping an element after each block."""
    layer_scale: float | None = None
    """LayerScale: start of the learned factors of each sub-layer's output; None has none."""
    qk_norm: bool = False
    """Layer norms of each head's queries and keys."""
    window_size: int | None = None
    """Local attention: a patch sees the patches of the window x window square around it; None sees all."""
    patch_dropout: float = 0.0
    """Share of the patches that are left out, in training."""
    pos_embed: PosEmbed = "learned"
    """learned: a table that is trained; learned2d: one of rows and one of columns; sincos2d: fixed sines and cosines
    of row and column; relative: learned biases of the attention; none."""
    prefix_pos_embed: bool = True
    """Whether the class and distillation tokens have rows in the learned table (ViT, DeiT) or not (DeiT III)."""
    class_token: bool | None = None
    """Whether there is a class token; None: where the pool is cls."""
    register_tokens: int = 0
    """Learned tokens that belong to no patch and are not classified."""
    distilled: bool = False
    """A distillation token with a head of its own (DeiT)."""
    pool: Pool = "cls"
    """What is classified. cls: the class token; mean: the mean of the patches' tokens; mean_norm: that mean, normalised
    after it was taken, not before; map: what an attention layer with a learned query picks (MAP)."""
    pre_logits_dim: int | None = None
    """Width of a tanh layer before the head; None has none."""
    norm_eps: float = 1e-7
    """Epsilon of the layer norms (1e-7 is MindSpore's and the tutorial's; 1e-6 is Flax's and timm's)."""
    gelu: GELUForm = "tanh"
    """Form of the GELU: tanh or exact."""
    preprocessing: Preprocessing = field(default_factory=Preprocessing)
    """How images are prepared for this network."""

    def __post_init__(self) -> None:
        sides = self.image_size if isinstance(self.image_size, tuple | list) else (self.image_size, self.image_size)
        if len(sides) != 2:
            raise ValueError(f"image_size takes one side, or height and width, not {list(sides)}")
        object.__setattr__(self, "image_size", sides[0] if sides[0] == sides[1] else tuple(sides))
        self._check_ranges()
        self._check_grid()
        self._check_combinations()

    @property
    def image_shape(self) -> tuple[int, int]:
        """Height and width of the input image, in pixels."""
        return self.image_size if isinstance(self.image_size, tuple) else (self.image_size, self.image_size)

    @property
    def grid(self) -> tuple[int, int]:
        """Rows and columns of patches."""
        stride = self.patch_stride or self.patch_size
        return tuple((side - self.patch_size) // stride + 1 for side in self.image_shape)

    @property
    def num_patches(self) -> int:
        """Patches of an image."""
        return self.grid[0] * self.grid[1]

    @property
    def has_class_token(self) -> bool:
        """Whether there is a class token."""
        return self.pool == "cls" if self.class_token is None else self.class_token

    @property
    def prefix_tokens(self) -> int:
        """Tokens before those of the patches."""
        return self.has_class_token + self.distilled + self.register_tokens

    @property
    def placed_tokens(self) -> int:
        """Tokens before those of the patches that have a row in the table of positions."""
        if self.pos_embed != "learned" or not self.prefix_pos_embed:
            return 0
        return self.has_class_token + self.distilled

    @property
    def head_dim(self) -> int:
        """Width of an attention head."""
        return self.embed_dim // self.num_heads

    def _check_ranges(self) -> None:
        sizes = ("patch_size", "in_channels", "num_classes", "embed_dim", "depth", "num_heads", "mlp_dim")
        for name, value in [("image_size", min(self.image_shape)), *((name, getattr(self, name)) for name in sizes)]:
            if value < 1:
                raise ValueError(f"{name} must be at least 1, not {value}")
        for name in ("dropout", "attention_dropout", "drop_path", "block_dropout", "patch_dropout"):
            if not 0 <= getattr(self, name) < 1:
                raise ValueError(f"{name} must lie in [0, 1), not {getattr(self, name)}")
        check_choices(self)
        for name in ("norm_eps", "layer_scale", "pre_logits_dim", "patch_stride"):
            value = getattr(self, name)
            if value is not None and value <= 0:
                raise ValueError(f"{name} must be above 0, not {value}")
        if self.register_tokens < 0:
            raise ValueError(f"register_tokens must be 0 or more, not {self.register_tokens}")
        if self.window_size is not None and (self.window_size < 1 or self.window_size % 2 == 0):
            raise ValueError(
                f"window must be an odd number of patches, with the patch itself in its middle: {self.window_size}"
            )
        if self.embed_dim % self.num_heads:
            raise ValueError(f"num_heads {self.num_heads} does not divide embed_dim {self.embed_dim}")

    def _check_grid(self) -> None:
        patch, stride = self.patch_size, self.patch_stride or self.patch_size
        if stride > patch:
            raise ValueError(f"patch_stride {stride} is above patch_size {patch}: pixels between patches would be lost")
        for side in self.image_shape:
            if side < patch or (side - patch) % stride:
                nearest = max(round((side - patch) / stride), 0) * stride + patch
                what = f"patch_size {patch}" + (f" at patch_stride {stride}" if stride != patch else "")
                raise ValueError(
                    f"image_size {side} is not divisible by {what}; the nearest that is: {nearest}"
                    if stride == patch
                    else f"image_size {side} is not covered by {what}; the nearest that is: {nearest}"
                )
        if self.stem is not None:
            if self.patch_stride is not None:
                raise ValueError("patch_stride is for images; a hybrid (stem) cuts its feature map without overlap")
            if patch % stem_stride(self.stem):
                raise ValueError(
                    f"patch_size must be a multiple of {stem_stride(self.stem)} with stem {self.stem}, not {patch}"
                )

    def _check_combinations(self) -> None:
        if self.pos_embed in ("sincos2d", "learned2d") and self.embed_dim % 4:
            raise ValueError(f"positions {self.pos_embed} need an embed_dim divisible by 4, not {self.embed_dim}")
        if self.pool == "cls" and not self.has_class_token:
            raise ValueError("pool cls classifies the class token, which class_token false takes away")
        if self.distilled and (self.pool != "cls" or self.pre_logits_dim is not None):
            raise ValueError("distilled needs pool cls and no pre_logits_dim")
        if self.patch_dropout and (self.window_size is not None or self.pos_embed == "relative"):
            raise ValueError("patch_dropout takes the grid apart that window and positions relative rest on")

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
