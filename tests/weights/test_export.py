import json
import re

import numpy as np
import pytest

from mindvit import create_model
from mindvit.classes import Classes
from mindvit.errors import UserError
from mindvit.models import Preprocessing
from mindvit.models.variants import list_models, model_config
from mindvit.weights.export import to_huggingface, to_timm
from mindvit.weights.metadata import CheckpointMetadata
from mindvit.weights.sidecar_config import read_sidecar_config
from tests.weights.published import FOLDER, SIZES, PublishedFile, assert_same_tensors, write_json, write_npz

pytestmark = pytest.mark.eager

BASE = {"img_size": 32, "patch_size": 8, "embed_dim": 24, "depth": 2, "num_heads": 3, "mlp_ratio": 2.0}
TINY = {"image_size": 8, "embed_dim": 12, "depth": 1, "num_heads": 2, "mlp_dim": 16, "num_classes": 3}


def loaded(tmp_path, library, model, name, **settings):
    path = write_npz(tmp_path / "x.npz", PublishedFile(library).weights(model))
    network = create_model(name, checkpoint=str(path), **{**SIZES, **settings})
    return network, CheckpointMetadata(name, network.config)


def arguments_of(usage):
    """The model name and the arguments in a call of timm's create_model."""
    name, arguments = re.fullmatch(r'timm\.create_model\("(\w+)"(.*), checkpoint_path="\{file\}"\)', usage).groups()
    found = re.findall(r", (\w+)=((?:functools.*?\))|[^,]+)", arguments)
    return name, dict(found)


def as_text(arguments):
    return {key: str(value) for key, value in arguments.items()}


@pytest.mark.parametrize(
    ("model", "name", "settings", "theirs", "arguments"),
    [
        ("vit", "vit_b_16_224", {}, "vit_base_patch16_224", {}),
        ("reg4_gap", "vit_b_reg4_gap_16_256", {}, "vit_base_patch16_reg4_gap_256", {}),
        (
            "gap",
            "vit_b_16_224",
            {"pool": "mean"},
            "vit_base_patch16_224",
            {"class_token": False, "global_pool": '"avg"', "fc_norm": False},
        ),
        ("deit3", "deit3_b_16_224", {}, "deit3_base_patch16_224", {}),
        (
            "deit3",
            "vit_b_16_224",
            {"layer_scale": 0.25, "prefix_pos_embed": False},
            "vit_base_patch16_224",
            {"init_values": 0.25, "no_embed_class": True},
        ),
        ("distilled", "deit_b_distilled_16_224", {}, "deit_base_distilled_patch16_224", {}),
        ("distilled", "vit_b_16_224", {"distilled": True}, "deit_base_distilled_patch16_224", {}),
        ("siglip", "vit_b_siglip_16_224", {}, "vit_base_patch16_siglip_224", {}),
        ("qk_norm", "vit_b_16_224", {"qk_norm": True}, "vit_base_patch16_224", {"qk_norm": True}),
        ("vit", "vit_mini_4_32", {}, "vit_base_patch16_224", {}),
    ],
)
def test_tensors_of_timm_are_restored_bit_for_bit(tmp_path, model, name, settings, theirs, arguments):
    export = to_timm(*loaded(tmp_path, "timm", model, name, **settings))
    assert_same_tensors(export.arrays, PublishedFile("timm").weights(model))
    assert export.sidecars == {}
    assert arguments_of(export.usage) == (theirs, as_text(BASE | arguments | {"num_classes": 7}))


