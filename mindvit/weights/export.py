"""Exports the weights of a network to timm and Hugging Face Transformers."""

from dataclasses import dataclass, field
from math import floor
from typing import Any

import numpy as np

from mindvit.errors import UserError
from mindvit.models.variants import list_models, model_config
from mindvit.models.vit import ViT
from mindvit.models.vit_config import ViTConfig
from mindvit.weights.layouts.huggingface import huggingface_names
from mindvit.weights.layouts.timm import timm_key_map
from mindvit.weights.metadata import CheckpointMetadata

_TIMM_SIZES = {"ti": "tiny", "s": "small", "b": "base", "l": "large", "h": "huge"}
_TIMM_HYBRIDS = {
    "vit_r26_s_32": "vit_small_r26_s32",
    "vit_r50_b_16": "vit_base_r50_s16",
    "vit_r50_l_32": "vit_large_r50_s32",
}
_TIMM_STEMS = {"r26": "vit_r26_s_32_224", "r50": "vit_r50_l_32_224", "r50_s16": "vit_r50_b_16_224"}
_NOT_IN_TIMM = (
    "plain_vit_s_16_224",
    "vit_b_14_224",
    "vit_b_8_384",
    "vit_h_16_224",
    "vit_h_16_384",
    "vit_mini_4_32",
    "vit_s_14_224",
    "vit_s_8_384",
)
_TIMM_OTHERS = {"vit_b_siglip_16": "vit_base_patch16_siglip", "vit_b_reg4_gap_16": "vit_base_patch16_reg4_gap"}
_PILLOW_FILTERS = {"nearest": 0, "bilinear": 2, "bicubic": 3}


@dataclass(frozen=True)
class Export:
    """The files of an export."""

    arrays: dict[str, np.ndarray]
    """Weights by the names of the other library."""
    sidecars: dict[str, dict[str, Any]] = field(default_factory=dict)
    """JSON files to write beside the weights, by name."""
    usage: str = ""
    """Code that loads the export; ``{file}`` and ``{folder}`` are placeholders for the path of the weights and its
    folder."""


def to_timm(network: ViT, metadata: CheckpointMetadata) -> Export:
    """Exports to ``timm.create_model``; ``usage`` has the arguments.

    Raises:
        UserError: if the network has a part that timm's VisionTransformer does not have.
    """
    config = network.config
    _check_supported(
        config,
        "timm",
        stem=config.stem not in (None, *_TIMM_STEMS),
        pre_logits_dim=config.pre_logits_dim is not None,
        register_tokens=config.distilled and config.register_tokens > 0,
    )
    tensors = _with_learned_table(network)
    if config.distilled:
        _add_prefix_rows(tensors, config)
    if config.register_tokens and config.pos_embed_tokens:
        # timm's table has rows for all tokens, registers included, or only for the patches.
        prefix = config.pos_embed_tokens
        for index, token in enumerate(("cls", "distillation")[:prefix]):
            tensors[token] = tensors[token] + tensors["pos_embedding"][:, index : index + 1]
        tensors["pos_embedding"] = tensors["pos_embedding"][:, prefix:]
    arrays = _rename(lambda: timm_key_map(config).to_theirs(tensors), "timm")
    base = _timm_base(config, metadata.model_name)
    arguments = "".join(f", {key}={value}" for key, value in _timm_arguments(config, base).items())
    return Export(arrays, usage=f'timm.create_model("{_timm_name(base)}"{arguments}, checkpoint_path="{{file}}")')


