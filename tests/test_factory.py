from dataclasses import fields
from typing import Literal, get_args, get_origin, get_type_hints

import mindspore as ms
import numpy as np
import pytest

from mindvit import create_model
from mindvit.errors import UserError
from mindvit.factory import ModelOverrides, ModelSettings, load_trained, load_weights
from mindvit.models import Preprocessing, ViTConfig
from mindvit.weights.checkpoint import write_checkpoint
from mindvit.weights.metadata import CheckpointMetadata
from tests.weights.published import (
    FOLDER,
    SIZES,
    PublishedFile,
    random_images,
    tutorial_weights,
    write_json,
    write_npz,
)

pytestmark = pytest.mark.eager

HALVES = (0.5, 0.5, 0.5)
IMAGENET = (0.485, 0.456, 0.406)
NAMES = {"deit3": "deit3_b_16_224", "distilled": "deit_b_distilled_16_224"}


@pytest.fixture
def published(tmp_path):
    """Writes a model of another library to a file."""

    def write(library, model="vit", name="x.npz"):
        if library == "tutorial":
            return str(write_npz(tmp_path / name, tutorial_weights(PublishedFile("mindcv").weights(model))))
        return str(write_npz(tmp_path / name, PublishedFile(library).weights(model)))

    return write


def logits(network, images=None):
    return network.set_train(False)(ms.Tensor(random_images() if images is None else images)).asnumpy()


# Loading trained models.


@pytest.mark.slow
@pytest.mark.filterwarnings("error")
def test_a_trained_model_is_restored_from_its_checkpoint(tiny_checkpoint, rng):
    path = tiny_checkpoint(drop_path=0.1)
    images = rng.standard_normal((2, 3, 8, 8)).astype(np.float32)
    one, other = (load_trained(str(path)).network for _ in range(2))
    np.testing.assert_array_equal(logits(one, images), logits(other, images))
    assert one.config.embed_dim == 32
    assert one.config.drop_path == 0.1


def test_the_file_name_names_the_model_of_a_checkpoint_without_metadata(tmp_path):
    path = tmp_path / "my-vit_ti_16_224-3.ckpt"
    ms.save_checkpoint(create_model("vit_ti_16_224", num_classes=7), str(path))
    trained = load_trained(str(path))
    assert trained.metadata.model_name == "vit_ti_16_224"
    assert trained.metadata.model.num_classes == 7
    assert trained.metadata.classes is None
    assert trained.metadata.origin == "tutorial"


def test_a_checkpoint_with_1000_classes_has_those_of_imagenet(tmp_path):
    path = tmp_path / "vit_ti_16_224.ckpt"
    ms.save_checkpoint(create_model("vit_ti_16_224"), str(path))
    metadata = load_trained(str(path)).metadata
    assert metadata.classes.names[236] == "Doberman"
    assert metadata.data_source == "imagenet"


def timm_weights(network):
    """The weights of a network under the names of timm."""
    pairs = [
        ("cls", "cls_token"),
        ("pos_embedding", "pos_embed"),
        ("patch_embedding.conv", "patch_embed.proj"),
        ("transformer.layers", "blocks"),
        ("0.cell.0.gamma", "norm1.weight"),
        ("0.cell.0.beta", "norm1.bias"),
        ("1.cell.0.gamma", "norm2.weight"),
        ("1.cell.0.beta", "norm2.bias"),
        ("0.cell.1.qkv", "attn.qkv"),
        ("0.cell.1.out", "attn.proj"),
        ("1.cell.1.dense1", "mlp.fc1"),
        ("1.cell.1.dense2", "mlp.fc2"),
        ("norm.gamma", "norm.weight"),
        ("norm.beta", "norm.bias"),
        ("dense.", "head."),
    ]
    weights = {}
    for parameter in network.get_parameters():
        name = parameter.name
        for ours, theirs in pairs:
            name = name.replace(ours, theirs)
        weights[name] = parameter.asnumpy()
    return weights


