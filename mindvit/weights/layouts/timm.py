"""timm's layout, which DeiT and DeiT III also have."""

from mindvit.models.vit_config import ViTConfig
from mindvit.weights.layouts.key_map import KeyMap, KeyRule, dense, norm
from mindvit.weights.layouts.layout import Layout, augreg_preprocessing

_BLOCK = "transformer.layers.{}"
_STEM = "patch_embed.backbone"
_UNIT, _OUR_UNIT = f"{_STEM}.stages.{{}}.blocks.{{}}", "stem.stages.{}.{}"

_RULES = [
    KeyRule("cls_token", "cls"),
    KeyRule("dist_token", "distillation"),
    KeyRule("reg_token", "registers"),
    KeyRule("pos_embed", "pos_embedding"),
    *dense("patch_embed.proj", "patch_embedding.conv"),
    KeyRule(f"{_STEM}.stem.conv.weight", "stem.root.conv.weight"),
    *norm(f"{_STEM}.stem.norm", "stem.root.norm"),
    KeyRule(f"{_UNIT}.downsample.conv.weight", f"{_OUR_UNIT}.projection.weight"),
    *norm(f"{_UNIT}.downsample.norm", f"{_OUR_UNIT}.projection_norm"),
    *[KeyRule(f"{_UNIT}.conv{i}.weight", f"{_OUR_UNIT}.conv{i}.weight") for i in (1, 2, 3)],
    *[rule for i in (1, 2, 3) for rule in norm(f"{_UNIT}.norm{i}", f"{_OUR_UNIT}.norm{i}")],
    *norm("blocks.{}.norm1", f"{_BLOCK}.0.cell.0"),
    *dense("blocks.{}.attn.qkv", f"{_BLOCK}.0.cell.1.qkv"),
    *norm("blocks.{}.attn.q_norm", f"{_BLOCK}.0.cell.1.query_norm"),
    *norm("blocks.{}.attn.k_norm", f"{_BLOCK}.0.cell.1.key_norm"),
    *dense("blocks.{}.attn.proj", f"{_BLOCK}.0.cell.1.out"),
    KeyRule("blocks.{}.ls1.gamma", f"{_BLOCK}.0.layer_scale"),
    KeyRule("blocks.{}.gamma_1", f"{_BLOCK}.0.layer_scale"),  # The original code of DeiT III.
    *norm("blocks.{}.norm2", f"{_BLOCK}.1.cell.0"),
    *dense("blocks.{}.mlp.fc1", f"{_BLOCK}.1.cell.1.dense1"),
    *dense("blocks.{}.mlp.fc2", f"{_BLOCK}.1.cell.1.dense2"),
    KeyRule("blocks.{}.ls2.gamma", f"{_BLOCK}.1.layer_scale"),
    KeyRule("blocks.{}.gamma_2", f"{_BLOCK}.1.layer_scale"),
    KeyRule("attn_pool.latent", "pool.probe"),
    *dense("attn_pool.q", "pool.query"),
    *dense("attn_pool.kv", "pool.keys_and_values"),
    *dense("attn_pool.proj", "pool.out"),
    *norm("attn_pool.norm", "pool.norm"),
    *dense("attn_pool.mlp.fc1", "pool.feed_forward.dense1"),
    *dense("attn_pool.mlp.fc2", "pool.feed_forward.dense2"),
    *dense("pre_logits.fc", "pre_logits"),
    *dense("head", "dense"),
    *dense("head_dist", "dense_distillation"),
]
_LAST_NORM, _NORM_AFTER_POOL = norm("norm", "norm"), norm("fc_norm", "norm")

TIMM = Layout(
    name="timm",
    signature_keys=("patch_embed.proj.weight", "blocks.0.attn.qkv.weight", "blocks.0.norm1.weight"),
    key_map=KeyMap([*_RULES, *_LAST_NORM, *_NORM_AFTER_POOL]),
    norm_eps=1e-6,
    gelu="exact",
    preprocessing=augreg_preprocessing,
)


def timm_key_map(config: ViTConfig) -> KeyMap:
    """The names to export. If the norm comes after the mean of the patch tokens, timm calls it ``fc_norm``."""
    return KeyMap([*_RULES, *(_NORM_AFTER_POOL if config.pool == "mean_norm" else _LAST_NORM)])
