import pytest

from mindvit import create_model, list_models
from mindvit.analysis.counting import forward_flops, parameter_count
from mindvit.errors import UserError
from mindvit.models.variants import model_config, name_in, override

# Name here, name in timm, millions of parameters and billions of multiply-adds in the tables of timm
# (pytorch-image-models, results/benchmark-infer-amp-nchw-pt240-cu124-rtx3090.csv, columns param_count and infer_gmacs;
# for the last of them pt113-cu117), and whether the model of timm has the head for 1,000 classes.
TIMM = [
    ("deit3_b_16_224", "deit3_base_patch16_224", 86.59, 17.58, True),
    ("deit3_b_16_384", "deit3_base_patch16_384", 86.88, 55.54, True),
    ("deit3_h_14_224", "deit3_huge_patch14_224", 632.13, 167.40, True),
    ("deit3_l_16_224", "deit3_large_patch16_224", 304.37, 61.60, True),
    ("deit3_l_16_384", "deit3_large_patch16_384", 304.76, 191.21, True),
    ("deit3_s_16_224", "deit3_small_patch16_224", 22.06, 4.61, True),
    ("deit3_s_16_384", "deit3_small_patch16_384", 22.21, 15.52, True),
    ("deit_b_16_224", "deit_base_patch16_224", 86.57, 17.58, True),
    ("deit_b_16_384", "deit_base_patch16_384", 86.86, 55.54, True),
    ("deit_b_distilled_16_224", "deit_base_distilled_patch16_224", 87.34, 17.68, True),
    ("deit_b_distilled_16_384", "deit_base_distilled_patch16_384", 87.63, 55.65, True),
    ("deit_s_16_224", "deit_small_patch16_224", 22.05, 4.61, True),
    ("deit_s_distilled_16_224", "deit_small_distilled_patch16_224", 22.44, 4.63, True),
    ("deit_ti_16_224", "deit_tiny_patch16_224", 5.72, 1.26, True),
    ("deit_ti_distilled_16_224", "deit_tiny_distilled_patch16_224", 5.91, 1.27, True),
    ("vit_b_16_224", "vit_base_patch16_224", 86.57, 17.58, True),
    ("vit_b_16_384", "vit_base_patch16_384", 86.86, 55.54, True),
    ("vit_b_32_224", "vit_base_patch32_224", 88.22, 4.41, True),
    ("vit_b_32_384", "vit_base_patch32_384", 88.30, 13.06, True),
    ("vit_b_8_224", "vit_base_patch8_224", 86.58, 78.22, True),
    ("vit_b_reg4_gap_16_256", "vit_base_patch16_reg4_gap_256", 86.62, 23.50, True),
    ("vit_b_siglip_16_224", "vit_base_patch16_siglip_224", 92.88, 17.73, False),
    ("vit_b_siglip_16_384", "vit_base_patch16_siglip_384", 93.18, 56.12, False),
    ("vit_giant_14_224", "vit_giant_patch14_224", 1012.61, 267.18, True),
    ("vit_gigantic_14_224", "vit_gigantic_patch14_224", 1844.44, 483.95, True),
    ("vit_h_14_224", "vit_huge_patch14_224", 630.76, 167.40, False),
    ("vit_l_14_224", "vit_large_patch14_224", 304.20, 81.08, True),
    ("vit_l_16_224", "vit_large_patch16_224", 304.33, 61.60, True),
    ("vit_l_16_384", "vit_large_patch16_384", 304.72, 191.21, True),
    ("vit_l_32_224", "vit_large_patch32_224", 305.51, 15.39, False),
    ("vit_l_32_384", "vit_large_patch32_384", 306.63, 45.31, True),
    ("vit_s_16_224", "vit_small_patch16_224", 22.05, 4.61, True),
    ("vit_s_16_384", "vit_small_patch16_384", 22.20, 15.52, True),
    ("vit_s_32_224", "vit_small_patch32_224", 22.88, 1.15, True),
    ("vit_s_32_384", "vit_small_patch32_384", 22.92, 3.45, True),
    ("vit_s_8_224", "vit_small_patch8_224", 21.67, 22.44, False),
    ("vit_ti_16_224", "vit_tiny_patch16_224", 5.72, 1.26, True),
    ("vit_ti_16_384", "vit_tiny_patch16_384", 5.79, 4.70, True),
]

# Models that timm has at other sizes only: name here, overrides, name in timm, then as above, all without a head.
REGISTERS = {"layer_scale": 1e-5, "register_tokens": 4, "prefix_pos_embed": False}
TIMM_AT_OTHER_SIZES = [
    ("vit_s_14_224", {"image_size": 518, "layer_scale": 1e-5}, "vit_small_patch14_dinov2", 22.06, 46.76),
    ("vit_b_14_224", {"image_size": 518, "layer_scale": 1e-5}, "vit_base_patch14_dinov2", 86.58, 151.71),
    ("vit_s_14_224", {"image_size": 518, **REGISTERS}, "vit_small_patch14_reg4_dinov2", 22.06, 46.95),
    ("vit_b_14_224", {"image_size": 518, **REGISTERS}, "vit_base_patch14_reg4_dinov2", 86.58, 152.25),
    ("vit_h_16_224", {"image_size": 448, "pool": "mean_norm"}, "vit_huge_patch16_gap_448", 631.67, 544.70),
]

