import pytest

from mindvit import create_model, list_models
from mindvit.errors import UserError
from mindvit.models.variants import model_config, name_in, override

# timm's parameter counts with 1,000 classes, in millions: vit_tiny/small/base/large/huge.
PUBLISHED = {
    "vit_ti_16_224": 5.717,
    "vit_s_16_224": 22.051,
    "vit_s_32_224": 22.879,
    "vit_b_8_224": 86.577,
    "vit_b_16_224": 86.568,
    "vit_b_16_384": 86.860,
    "vit_b_32_224": 88.224,
    "vit_l_16_224": 304.327,
    "vit_h_14_224": 632.046,
}


def count_parameters(config):
    """The number of weights, from the sizes alone."""
    width, tokens = config.embed_dim, (config.image_size // config.patch_size) ** 2 + 1
    block = (
        4 * width
        + 3 * width * (width + 1)
        + width * (width + 1)
        + config.mlp_dim * (width + 1)
        + width * (config.mlp_dim + 1)
    )
    stem = width * (config.in_channels * config.patch_size**2 + 1) + width + tokens * width
    return stem + config.depth * block + 2 * width + config.num_classes * (width + 1)


@pytest.mark.parametrize(("name", "millions"), PUBLISHED.items())
def test_sizes_are_the_published_ones(name, millions):
    assert count_parameters(model_config(name)) / 1e6 == pytest.approx(millions, abs=6e-4)


@pytest.mark.parametrize("name", ["vit_ti_16_224", "vit_mini_4_32"])
def test_a_network_has_as_many_weights_as_its_sizes_say(name):
    network = create_model(name)
    assert sum(parameter.size for parameter in network.get_parameters()) == count_parameters(network.config)


def test_every_name_stands_for_sizes_that_fit():
    assert len(list_models()) >= 20
    for name in list_models():
        model_config(name)
    assert list_models("vit_b_16_*") == ["vit_b_16_224", "vit_b_16_384"]


def test_an_unknown_name_answers_with_the_nearest():
    with pytest.raises(UserError, match="vit_b_16_224"):
        create_model("vit_base_16_224")


def test_an_unknown_setting_answers_with_the_nearest():
    with pytest.raises(UserError, match="num_heads"):
        create_model("vit_ti_16_224", num_head=4)


def test_settings_of_model_and_pictures_are_overridden():
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
def test_a_name_is_recognised_in_a_file_name(text, name):
    assert name_in(text) == name
