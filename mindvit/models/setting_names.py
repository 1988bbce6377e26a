"""The setting that a person means who gives an unknown name."""

import difflib

# The left column is of timm, torchvision, PyTorch examples and Transformers.
MODEL_NAMES: dict[str, tuple[str, ...]] = {
    name: meant
    for names, meant in {
        ("img_size", "input_size", "resolution"): ("image_size",),
        ("in_chans", "num_channels", "channels"): ("in_channels",),
        ("num_labels",): ("num_classes", "classes"),
        ("hidden_size", "hidden_dim", "dim", "width"): ("embed_dim",),
        ("num_layers", "num_hidden_layers", "n_layers", "layers"): ("depth",),
        ("num_attention_heads", "n_heads", "heads"): ("num_heads",),
        ("mlp_ratio", "intermediate_size", "ffn_dim"): ("mlp_dim",),
        ("drop", "drop_rate", "dropout_rate", "hidden_dropout_prob", "proj_drop_rate", "pos_drop_rate"): ("dropout",),
        ("attn_drop", "attn_drop_rate", "attention_probs_dropout_prob"): ("attention_dropout",),
        ("drop_path_rate", "stochastic_depth_prob"): ("drop_path",),
        ("init_values", "layer_scale_init_value", "layerscale_value"): ("layer_scale",),
        ("patch_drop", "patch_drop_rate"): ("patch_dropout",),
        ("global_pool", "pooling"): ("pool",),
        ("reg_tokens", "num_register_tokens"): ("register_tokens",),
        ("no_embed_class",): ("prefix_pos_embed",),
        ("representation_size",): ("pre_logits_dim",),
        ("layer_norm_eps", "norm_layer"): ("norm_eps",),
        ("act_layer", "hidden_act", "activation"): ("gelu",),
        ("image_mean",): ("mean",),
        ("image_std",): ("std",),
        ("resample",): ("interpolation",),
        ("pretrained", "checkpoint_path", "initial_checkpoint", "finetune", "weights"): (
            "checkpoint",
            "ckpt",
            "source",
        ),
    }.items()
    for name in names
}
"""Names of other libraries, and the last part of the settings that correspond to them, the best first."""


def nearest_setting(
    name: str, settings: set[str] | list[str], other_names: dict[str, tuple[str, ...]] = MODEL_NAMES
) -> str:
    """The setting that an unknown name means.

    The first of: the setting that corresponds to the name in another library, the only one with the same last part
    (``optimizer.lr`` for ``--lr``), the one with the most similar spelling. ``-`` counts as ``_``.

    Args:
        name: the unknown name.
        settings: the dotted names of the settings, at least one.
        other_names: names of other libraries, with the settings that correspond to them, as ``MODEL_NAMES``.
    """
    settings = sorted(settings)
    name = name.lower().replace("-", "_")
    if name in settings:
        return name
    last = name.rpartition(".")[2]
    for other in other_names.get(last, ()):
        if found := _ending_with(other, settings):
            return found[0]
    same = _ending_with(last, settings)
    return same[0] if len(same) == 1 else difflib.get_close_matches(name, same or settings, n=1, cutoff=0.0)[0]


def _ending_with(last: str, settings: list[str]) -> list[str]:
    return [item for item in settings if f".{item}".endswith(f".{last}")]
