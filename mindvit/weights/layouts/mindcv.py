"""MindCV's layout: timm's names, with MindSpore's names for the norms. For versions before 0.3 see tutorial.py."""

from mindvit.models.vit_config import Preprocessing
from mindvit.weights.layouts.key_map import KeyMap, KeyRule, dense, mindspore_norm
from mindvit.weights.layouts.layout import Layout

_BLOCK = "transformer.layers.{}"


def _preprocessing(image_size: int) -> Preprocessing:
    """The preprocessing of MindCV's recipes for ViT: ImageNet's mean and std, bicubic without antialiasing, crop 0.875.

    It is the tutorial's but for the interpolation.
    """
    return Preprocessing(interpolation="bicubic", resize="mindspore")


MINDCV = Layout(
    name="mindcv",
    signature_keys=("blocks.0.norm1.gamma",),
    key_map=KeyMap(
        [
            KeyRule("cls_token", "cls"),
            KeyRule("pos_embed", "pos_embedding"),
            *dense("patch_embed.proj", "patch_embedding.conv"),
            *mindspore_norm("blocks.{}.norm1", f"{_BLOCK}.0.cell.0"),
            *dense("blocks.{}.attn.qkv", f"{_BLOCK}.0.cell.1.qkv"),
            *[
                KeyRule(f"blocks.{{}}.attn.{name}.{leaf}", f"{_BLOCK}.0.cell.1.qkv.{leaf}", part=(index, 3))
                for index, name in enumerate("qkv")
                for leaf in ("weight", "bias")
            ],
            *dense("blocks.{}.attn.proj", f"{_BLOCK}.0.cell.1.out"),
            *mindspore_norm("blocks.{}.norm2", f"{_BLOCK}.1.cell.0"),
            *dense("blocks.{}.mlp.fc1", f"{_BLOCK}.1.cell.1.dense1"),
            *dense("blocks.{}.mlp.fc2", f"{_BLOCK}.1.cell.1.dense2"),
            *mindspore_norm("norm", "norm"),
            *mindspore_norm("fc_norm", "norm"),
            *dense("head", "dense"),
        ]
    ),
    norm_eps=1e-7,
    gelu="tanh",
    preprocessing=_preprocessing,
)