def test_the_file_name_names_the_model_of_a_file_of_another_library(tmp_path):
    network = create_model("vit_ti_16_224", num_classes=7)
    trained = load_trained(str(write_npz(tmp_path / "timm-vit_ti_16_224.npz", timm_weights(network))))
    assert (trained.metadata.origin, trained.metadata.model_name) == ("timm", "vit_ti_16_224")
    config = trained.metadata.model
    assert (config.gelu, config.norm_eps, config.num_classes) == ("exact", 1e-6, 7)
    assert config.preprocessing == Preprocessing(HALVES, HALVES, "bicubic", 0.9)
    assert trained.network.config == config
    np.testing.assert_array_equal(trained.network.pos_embedding.asnumpy(), network.pos_embedding.asnumpy())


def test_a_checkpoint_of_an_unknown_model_is_reported_with_the_models_that_fit(tmp_path):
    ms.save_checkpoint(create_model("vit_mini_4_32"), str(tmp_path / "model.ckpt"))
    words = (
        r"does not name its model; put the model name into the file name, as in vit_b_16_224\.ckpt, "
        r".*convert\.py \(it fits vit_mini_4_32\)"
    )
    with pytest.raises(UserError, match=words):
        load_trained(str(tmp_path / "model.ckpt"))


def test_a_checkpoint_that_fits_no_model_is_reported_without_models(published):
    with pytest.raises(UserError, match=r"with convert\.py$"):
        load_trained(published("timm"))


# Starting from a checkpoint of this project.


def test_starting_from_a_checkpoint_takes_its_sizes_and_classes(tiny_checkpoint):
    network = create_model("vit_mini_4_32", checkpoint=str(tiny_checkpoint()))
    assert (network.config.embed_dim, network.config.num_classes) == (32, 2)


def test_a_head_for_other_classes_is_newly_initialized_with_a_warning(tiny_checkpoint):
    path = str(tiny_checkpoint())
    with pytest.warns(
        match=r"tiny\.ckpt: the checkpoint's head has 2 classes and the model's has 5; dense is newly initialized"
    ):
        network = create_model("vit_mini_4_32", checkpoint=path, num_classes=5)
    assert network.config.num_classes == 5
    assert not network.dense.weight.asnumpy().any()


def test_another_architecture_is_refused_with_the_differences(tiny_checkpoint):
    words = r"is for another network: it differs in embed_dim \(the file's: 32, the model's: 192\); depth"
    with pytest.raises(UserError, match=words):
        create_model("vit_ti_16_224", checkpoint=str(tiny_checkpoint()))


def test_position_embeddings_are_resized_with_a_warning(tiny_checkpoint):
    with pytest.warns(match="position embeddings are resized from 2x2 to 4x4 patches"):
        network = create_model("vit_mini_4_32", checkpoint=str(tiny_checkpoint()), image_size=16)
    assert network.pos_embedding.shape == (1, 17, 32)


def test_the_numerics_of_the_metadata_apply_to_another_model_name(tiny_checkpoint):
    path = tiny_checkpoint(norm_eps=1e-5, gelu="exact", crop_pct=0.8)
    sizes = {"image_size": 8, "patch_size": 4, "embed_dim": 32, "depth": 1, "num_heads": 2, "mlp_dim": 64}
    network = create_model("vit_b_16_224", checkpoint=str(path), **sizes)
    assert (network.config.norm_eps, network.config.gelu) == (1e-5, "exact")
    assert network.config.preprocessing == Preprocessing(HALVES, HALVES, "bilinear", 0.8)


# Starting from weights of other libraries, with their numerics and preprocessing.


