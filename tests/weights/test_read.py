import json

import mindspore as ms
import numpy as np
import pytest

from mindvit.errors import UserError
from mindvit.weights.checkpoint import TRAIN_STATE_KEY
from mindvit.weights.formats.ckpt import read_ckpt, write_ckpt
from mindvit.weights.metadata import METADATA_KEY
from mindvit.weights.read import read_weights
from tests.weights.published import FOLDER, PublishedFile, renamed, tutorial_weights, write_npz


def save_ckpt(path, weights, texts=None):
    write_ckpt(path, {name: ms.Tensor(values) for name, values in weights.items()}, texts or {})
    return path


def test_a_file_of_this_project_is_read_with_its_metadata(tiny_checkpoint):
    loaded = read_weights(tiny_checkpoint())
    assert (loaded.metadata.model_name, loaded.layout) == ("vit_mini_4_32", None)
    assert all(isinstance(values, np.ndarray) for values in loaded.tensors.values())


@pytest.mark.parametrize(("library", "model"), [("timm", "vit"), ("google", "big_vision"), ("mindcv", "vit")])
def test_a_file_of_another_library_is_read_under_our_names_with_its_layout(tmp_path, library, model):
    loaded = read_weights(write_npz(tmp_path / "x.npz", PublishedFile(library).weights(model)))
    assert (loaded.layout.name, loaded.metadata) == (library, None)
    assert loaded.tensors["transformer.layers.1.1.cell.1.dense1.weight"].shape == (48, 24)
    assert loaded.tensors["transformer.layers.1.0.cell.1.qkv.weight"].shape == (72, 24)


def test_the_format_does_not_determine_the_layout(tmp_path):
    loaded = read_weights(save_ckpt(tmp_path / "x.ckpt", PublishedFile("timm").weights("vit")))
    assert loaded.layout.name == "timm"
    loaded = read_weights(save_ckpt(tmp_path / "x.ckpt", tutorial_weights(PublishedFile("mindcv").weights("vit"))))
    assert (loaded.layout.name, loaded.metadata) == ("tutorial", None)


@pytest.mark.parametrize(
    ("library", "model", "name", "kept"),
    [
        ("timm", "vit", "mask_token", "mask_token"),
        ("huggingface", "vit", "vit.mask_token", "mask_token"),
        ("google", "big_vision", "params/mask_token", "mask_token"),
        ("google", "original", "block3/unit2/other", "block2/unit1/other"),
    ],
)
def test_unexpected_tensors_are_kept(tmp_path, library, model, name, kept):
    extra = {name: np.ones(2, np.float32)}
    loaded = read_weights(write_npz(tmp_path / "x.npz", PublishedFile(library).weights(model) | extra))
    np.testing.assert_array_equal(loaded.tensors[kept], extra[name])


def test_position_ids_of_transformers_are_ignored(tmp_path):
    weights = PublishedFile("huggingface").weights("vit")
    path = write_npz(tmp_path / "x.npz", weights | {"vit.embeddings.position_ids": np.arange(17)})
    assert read_weights(path).tensors.keys() == read_weights(write_npz(tmp_path / "y.npz", weights)).tensors.keys()


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_weights_that_are_not_finite_are_refused(tmp_path, value):
    weights = PublishedFile("timm").weights("vit")
    weights["norm.bias"][3] = value
    with pytest.raises(UserError, match=r"norm\.bias"):
        read_weights(write_npz(tmp_path / "x.npz", weights))
    with pytest.raises(UserError, match=r"norm\.bias"):
        read_weights(save_ckpt(tmp_path / "x.ckpt", weights))