# Hybrids, from the same tables. timm also counts norms, which are up to 2.8 % of the figure of a ResNet.
HYBRIDS = [
    ("vit_r26_s_32_224", 36.43, 3.56),
    ("vit_r26_s_32_384", 36.47, 10.43),
    ("vit_r50_b_16_224", 98.66, 21.67),  # 97.89 in timm, without a head.
    ("vit_r50_b_16_384", 98.95, 67.43),
    ("vit_r50_l_32_224", 328.99, 19.58),
    ("vit_r50_l_32_384", 329.09, 57.43),
]

# torchvision/models/vision_transformer.py: num_params and _ops of the weights of each size.
TORCHVISION = [
    ("vit_b_16_224", {}, 86567656, 17.6),
    ("vit_b_16_384", {}, 86859496, 55.5),
    ("vit_b_32_224", {}, 88224232, 4.4),
    ("vit_l_16_224", {}, 304326632, 61.6),
    ("vit_l_16_224", {"image_size": 512}, 305174504, 362.0),
    ("vit_l_32_224", {}, 306535400, 15.4),
    ("vit_h_14_224", {}, 632045800, 167.3),
    ("vit_h_14_224", {"image_size": 518}, 633470440, 1016.7),
]

# Models without a published count: those defined by this project, and sizes for which papers give no count.
UNCOUNTED = {
    "vit_efficientnet_b0_s_32_224",
    "vit_mini_4_32",
    "plain_vit_s_16_224",
    "vit_s_8_384",
    "vit_b_8_384",
    "vit_h_16_384",
}


def counts(config, with_head=True):
    """Millions of parameters, billions of multiply-adds."""
    head = 0 if with_head else config.embed_dim * config.num_classes
    biases = 0 if with_head else config.num_classes
    return (parameter_count(config) - head - biases) / 1e6, (forward_flops(config) / 2 - head) / 1e9


@pytest.mark.parametrize(("name", "timm_name", "millions", "billions", "with_head"), TIMM, ids=lambda value: str(value))
def test_parameters_and_multiply_adds_match_timm(name, timm_name, millions, billions, with_head):
    parameters, multiply_adds = counts(model_config(name), with_head)
    assert round(parameters, 2) == millions, timm_name
    # timm also counts the layer norms, 5 operations per element, which adds at most 0.8 %.
    assert multiply_adds <= billions + 0.005, timm_name
    assert multiply_adds == pytest.approx(billions, rel=0.008, abs=0.005), timm_name


@pytest.mark.parametrize(("name", "overrides", "timm_name", "millions", "billions"), TIMM_AT_OTHER_SIZES)
def test_models_at_other_sizes_match_timm(name, overrides, timm_name, millions, billions):
    parameters, multiply_adds = counts(override(model_config(name), **overrides), with_head=False)
    assert round(parameters, 2) == millions, timm_name
    assert multiply_adds == pytest.approx(billions, rel=2e-3), timm_name


@pytest.mark.parametrize(("name", "overrides", "parameters", "billions"), TORCHVISION)
def test_parameters_and_multiply_adds_match_torchvision(name, overrides, parameters, billions):
    config = override(model_config(name), **overrides)
    assert parameter_count(config) == parameters
    assert round(forward_flops(config) / 2e9, 1) == billions


@pytest.mark.slow
@pytest.mark.parametrize(("name", "millions", "billions"), HYBRIDS)
def test_parameters_and_multiply_adds_of_hybrids_match_timm(name, millions, billions):
    parameters, multiply_adds = counts(model_config(name))
    assert round(parameters, 2) == millions
    assert 0.972 * billions <= multiply_adds <= billions


def test_every_model_is_compared_with_a_published_count():
    counted = {row[0] for row in (*TIMM, *TIMM_AT_OTHER_SIZES, *TORCHVISION, *HYBRIDS)}
    assert set(list_models()) - counted == UNCOUNTED


def test_every_model_has_a_valid_config():
    assert len(list_models()) >= 20
    for name in list_models():
        model_config(name)
    assert list_models("vit_b_16_*") == ["vit_b_16_224", "vit_b_16_384"]


def test_an_unknown_model_error_names_the_nearest():
    with pytest.raises(UserError, match="vit_b_16_224"):
        create_model("vit_base_16_224")


def test_an_unknown_setting_error_names_the_nearest():
    with pytest.raises(UserError, match="num_heads"):
        create_model("vit_ti_16_224", num_head=4)


@pytest.mark.parametrize(
    ("name", "setting"),
    [
        ("pretrained", "checkpoint"),
        ("img_size", "image_size"),
        ("drop_rate", "dropout"),
        ("drop_path_rate", "drop_path"),
        ("global_pool", "pool"),
        ("num_layers", "depth"),
        ("hidden_size", "embed_dim"),
        ("in_chans", "in_channels"),
    ],
)
def test_settings_of_other_libraries_lead_to_those_of_this_one(name, setting):
    with pytest.raises(UserError, match=f"unknown model setting '{name}'; the nearest is '{setting}'"):
        create_model("vit_ti_16_224", **{name: 1})


def test_settings_of_model_and_preprocessing_are_overridden():
    config = override(model_config("vit_ti_16_224"), image_size=32, crop_pct=1.0, interpolation="bicubic")
    assert config.image_size == 32
    assert (config.preprocessing.crop_pct, config.preprocessing.interpolation) == (1.0, "bicubic")
    assert config.preprocessing.mean == model_config("vit_ti_16_224").preprocessing.mean


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("vit_b_16_224.ckpt", "vit_b_16_224"),
        ("best-ViT_B_16_224-epoch3.ckpt", "vit_b_16_224"),
        ("xvit_b_16_224.ckpt", None),
        ("vit_b_16_2240.ckpt", None),
        ("model.ckpt", None),
    ],
)
def test_a_model_name_is_found_in_a_file_name(text, name):
    assert name_in(text) == name
