import pytest

from mindvit.errors import UserError
from mindvit.weights.published_architecture import Stated, read_published_architecture
from tests.weights.published import FOLDER, write_json


@pytest.fixture
def published(tmp_path):
    def read(**config):
        write_json(tmp_path / "config.json", config)
        return {name: stated.value for name, stated in read_published_architecture(tmp_path / "x.npz").items()}

    return read


def test_without_a_file_nothing_is_known(tmp_path):
    assert read_published_architecture(tmp_path / "x.npz") == {}


def test_the_config_of_transformers_is_read():
    found = read_published_architecture(FOLDER / "huggingface_vit/model.safetensors")
    assert {name: stated.value for name, stated in found.items()} == {
        "embed_dim": 24,
        "depth": 2,
        "num_heads": 3,
        "mlp_dim": 48,
        "image_size": (32, 32),
        "patch_size": 8,
        "in_channels": 3,
    }
    assert found["num_heads"] == Stated(3, "num_attention_heads is 3")
    assert found["image_size"].text == "image_size is 32x32"


def test_sides_may_be_lists(published):
    assert published(image_size=[32, 64], patch_size=[8, 8]) == {"image_size": (32, 64), "patch_size": 8}


def test_the_name_of_timm_gives_the_sizes_of_the_model(published):
    sizes = {"embed_dim": 1280, "depth": 32, "num_heads": 16, "mlp_dim": 5120, "patch_size": 14}
    assert published(architecture="deit3_huge_patch14_224") == sizes
    assert published(architecture="vit_small_r26_s32_224").get("patch_size") is None, "it is that of the feature map"
    assert published(architecture="vit_base_patch14_dinov2") == {}


def test_the_config_of_timm_is_read(published):
    config = {
        "architecture": "vit_base_patch16_224",
        "num_features": 96,
        "global_pool": "token",
        "model_args": {"embed_dim": 96, "num_heads": 4, "img_size": [112, 448], "mlp_ratio": 2.5, "global_pool": "avg"},
        "pretrained_cfg": {"input_size": [1, 224, 224]},
    }
    assert published(**config) == {
        "embed_dim": 96,
        "depth": 12,
        "num_heads": 4,
        "mlp_dim": 240,
        "patch_size": 16,
        "in_channels": 1,
        "image_size": (112, 448),
        "pool": "mean_norm",
    }
    config["model_args"]["fc_norm"] = False
    assert published(**config)["pool"] == "mean"
    assert published(global_pool="token")["pool"] == "cls"
    assert published(global_pool="max")["pool"] is None


@pytest.mark.parametrize(
    ("config", "words"),
    [
        ({"num_attention_heads": "12"}, "num_attention_heads must be a positive integer, not '12'"),
        ({"num_attention_heads": True}, "num_attention_heads must be a positive integer"),
        ({"hidden_size": 0}, "hidden_size must be a positive integer, not 0"),
        ({"image_size": [224]}, "image_size must be a positive integer"),
        ({"patch_size": [16, 8]}, r"patch_size \[16, 8\] is not supported; patches are square"),
        ({"model_args": [1]}, "model_args and pretrained_cfg must be objects"),
        ({"pretrained_cfg": {"input_size": 224}}, "input_size must be 3 positive integers, not 224"),
        ({"model_args": {"embed_dim": 8, "mlp_ratio": "4"}}, "mlp_ratio must be a number above 0, not '4'"),
    ],
)
def test_invalid_values_are_reported(published, config, words):
    with pytest.raises(
        UserError, match=rf"config\.json, the config beside the weights: {words}.*; correct or remove it"
    ):
        published(**config)


@pytest.mark.parametrize(
    ("config", "words"),
    [
        ({"model_type": "yolos"}, "their model_type is 'yolos'; supported are vit, deit, vit_mae, vit_msn"),
        ({"model_type": ["vit"]}, r"their model_type is \['vit'\]"),
        ({"qkv_bias": False}, "qkv_bias is false"),
    ],
)
def test_another_model_of_transformers_is_refused(published, config, words):
    with pytest.raises(
        UserError, match=rf"x\.npz has weights that are not supported: .*config\.json says that {words}"
    ):
        published(**config)


def test_the_text_names_the_value_of_the_file(tmp_path):
    write_json(tmp_path / "config.json", {"architecture": "vit_base_patch16_224", "global_pool": "avg"})
    found = read_published_architecture(tmp_path / "x.npz")
    assert found["pool"].text == "global_pool is avg"
    assert found["num_heads"].text == "architecture is vit_base_patch16_224, with num_heads 12"