def to_huggingface(network: ViT, metadata: CheckpointMetadata) -> Export:
    """Exports to Transformers' ``ViTForImageClassification``, or to DeiT's class if the network is distilled.

    Raises:
        UserError: if the network has a part that Transformers' ViT does not have.
    """
    config = network.config
    _check_supported(
        config,
        "huggingface",
        stem=config.stem is not None,
        pool=config.pool != "cls",
        register_tokens=config.register_tokens > 0,
        qk_norm=config.qk_norm,
        layer_scale=config.layer_scale is not None,
        pre_logits_dim=config.pre_logits_dim is not None,
    )
    tensors = _with_learned_table(network)
    _add_prefix_rows(tensors, config)
    arrays = _rename(lambda: huggingface_names(tensors), "huggingface")
    architecture = "DeiTForImageClassificationWithTeacher" if config.distilled else "ViTForImageClassification"
    sidecars = {"config.json": _huggingface_config(config, metadata, architecture)}
    sidecars["preprocessor_config.json"] = _huggingface_preprocessing(config)
    return Export(arrays, sidecars, f'transformers.{architecture}.from_pretrained("{{folder}}")')


def _check_supported(config: ViTConfig, library: str, **unsupported: bool) -> None:
    unsupported |= {
        "window_size": config.window_size is not None,
        "patch_stride": config.patch_stride not in (None, config.patch_size),
        "pos_embed": config.pos_embed in ("relative", "none"),
    }
    names = [name for name, used in unsupported.items() if used]
    if names:
        raise UserError(f"the model cannot be exported to {library}, whose ViT does not support its {', '.join(names)}")


def _with_learned_table(network: ViT) -> dict[str, np.ndarray]:
    """All weights, with position embeddings of every kind as one learned table."""
    tensors = {parameter.name: parameter.asnumpy() for parameter in network.get_parameters()}
    if network.config.pos_embed != "learned":
        tensors = {name: values for name, values in tensors.items() if name not in ("pos_rows", "pos_columns")}
        tensors["pos_embedding"] = network.pos_embed_table().asnumpy()
    return tensors


def _add_prefix_rows(tensors: dict[str, np.ndarray], config: ViTConfig) -> None:
    """Adds rows of 0 for the class and distillation tokens to the table if it has none."""
    missing = config.has_class_token + config.distilled - (tensors["pos_embedding"].shape[1] - config.num_patches)
    zeros = np.zeros((1, missing, config.embed_dim), np.float32)
    tensors["pos_embedding"] = np.concatenate([zeros, tensors["pos_embedding"]], axis=1)


def _rename(rename: Any, library: str) -> dict[str, np.ndarray]:
    try:
        return rename()
    except ValueError as error:
        raise UserError(f"the model cannot be exported to {library}: {error}") from error


def _timm_base(config: ViTConfig, name: str) -> str:
    """A model name that timm also has, and whose network becomes this one with other arguments."""
    row = model_config(name)
    if name not in _NOT_IN_TIMM and (row.stem, row.distilled) == (config.stem, config.distilled):
        return name
    if config.stem is not None:
        return _TIMM_STEMS[config.stem]
    return "deit_b_distilled_16_224" if config.distilled else "vit_b_16_224"


def timm_models() -> dict[str, str]:
    """Our model names by timm's, of the models that both have."""
    return {_timm_name(name): name for name in list_models() if name not in _NOT_IN_TIMM}


def _timm_name(name: str) -> str:
    family, image_size = name.rsplit("_", 1)
    for theirs in (_TIMM_HYBRIDS, _TIMM_OTHERS):
        if family in theirs:
            return f"{theirs[family]}_{image_size}"
    family, *parts, patch = family.split("_")
    words = [_TIMM_SIZES.get(part, part) for part in parts]
    return "_".join([family, *words, f"patch{patch}", image_size])


