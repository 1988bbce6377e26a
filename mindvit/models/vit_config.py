"""The configuration of a Vision Transformer: its sizes, its regularization and the preprocessing of its images."""

from dataclasses import dataclass, field
from typing import Literal

from mindvit.models.setting_checks import check_values
from mindvit.models.stems import StemName, stem_stride
from mindvit.ops.gelu import GELUForm

Interpolation = Literal["nearest", "bilinear", "bicubic"]
Resize = Literal["timm", "squash", "mindspore"]
DropPathMode = Literal["linear", "constant"]
PosEmbed = Literal["learned", "learned2d", "sincos2d", "relative", "none"]
Pool = Literal["cls", "mean", "mean_norm", "map"]

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


@dataclass(frozen=True)
class Preprocessing:
    """Preprocessing of a decoded RGB image."""

    mean: tuple[float, float, float] = IMAGENET_MEAN
    """Mean of the red, green and blue channels, for values from 0 to 1."""
    std: tuple[float, float, float] = IMAGENET_STD
    """Standard deviation of the red, green and blue channels, for values from 0 to 1."""
    interpolation: Interpolation = "bilinear"
    """Interpolation for resizing: nearest, bilinear or bicubic."""
    crop_pct: float = 0.875
    """Side of the center crop in evaluation, as a fraction of the shorter side of the resized image, in [0.1, 1]."""
    resize: Resize = "timm"
    """Resize before the center crop in evaluation. timm: as timm and torchvision; squash: without the aspect ratio, as
    Transformers; mindspore: without antialiasing, as MindSpore's tutorial and MindCV."""

    def __post_init__(self) -> None:
        for name in ("mean", "std"):
            values = getattr(self, name)
            if len(values) != 3:
                raise ValueError(f"{name} must be three numbers (red, green, blue), not {list(values)}")
            object.__setattr__(self, name, tuple(float(value) for value in values))
        if min(self.std) <= 0:
            raise ValueError(f"std must be above 0, not {list(self.std)}")
        check_values(self)
        if not 0.1 <= self.crop_pct <= 1:
            raise ValueError(f"crop_pct must be in [0.1, 1], not {self.crop_pct}")