@pytest.mark.parametrize(("model", "name"), [("vit", "vit_b_16_224"), ("deit", "deit_b_distilled_16_224")])
def test_tensors_of_transformers_are_restored_bit_for_bit(tmp_path, model, name):
    source = FOLDER / f"huggingface_{model}"
    network = create_model(name, checkpoint=str(source / "model.safetensors"), **SIZES)
    export = to_huggingface(network, CheckpointMetadata(name, network.config))
    header = json.loads((source / "model.safetensors").read_bytes()[8:].split(b"}}")[0] + b"}}")
    header.pop("__metadata__")
    assert {key: list(values.shape) for key, values in export.arrays.items()} == {
        key: entry["shape"] for key, entry in header.items()
    }
    data = (source / "model.safetensors").read_bytes()
    start = 8 + int.from_bytes(data[:8], "little")
    for key, entry in header.items():
        begin, end = entry["data_offsets"]
        assert export.arrays[key].tobytes() == data[start + begin : start + end], key
    theirs = json.loads((source / "config.json").read_text())
    ours = export.sidecars["config.json"]
    names = {"id2label", "label2id"} if model == "vit" else set()
    shared = (ours.keys() & theirs.keys()) - names
    assert {key: ours[key] for key in shared} == {key: theirs[key] for key in shared}
    assert theirs.keys() - ours.keys() <= {
        "dtype",
        "encoder_stride",
        "initializer_range",
        "pooler_act",
        "pooler_output_size",
        "transformers_version",
    }


def test_the_numerics_of_google_are_exported(tmp_path):
    network, metadata = loaded(tmp_path, "google", "original", "vit_b_16_224", norm_eps=1e-5)
    _, arguments = arguments_of(to_timm(network, metadata).usage)
    assert arguments["act_layer"] == '"gelu_tanh"'
    assert arguments["norm_layer"] == "functools.partial(torch.nn.LayerNorm, eps=1e-05)"
    config = to_huggingface(network, metadata).sidecars["config.json"]
    assert (config["hidden_act"], config["layer_norm_eps"]) == ("gelu_pytorch_tanh", 1e-5)


def exported(to, name="vit_mini_4_32", **settings):
    network = create_model(name, **{**TINY, **settings})
    return to(network, CheckpointMetadata(name, network.config)), network


@pytest.mark.parametrize(
    ("settings", "arguments"),
    [
        ({"image_size": (8, 12)}, {"img_size": "(8, 12)"}),
        ({"in_channels": 1}, {"in_chans": "1"}),
        ({"register_tokens": 2}, {"reg_tokens": "2", "no_embed_class": "True"}),
        ({"register_tokens": 2, "prefix_pos_embed": False}, {"reg_tokens": "2", "no_embed_class": "True"}),
        ({"pool": "mean_norm"}, {"class_token": "False", "global_pool": '"avg"'}),
        ({"pool": "mean_norm", "class_token": True}, {"global_pool": '"avg"'}),
        ({"pool": "map"}, {"class_token": "False", "global_pool": '"map"'}),
        (
            {"pool": "map", "class_token": True, "prefix_pos_embed": False},
            {"global_pool": '"map"', "pool_include_prefix": "True", "no_embed_class": "True"},
        ),
        ({"gelu": "exact", "norm_eps": 1e-6}, {}),
    ],
)
def test_differences_from_the_model_of_timm_become_arguments(settings, arguments):
    base = {"norm_eps": 1e-6, "gelu": "exact"}
    usage = exported(to_timm, **(base | settings))[0].usage
    name, found = arguments_of(usage.replace("(8, 12)", "8x12"))
    assert name == "vit_base_patch16_224"
    plain = {"img_size": "8", "patch_size": "4", "embed_dim": "12", "depth": "1", "num_heads": "2", "num_classes": "3"}
    plain["mlp_ratio"] = str(16 / 12)
    assert found == plain | {key: value.replace("(8, 12)", "8x12") for key, value in arguments.items()}


def test_the_position_embedding_of_a_class_token_beside_registers_is_added_to_the_token():
    export, network = exported(to_timm, register_tokens=2)
    table = network.pos_embedding.asnumpy()
    assert export.arrays["pos_embed"].tobytes() == table[:, 1:].tobytes()
    np.testing.assert_array_equal(export.arrays["cls_token"], network.cls.asnumpy() + table[:, :1])


@pytest.mark.parametrize(
    ("settings", "rows"),
    [({"pos_embed": "learned2d"}, 4), ({"pos_embed": "sincos2d"}, 4), ({"prefix_pos_embed": False}, 4), ({}, 5)],
)
def test_position_embeddings_of_every_kind_are_exported_as_one_table(settings, rows):
    table = exported(to_timm, **settings)[0].arrays["pos_embed"]
    assert table.shape == (1, rows, 12)
    export, network = exported(to_huggingface, **settings)
    theirs = export.arrays["vit.embeddings.position_embeddings"]
    assert theirs.shape == (1, 5, 12)
    np.testing.assert_array_equal(theirs[:, 5 - rows :], network.pos_embed_table().asnumpy())
    if rows == 4:
        assert not theirs[:, 0].any()


