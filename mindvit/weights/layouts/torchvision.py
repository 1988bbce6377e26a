"""torchvision's layout."""

from mindvit.models.vit_config import Preprocessing
from mindvit.weights.layouts.key_map import KeyMap, KeyRule, dense, norm
from mindvit.weights.layouts.layout import Layout

_THEIRS, _BLOCK = "encoder.layers.encoder_layer_{}", "transformer.layers.{}"


def _preprocessing(image_size: int) -> Preprocessing:
    """The preprocessing of torchvision's own ViTs: ImageNet's mean and std, bilinear, 256 to 224 pixels."""
    return Preprocessing()


TORCHVISION = Layout(
    name="torchvision",
    signature_keys=("class_token", "conv_proj.weight", "encoder.pos_embedding"),
    key_map=KeyMap(
        [
            KeyRule("class_token", "cls"),
            KeyRule("encoder.pos_embedding", "pos_embedding"),
            *dense("conv_proj", "patch_embedding.conv"),
            *norm(f"{_THEIRS}.ln_1", f"{_BLOCK}.0.cell.0"),
            KeyRule(f"{_THEIRS}.self_attention.in_proj_weight", f"{_BLOCK}.0.cell.1.qkv.weight"),
            KeyRule(f"{_THEIRS}.self_attention.in_proj_bias", f"{_BLOCK}.0.cell.1.qkv.bias"),
            *dense(f"{_THEIRS}.self_attention.out_proj", f"{_BLOCK}.0.cell.1.out"),
            *norm(f"{_THEIRS}.ln_2", f"{_BLOCK}.1.cell.0"),
            *dense(f"{_THEIRS}.mlp.0", f"{_BLOCK}.1.cell.1.dense1"),
            *dense(f"{_THEIRS}.mlp.3", f"{_BLOCK}.1.cell.1.dense2"),
            *dense(f"{_THEIRS}.mlp.linear_1", f"{_BLOCK}.1.cell.1.dense1"),  # Before version 0.13.
            *dense(f"{_THEIRS}.mlp.linear_2", f"{_BLOCK}.1.cell.1.dense2"),
            *norm("encoder.ln", "norm"),
            *dense("heads.pre_logits", "pre_logits"),
            *dense("heads.head", "dense"),
        ]
    ),
    norm_eps=1e-6,
    gelu="exact",
    preprocessing=_preprocessing,
)