@pytest.mark.parametrize(
    ("library", "gelu", "eps", "prepared"),
    [
        ("tutorial", "tanh", 1e-7, Preprocessing(resize="mindspore")),
        ("mindcv", "tanh", 1e-7, Preprocessing(interpolation="bicubic", resize="mindspore")),
        ("timm", "exact", 1e-6, Preprocessing(HALVES, HALVES, "bicubic", 0.9)),
        ("huggingface", "exact", 1e-12, Preprocessing(HALVES, HALVES, "bilinear", 1.0, "squash")),
        ("torchvision", "exact", 1e-6, Preprocessing()),
    ],
)
def test_numerics_and_preprocessing_of_a_library(published, library, gelu, eps, prepared):
    config = create_model("vit_b_16_224", checkpoint=published(library), **SIZES).config
    assert (config.gelu, config.norm_eps, config.preprocessing) == (gelu, eps, prepared)
    config = create_model("vit_b_16_384", checkpoint=published(library), **SIZES).config
    assert config.preprocessing.crop_pct == (1.0 if prepared.mean == HALVES else 0.875)


@pytest.mark.parametrize(("model", "crop"), [("deit3", 1.0), ("distilled", 0.875)])
def test_a_deit_keeps_its_own_preprocessing(published, model, crop):
    config = create_model(NAMES[model], checkpoint=published("timm", model), **SIZES).config
    assert config.preprocessing == Preprocessing(interpolation="bicubic", crop_pct=crop)


def test_the_sidecar_config_has_priority_over_the_layout():
    path = str(FOLDER / "huggingface_vit/model.safetensors")
    config = create_model("vit_b_16_224", checkpoint=path, **SIZES).config
    assert config.preprocessing == Preprocessing(HALVES, HALVES, "bilinear", 1.0, "squash")


def test_the_sidecar_config_of_timm_changes_the_preprocessing_of_a_deit(published, tmp_path):
    path = published("timm", "deit3")
    write_json(tmp_path / "config.json", {"pretrained_cfg": {"crop_pct": 0.95, "mean": [0.1, 0.2, 0.3]}})
    config = create_model("deit3_b_16_224", checkpoint=path, **SIZES).config
    assert config.preprocessing == Preprocessing((0.1, 0.2, 0.3), interpolation="bicubic", crop_pct=0.95)


@pytest.mark.parametrize("content", [{"layer_norm_eps": -1.0}, {"pretrained_cfg": {"crop_pct": 2}}])
def test_an_invalid_sidecar_config_is_refused_and_nothing_is_loaded(published, tmp_path, content):
    path = published("timm")
    network = create_model("vit_b_16_224", num_classes=7, **SIZES)
    before = network.pos_embedding.asnumpy().copy()
    write_json(tmp_path / "config.json", content)
    with pytest.raises(UserError):
        load_weights(network, path)
    np.testing.assert_array_equal(network.pos_embedding.asnumpy(), before)
    with pytest.raises(UserError):
        create_model("vit_b_16_224", checkpoint=path, **SIZES)


def test_overrides_have_priority(published):
    given = {"gelu": "tanh", "norm_eps": 1e-3, "crop_pct": 0.7, "interpolation": "nearest", "mean": IMAGENET}
    config = create_model("vit_b_16_224", checkpoint=published("timm"), **SIZES, **given).config
    assert (config.gelu, config.norm_eps) == ("tanh", 1e-3)
    assert config.preprocessing == Preprocessing(IMAGENET, HALVES, "nearest", 0.7)


@pytest.mark.slow
def test_overrides_change_the_logits(published):
    expected = PublishedFile("timm")["vit/logits"]
    for settings in ({"gelu": "tanh"}, {"norm_eps": 1e-5}):
        network = create_model("vit_b_16_224", checkpoint=published("timm"), **SIZES, **settings)
        assert np.abs(logits(network) - expected).max() > 5e-5


# Loading into an existing model.


@pytest.mark.graph
@pytest.mark.slow
@pytest.mark.filterwarnings("error")
def test_loading_changes_the_numerics_of_a_compiled_model(published):
    network = create_model("vit_b_16_224", num_classes=7, **SIZES)
    logits(network)
    for library in ("timm", "mindcv", "huggingface", "timm"):
        assert load_weights(network, published(library)) is network
        np.testing.assert_allclose(logits(network), PublishedFile(library)["vit/logits"], rtol=0, atol=1e-5)


