import mindspore as ms
import numpy as np
import pytest

from mindvit.errors import UserError
from mindvit.weights.checkpoint import TRAIN_STATE_KEY
from mindvit.weights.formats.ckpt import write_ckpt
from mindvit.weights.read import read_weights
from tests.weights.published import PublishedFile, renamed, tutorial_weights, write_npz


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