def _timm_arguments(config: ViTConfig, name: str) -> dict[str, Any]:
    """The arguments that differ from those of timm's model of that name."""
    row = model_config(name)
    arguments = {}
    for field_name, theirs in (
        ("image_size", "img_size"),
        ("patch_size", "patch_size"),
        ("embed_dim", "embed_dim"),
        ("depth", "depth"),
        ("num_heads", "num_heads"),
        ("in_channels", "in_chans"),
        ("register_tokens", "reg_tokens"),
        ("qk_norm", "qk_norm"),
    ):
        if getattr(config, field_name) != getattr(row, field_name):
            arguments[theirs] = getattr(config, field_name)
    if config.mlp_dim / config.embed_dim != row.mlp_dim / row.embed_dim:
        arguments["mlp_ratio"] = config.mlp_dim / config.embed_dim
    if config.layer_scale is not None and row.layer_scale is None:
        arguments["init_values"] = config.layer_scale
    if config.has_class_token != row.has_class_token:
        arguments["class_token"] = config.has_class_token
    if config.pool != row.pool:
        theirs = {"cls": "token", "mean": "avg", "mean_norm": "avg", "map": "map"}
        arguments["global_pool"] = f'"{theirs[config.pool]}"'
        if config.pool == "mean":
            arguments["fc_norm"] = False
    if config.pool == "map" and config.prefix_tokens:
        arguments["pool_include_prefix"] = True
    has_prefix_pos_embed = config.pos_embed_tokens > 0 and config.register_tokens == 0
    if has_prefix_pos_embed != (row.pos_embed_tokens > 0) and config.has_class_token and not config.distilled:
        arguments["no_embed_class"] = not has_prefix_pos_embed
    # Some models of timm have no head by default, others one of 1000 classes.
    arguments["num_classes"] = config.num_classes
    if config.gelu == "tanh":
        arguments["act_layer"] = '"gelu_tanh"'
    if config.norm_eps != 1e-6:
        arguments["norm_layer"] = f"functools.partial(torch.nn.LayerNorm, eps={config.norm_eps:g})"
    return arguments


def _huggingface_config(config: ViTConfig, metadata: CheckpointMetadata, architecture: str) -> dict[str, Any]:
    height, width = config.image_shape
    names = metadata.classes.names if metadata.classes else [f"LABEL_{index}" for index in range(config.num_classes)]
    return {
        "architectures": [architecture],
        "model_type": "deit" if config.distilled else "vit",
        "hidden_size": config.embed_dim,
        "num_hidden_layers": config.depth,
        "num_attention_heads": config.num_heads,
        "intermediate_size": config.mlp_dim,
        "hidden_act": "gelu" if config.gelu == "exact" else "gelu_pytorch_tanh",
        "layer_norm_eps": config.norm_eps,
        "image_size": height if height == width else [height, width],
        "patch_size": config.patch_size,
        "num_channels": config.in_channels,
        "qkv_bias": True,
        "hidden_dropout_prob": config.dropout,
        "attention_probs_dropout_prob": config.attention_dropout,
        "id2label": {str(index): name for index, name in enumerate(names)},
        "label2id": {name: index for index, name in enumerate(names)},
    }


def _huggingface_preprocessing(config: ViTConfig) -> dict[str, Any]:
    """The settings of a processor with the same resize and crop, which ``AutoImageProcessor`` creates.

    There are two exceptions. A rectangle is always squashed: no processor covers it at the aspect ratio of the image.
    Transformers always antialiases, also in place of the resize ``mindspore``.
    """
    preprocessing = config.preprocessing
    crop, resized = (
        {"height": height, "width": width}
        for height, width in (config.image_shape, [floor(side / preprocessing.crop_pct) for side in config.image_shape])
    )
    if preprocessing.resize != "squash" and crop["height"] == crop["width"]:
        resized = {"shortest_edge": resized["height"]}
    return {
        # It takes a size with either kind of keys, and crops. ViTImageProcessor of Transformers 4 does not crop.
        "image_processor_type": "CLIPImageProcessor",
        "do_resize": True,
        "size": resized,
        "do_center_crop": True,
        "crop_size": crop,
        "resample": _PILLOW_FILTERS[preprocessing.interpolation],
        "do_rescale": True,
        "rescale_factor": 1 / 255,
        "do_normalize": True,
        "image_mean": list(preprocessing.mean),
        "image_std": list(preprocessing.std),
    }