def test_a_distilled_network_of_timm_has_rows_for_both_tokens():
    export, network = exported(to_timm, distilled=True, prefix_pos_embed=False)
    table = export.arrays["pos_embed"]
    assert not table[:, :2].any()
    np.testing.assert_array_equal(table[:, 2:], network.pos_embedding.asnumpy())
    assert "no_embed_class" not in export.usage


def test_the_config_for_transformers():
    network = create_model("vit_mini_4_32", **{**TINY, "image_size": (8, 12), "crop_pct": 0.8})
    classes = Classes(("n1", "n2", "n3"), ("Katze", "狗", "emu"))
    export = to_huggingface(network, CheckpointMetadata("vit_mini_4_32", network.config, classes))
    config, prepared = export.sidecars["config.json"], export.sidecars["preprocessor_config.json"]
    assert config["id2label"] == {"0": "Katze", "1": "狗", "2": "emu"}
    assert config["label2id"] == {"Katze": 0, "狗": 1, "emu": 2}
    assert config["image_size"] == [8, 12]
    assert prepared["size"] == {"height": 10, "width": 15}
    assert prepared["crop_size"] == {"height": 8, "width": 12}
    assert (prepared["image_mean"], prepared["resample"]) == ([0.5, 0.5, 0.5], 2)
    assert export.usage == 'transformers.ViTForImageClassification.from_pretrained("{folder}")'
    assert json.loads(json.dumps(export.sidecars)) == export.sidecars


@pytest.mark.parametrize("resize", ["timm", "squash"])
def test_the_preprocessing_for_transformers_is_read_back(tmp_path, resize):
    settings = {"crop_pct": 16 / 21, "interpolation": "bicubic", "resize": resize}
    export, network = exported(to_huggingface, image_size=16, **settings)
    write_json(tmp_path / "preprocessor_config.json", export.sidecars["preprocessor_config.json"])
    read = read_sidecar_config(tmp_path / "model.safetensors")[0]
    assert Preprocessing(**read) == network.config.preprocessing


@pytest.mark.parametrize(
    ("to", "settings", "words"),
    [
        (to_timm, {"pos_embed": "relative"}, "cannot be exported to timm, whose ViT does not support its pos_embed"),
        (to_timm, {"pos_embed": "none"}, "pos_embed"),
        (to_timm, {"patch_stride": 2}, "patch_stride"),
        (to_timm, {"pre_logits_dim": 5}, "pre_logits_dim"),
        (to_timm, {"register_tokens": 1, "distilled": True}, "register_tokens"),
        (
            to_huggingface,
            {"pos_embed": "none", "qk_norm": True},
            "whose ViT does not support its qk_norm, pos_embed",
        ),
        (to_huggingface, {"pool": "map"}, "pool"),
        (to_huggingface, {"pool": "mean"}, "pool"),
        (to_huggingface, {"layer_scale": 0.1}, "layer_scale"),
        (to_huggingface, {"register_tokens": 1}, "register_tokens"),
        (to_huggingface, {"pre_logits_dim": 5}, "pre_logits_dim"),
    ],
)
def test_unsupported_settings_are_refused(to, settings, words):
    with pytest.raises(UserError, match=words):
        exported(to, **settings)


# The sizes in TINY do not reduce the stem of a hybrid.
@pytest.mark.parametrize("name", [name for name in list_models() if model_config(name).stem is None])
def test_every_model_is_exported_under_a_name_that_timm_has(name):
    if model_config(name).pre_logits_dim is not None:
        with pytest.raises(UserError, match="cannot be exported to timm"):
            exported(to_timm, name, patch_size=4)
        return
    theirs, arguments = arguments_of(exported(to_timm, name, patch_size=4)[0].usage)
    assert theirs in set(PublishedFile("timm")["models"])
    assert arguments.keys() >= {"img_size", "patch_size", "embed_dim", "num_classes"}
