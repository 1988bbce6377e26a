"""The layout of Hugging Face Transformers' ViT and DeiT: the names in its files, and those of its modules since 5."""

from mindvit.models.vit_config import Preprocessing
from mindvit.weights.layouts.key_map import KeyMap, KeyRule, dense, norm
from mindvit.weights.layouts.layout import Arrays, Layout

_BLOCK = "transformer.layers.{}"
_FILE, _MODULE = "encoder.layer.{}", "layers.{}"
_PREFIXES = ("vit.", "deit.")


def _block(
    theirs: str, projections: str, names: tuple[str, str, str], out: str, first: str, second: str
) -> list[KeyRule]:
    rows = [
        *norm(f"{theirs}.layernorm_before", f"{_BLOCK}.0.cell.0"),
        *norm(f"{theirs}.layernorm_after", f"{_BLOCK}.1.cell.0"),
        *dense(f"{theirs}.{out}", f"{_BLOCK}.0.cell.1.out"),
        *dense(f"{theirs}.{first}", f"{_BLOCK}.1.cell.1.dense1"),
        *dense(f"{theirs}.{second}", f"{_BLOCK}.1.cell.1.dense2"),
    ]
    for index, name in enumerate(names):
        rows += dense(f"{theirs}.{projections}.{name}", f"{_BLOCK}.0.cell.1.qkv", part=(index, 3))
    return rows


_FILE_RULES = [
    KeyRule("embeddings.cls_token", "cls"),
    KeyRule("embeddings.distillation_token", "distillation"),
    KeyRule("embeddings.position_embeddings", "pos_embedding"),
    *dense("embeddings.patch_embeddings.projection", "patch_embedding.conv"),
    *_block(
        _FILE,
        "attention.attention",
        ("query", "key", "value"),
        "attention.output.dense",
        "intermediate.dense",
        "output.dense",
    ),
    *norm("layernorm", "norm"),
    *dense("pooler.dense", "pre_logits"),
    *dense("classifier", "dense"),
]
_DISTILLED = [*dense("cls_classifier", "dense"), *dense("distillation_classifier", "dense_distillation")]
_MODULES = _block(_MODULE, "attention", ("q_proj", "k_proj", "v_proj"), "attention.o_proj", "mlp.fc1", "mlp.fc2")


def _without_prefix(arrays: Arrays) -> Arrays:
    for prefix in _PREFIXES:
        if any(name.startswith(prefix) for name in arrays):
            return {name.removeprefix(prefix): values for name, values in arrays.items()}
    return arrays


def _preprocessing(image_size: int) -> Preprocessing:
    """The defaults of ``ViTImageProcessor``: values from -1 to 1, and the whole image squashed, bilinear."""
    halves = (0.5, 0.5, 0.5)
    return Preprocessing(halves, halves, "bilinear", 1.0, "squash")


HUGGINGFACE = Layout(
    name="huggingface",
    signature_keys=tuple(f"{prefix}embeddings.patch_embeddings.projection.weight" for prefix in ("", *_PREFIXES)),
    key_map=KeyMap([*_FILE_RULES, *_DISTILLED, *_MODULES]),
    norm_eps=1e-12,
    gelu="exact",
    preprocessing=_preprocessing,
    prepare=_without_prefix,
    ignored=("position_ids",),
)


def huggingface_names(tensors: Arrays) -> Arrays:
    """Renames our tensors to those of ``ViTForImageClassification``, or of DeiT's class if they are distilled.

    Raises:
        ValueError: for tensors that Transformers' ViT does not have.
    """
    distilled = "distillation" in tensors
    names = KeyMap([*_DISTILLED, *_FILE_RULES] if distilled else _FILE_RULES).to_theirs(tensors)
    prefix = "deit." if distilled else "vit."
    return {name if "classifier" in name else prefix + name: values for name, values in names.items()}