@pytest.mark.parametrize("value", [np.nan, -np.inf])
def test_a_checkpoint_of_this_project_that_is_not_finite_is_refused(tiny_checkpoint, value):
    path = tiny_checkpoint()
    tensors, texts = read_ckpt(path)
    bias = tensors["norm.beta"].asnumpy().copy()
    bias[:2] = value
    write_ckpt(path, {**tensors, "norm.beta": ms.Tensor(bias)}, texts)
    words = r"tiny\.ckpt has NaN or infinity in 1 of \d+ tensors: norm\.beta \(2 of 32 values\); the training diverged"
    with pytest.raises(UserError, match=words):
        read_weights(path)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"depth": 10**6}, r"depth \(the tensors': 1, the metadata's: 1000000\)"),
        ({"num_classes": 10**9}, r"num_classes \(the tensors': 2, the metadata's: 1000000000\)"),
        ({"in_channels": 10**6}, r"in_channels \(the tensors': 3, "),
        ({"image_size": 16}, r"position embeddings \(the tensors': 5, the metadata's: 17\)"),
        ({"embed_dim": 64}, r"embed_dim \(the tensors': 32, the metadata's: 64\)"),
        ({"pos_embed": "learned2d"}, r"rows, columns \(the tensors': \(None, None\), the metadata's: \(2, 2\)\)"),
        ({"pos_embed": "relative"}, r"heads and offsets \(the tensors': none, the metadata's: \(2, 3, 3\)\)"),
    ],
)
def test_metadata_that_does_not_fit_the_tensors_is_refused_before_a_network_is_made(tiny_checkpoint, changes, words):
    path = tiny_checkpoint()
    tensors, texts = read_ckpt(path)
    stored = json.loads(texts[METADATA_KEY])
    stored["model"] |= changes
    write_ckpt(path, tensors, {METADATA_KEY: json.dumps({**stored, "classes": None})})
    with pytest.raises(
        UserError, match=rf"tiny\.ckpt: its metadata does not fit its tensors; they differ in .*{words}"
    ):
        read_weights(path)


def test_what_config_json_says_is_read_with_the_weights():
    loaded = read_weights(FOLDER / "huggingface_vit/model.safetensors")
    assert (loaded.architecture["num_heads"].value, loaded.architecture["image_size"].value) == (3, (32, 32))


@pytest.mark.parametrize(
    "name", ["block1" + "1" * 5000 + "/unit1/x", "Transformer/encoderblock/x", "stem.stages.5.0.x"]
)
def test_a_tensor_name_or_shape_cannot_make_reading_fail_or_take_long(tmp_path, name):
    weights = PublishedFile("google").weights("original") | {name: np.zeros((10**9, 0), np.float32)}
    assert name in read_weights(write_npz(tmp_path / "x.npz", weights)).tensors


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        (
            {"vit.layers.1.attention.k_proj.weight": None},
            r"corrupt file of the layout huggingface: the file has only 2 of the 3 parts",
        ),
        ({"vit.encoder.layer.0.layernorm_after.bias": np.zeros(24)}, "is a duplicate"),
        ({"vit.layers.0.attention.q_proj.weight": np.zeros((24, 5))}, "corrupt file of the layout huggingface"),
    ],
)
def test_missing_duplicate_and_misshapen_parts_are_reported(tmp_path, changes, words):
    weights = PublishedFile("huggingface").weights("vit") | changes
    weights = {name: values for name, values in weights.items() if values is not None}
    with pytest.raises(UserError, match=words):
        read_weights(write_npz(tmp_path / "x.npz", weights))


@pytest.mark.parametrize(
    "name",
    [
        "embedding/kernel",
        "Transformer/encoderblock_0/MultiHeadDotProductAttention_1/query/kernel",
        "Transformer/encoderblock_0/MultiHeadDotProductAttention_1/out/kernel",
    ],
)
def test_a_scalar_kernel_of_google_is_reported(tmp_path, name):
    weights = PublishedFile("google").weights("original") | {name: np.float32(1)}
    with pytest.raises(UserError, match="corrupt file of the layout google"):
        read_weights(write_npz(tmp_path / "x.npz", weights))


def test_a_scalar_stack_of_blocks_is_kept_as_unexpected(tmp_path):
    name = "Transformer/encoderblock/LayerNorm_0/scale"
    weights = renamed(PublishedFile("google").weights("big_vision"), ("params/", "")) | {name: np.float32(1)}
    assert name in read_weights(write_npz(tmp_path / "x.npz", weights)).tensors


def test_a_training_checkpoint_is_refused(tmp_path):
    path = save_ckpt(
        tmp_path / "s.ckpt", tutorial_weights(PublishedFile("mindcv").weights("vit")), {TRAIN_STATE_KEY: "{}"}
    )
    with pytest.raises(UserError, match="is a training checkpoint, which is for --resume only"):
        read_weights(path)


def test_another_network_in_the_format_of_mindspore_is_refused(tmp_path):
    with pytest.raises(UserError, match="no known layout of a Vision Transformer"):
        read_weights(save_ckpt(tmp_path / "x.ckpt", {"conv1.weight": np.zeros((2, 3), np.float32)}))