@dataclass(frozen=True)
class ViTConfig:
    """The configuration of a ``ViT``. The constructor checks it.

    Raises:
        ValueError: for an invalid setting or combination of settings.
    """

    image_size: int | tuple[int, int] = 224
    """Side of the square input image, or its height and width, in pixels."""
    patch_size: int = 16
    """Side of a patch, in pixels. With a stem it must be a multiple of the stride of the stem."""
    patch_stride: int | None = None
    """Distance between patches, in pixels; patches overlap if it is less than patch_size. None: patch_size."""
    stem: StemName | None = None
    """Convolutional stem of a hybrid, whose feature map is divided into patches instead of the image. None: no stem."""
    in_channels: int = 3
    """Channels of the input image."""
    num_classes: int = 1000
    """Number of classes."""
    embed_dim: int = 768
    """Embedding dimension, a multiple of num_heads."""
    depth: int = 12
    """Number of Transformer blocks."""
    num_heads: int = 12
    """Number of attention heads."""
    mlp_dim: int = 3072
    """Hidden dimension of the feed-forward layers."""
    dropout: float = 0.0
    """Dropout rate after the position embeddings, the attention and each feed-forward layer, and before the head."""
    attention_dropout: float = 0.0
    """Dropout rate of the attention weights."""
    drop_path: float = 0.0
    """Stochastic depth: drop path rate of the last block. drop_path_mode gives the rate of the other blocks."""
    drop_path_mode: DropPathMode = "linear"
    """linear: the drop path rate increases from 0 at the first block to drop_path; constant: all blocks have it."""
    block_dropout: float = 0.0
    """Dropout rate after each block."""
    layer_scale: float | None = None
    """Initial value of LayerScale. None: no LayerScale."""
    qk_norm: bool = False
    """Apply layer norms to query and key in each head."""
    window_size: int | None = None
    """Local attention: side of the window around each patch, in patches, odd. None: full attention."""
    patch_dropout: float = 0.0
    """Fraction of the patches that are dropped in training."""
    pos_embed: PosEmbed = "learned"
    """Position embedding. learned: a table; learned2d: tables of rows and columns; sincos2d: fixed sines and cosines;
    relative: relative position bias of the attention; none."""
    prefix_pos_embed: bool = True
    """Whether the class and distillation tokens have learned position embeddings: true as in ViT and DeiT, false as in
    DeiT III."""
    class_token: bool | None = None
    """Whether there is a class token. None: only if pool is cls."""
    register_tokens: int = 0
    """Number of register tokens."""
    distilled: bool = False
    """Add a distillation token with a separate head (DeiT)."""
    pool: Pool = "cls"
    """Pooling. cls: class token; mean: mean of the normalized patch tokens; mean_norm: norm of the mean of the patch
    tokens; map: multi-head attention pooling."""
    pre_logits_dim: int | None = None
    """Output dimension of a tanh layer before the head. None: no such layer."""
    norm_eps: float = 1e-7
    """Epsilon of the layer norms (MindSpore and its tutorial: 1e-7; Flax and timm: 1e-6)."""
    gelu: GELUForm = "tanh"
    """GELU: tanh (approximation) or exact."""
    preprocessing: Preprocessing = field(default_factory=Preprocessing)
    """Preprocessing of the images."""

    def __post_init__(self) -> None:
        sides = self.image_size if isinstance(self.image_size, tuple | list) else (self.image_size, self.image_size)
        if len(sides) != 2:
            raise ValueError(f"image_size must be one side, or height and width, not {list(sides)}")
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
        """Number of patches of an image."""
        return self.grid[0] * self.grid[1]

    @property
    def has_class_token(self) -> bool:
        """Whether there is a class token."""
        return self.pool == "cls" if self.class_token is None else self.class_token

    @property
    def prefix_tokens(self) -> int:
        """Number of tokens before the patches."""
        return self.has_class_token + self.distilled + self.register_tokens

    @property
    def pos_embed_tokens(self) -> int:
        """Number of tokens before the patches that have a row in the table of position embeddings."""
        if self.pos_embed != "learned" or not self.prefix_pos_embed:
            return 0
        return self.has_class_token + self.distilled

    @property
    def head_dim(self) -> int:
        """Dimension of an attention head."""
        return self.embed_dim // self.num_heads

    def _check_ranges(self) -> None:
        sizes = ("patch_size", "in_channels", "num_classes", "embed_dim", "depth", "num_heads", "mlp_dim")
        for name, value in [("image_size", min(self.image_shape)), *((name, getattr(self, name)) for name in sizes)]:
            if value < 1:
                raise ValueError(f"{name} must be at least 1, not {value}")
        for name in ("dropout", "attention_dropout", "drop_path", "block_dropout", "patch_dropout"):
            if not 0 <= getattr(self, name) < 1:
                raise ValueError(f"{name} must be in [0, 1), not {getattr(self, name)}")
        check_values(self)
        for name in ("norm_eps", "layer_scale", "pre_logits_dim", "patch_stride"):
            value = getattr(self, name)
            if value is not None and value <= 0:
                raise ValueError(f"{name} must be above 0, not {value}")
        if self.register_tokens < 0:
            raise ValueError(f"register_tokens must be 0 or more, not {self.register_tokens}")
        if self.window_size is not None and (self.window_size < 1 or self.window_size % 2 == 0):
            raise ValueError(f"window_size must be an odd number of patches, 1 or more, not {self.window_size}")
        if self.embed_dim % self.num_heads:
            raise ValueError(f"embed_dim {self.embed_dim} is not divisible by num_heads {self.num_heads}")

    def _check_grid(self) -> None:
        patch, stride = self.patch_size, self.patch_stride or self.patch_size
        if stride > patch:
            raise ValueError(f"patch_stride {stride} is above patch_size {patch}; it must be at most patch_size")
        for side in self.image_shape:
            if side < patch or (side - patch) % stride:
                nearest = max(round((side - patch) / stride), 0) * stride + patch
                what = f"patch_size {patch}" + (f" at patch_stride {stride}" if stride != patch else "")
                raise ValueError(
                    f"image_size {side} is not divisible by {what}; the nearest valid size is {nearest}"
                    if stride == patch
                    else f"image_size {side} is not covered by {what}; the nearest valid size is {nearest}"
                )
        if self.stem is not None:
            if self.patch_stride is not None:
                raise ValueError("patch_stride and stem cannot be combined: the patches of a hybrid do not overlap")
            if patch % stem_stride(self.stem):
                raise ValueError(
                    f"patch_size must be a multiple of {stem_stride(self.stem)} with stem {self.stem}, not {patch}"
                )

    def _check_combinations(self) -> None:
        if self.pos_embed in ("sincos2d", "learned2d") and self.embed_dim % 4:
            raise ValueError(f"pos_embed {self.pos_embed} needs an embed_dim divisible by 4, not {self.embed_dim}")
        if self.pool == "cls" and not self.has_class_token:
            raise ValueError("pool cls needs a class token, but class_token is false")
        if self.distilled and (self.pool != "cls" or self.pre_logits_dim is not None):
            raise ValueError("distilled needs pool cls and no pre_logits_dim")
        if self.patch_dropout and (self.window_size is not None or self.pos_embed == "relative"):
            raise ValueError("patch_dropout cannot be combined with window_size or pos_embed relative")