@pytest.mark.graph
@pytest.mark.slow
def test_loading_changes_the_features_of_a_compiled_model(published):
    loaded = create_model("vit_b_16_224", num_classes=7, **SIZES).set_train(False)
    images = ms.Tensor(random_images())
    loaded.forward_features(images)
    load_weights(loaded, published("timm"))
    made = create_model("vit_b_16_224", checkpoint=published("timm"), **SIZES).set_train(False)
    expected = made.forward_features(images).asnumpy()
    np.testing.assert_allclose(loaded.forward_features(images).asnumpy(), expected, rtol=0, atol=1e-6)


def test_the_preprocessing_is_that_of_the_last_file(published):
    network = create_model("vit_b_16_224", num_classes=7, **SIZES)
    for library, mean in (("timm", HALVES), ("torchvision", IMAGENET), ("timm", HALVES)):
        load_weights(network, published(library))
        assert network.config.preprocessing.mean == mean
    network = create_model("vit_b_16_224", num_classes=7, crop_pct=0.6, **SIZES)
    load_weights(network, published("timm"))
    assert network.config.preprocessing == Preprocessing(crop_pct=0.6)


def test_loading_warns_of_adapted_tensors(published):
    network = create_model("vit_b_16_224", num_classes=3, **SIZES | {"image_size": 48})
    with pytest.warns() as warned:
        load_weights(network, published("timm"), resize_pos_embed="bilinear")
    texts = [str(warning.message) for warning in warned]
    assert len(texts) == 2
    assert "x.npz: position embeddings are resized from 4x4 to 6x6 patches (bilinear)" in texts[0]
    assert "x.npz: the checkpoint's head has 7 classes and the model's has 3; dense is newly initialized" in texts[1]


def test_loading_strictly_or_not(published, tmp_path):
    weights = PublishedFile("timm").weights("vit") | {"mask_token": np.zeros(3, np.float32)}
    path = str(write_npz(tmp_path / "more.npz", weights))
    network = create_model("vit_b_16_224", num_classes=7, **SIZES)
    with pytest.raises(UserError, match="does not fit this model: unexpected mask_token"):
        load_weights(network, path)
    assert network.config.gelu == "tanh"
    with pytest.warns(match="unexpected, skipped: mask_token"):
        load_weights(network, path, strict=False)
    assert network.config.gelu == "exact"


def test_loading_a_checkpoint_applies_the_numerics_of_its_metadata(tmp_path):
    source = create_model("vit_b_16_224", num_classes=7, gelu="exact", norm_eps=1e-3, crop_pct=0.7, **SIZES)
    write_checkpoint(tmp_path / "a.ckpt", source, CheckpointMetadata("vit_b_16_224", source.config))
    network = create_model("vit_b_16_224", num_classes=7, **SIZES)
    load_weights(network, str(tmp_path / "a.ckpt"))
    assert network.config == source.config


def test_a_recipe_has_the_settings_of_the_network():
    own = {item.name for item in fields(ModelSettings)} - {"name", "checkpoint", "resize_pos_embed"}
    from_data = {"num_classes", "in_channels"}
    of_network = {item.name for item in (*fields(ViTConfig), *fields(Preprocessing))} - from_data - {"preprocessing"}
    assert own == of_network


def test_a_part_of_a_named_model_can_be_removed():
    network = create_model("plain_vit_s_16_224", pre_logits_dim=None, image_size=32, depth=1)
    assert network.config.pre_logits_dim is None
    assert network.dense.weight.shape == (1000, 384)


LITERALS = {
    name: literal
    for kind in (ViTConfig, Preprocessing)
    for name, hint in get_type_hints(kind).items()
    for literal in (hint, *get_args(hint))
    if get_origin(literal) is Literal
}


@pytest.mark.parametrize("name", LITERALS)
def test_a_recipe_has_the_choices_of_the_network(name):
    literal = next(hint for hint in get_args(get_type_hints(ModelOverrides)[name]) if get_origin(hint) is Literal)
    assert get_args(literal) == get_args(LITERALS[name])
