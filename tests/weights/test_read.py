import mindspore as ms
import numpy as np
import pytest

from mindvit.errors import UserError
from mindvit.weights.checkpoint import TRAIN_STATE_KEY, write_tensors
from mindvit.weights.read import read_weights
from tests.weights.published import PublishedFile, renamed, tutorial_weights, write_npz


def save_ckpt(path, weights, texts=None):
    write_tensors(path, {name: ms.Tensor(values) for name, values in weights.items()}, texts or {})
    return path


def test_our_own_file_is_read_with_its_passport(tiny_checkpoint):
    loaded = read_weights(tiny_checkpoint())
    assert (loaded.metadata.model_name, loaded.layout) == ("vit_mini_4_32", None)
    assert all(isinstance(values, np.ndarray) for values in loaded.tensors.values())


@pytest.mark.parametrize(("library", "model"), [("timm", "vit"), ("google", "big_vision"), ("mindcv", "vit")])
def test_anothers_is_read_under_our_names_with_its_layout(tmp_path, library, model):
    loaded = read_weights(write_npz(tmp_path / "x.npz", PublishedFile(library).weights(model)))
    assert (loaded.layout.name, loaded.metadata) == (library, None)
    assert loaded.tensors["transformer.layers.1.1.cell.1.dense1.weight"].shape == (48, 24)
    assert loaded.tensors["transformer.layers.1.0.cell.1.qkv.weight"].shape == (72, 24)


def test_mindspores_format_does_not_make_a_layout(tmp_path):
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
def test_what_a_layout_has_no_name_for_is_kept(tmp_path, library, model, name, kept):
    extra = {name: np.ones(2, np.float32)}
    loaded = read_weights(write_npz(tmp_path / "x.npz", PublishedFile(library).weights(model) | extra))
    np.testing.assert_array_equal(loaded.tensors[kept], extra[name])


def test_position_ids_of_transformers_are_no_weights(tmp_path):
    weights = PublishedFile("huggingface").weights("vit")
    path = write_npz(tmp_path / "x.npz", weights | {"vit.embeddings.position_ids": np.arange(17)})
    assert read_weights(path).tensors.keys() == read_weights(write_npz(tmp_path / "y.npz", weights)).tensors.keys()


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_weights_that_are_no_numbers_are_refused(tmp_path, value):
    weights = PublishedFile("timm").weights("vit")
    weights["norm.bias"][3] = value
    with pytest.raises(UserError, match=r"norm\.bias"):
        read_weights(write_npz(tmp_path / "x.npz", weights))
    with pytest.raises(UserError, match=r"norm\.bias"):
        read_weights(save_ckpt(tmp_path / "x.ckpt", weights))


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"vit.layers.1.attention.k_proj.weight": None}, r"damaged file of huggingface's: only 2 of the 3 parts"),
        ({"vit.encoder.layer.0.layernorm_after.bias": np.zeros(24)}, "is there twice"),
        ({"vit.layers.0.attention.q_proj.weight": np.zeros((24, 5))}, "damaged file of huggingface's"),
    ],
)
def test_parts_that_do_not_make_a_whole(tmp_path, changes, words):
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
def test_a_kernel_of_google_that_is_a_single_number(tmp_path, name):
    weights = PublishedFile("google").weights("original") | {name: np.float32(1)}
    with pytest.raises(UserError, match="damaged file of google's"):
        read_weights(write_npz(tmp_path / "x.npz", weights))


def test_a_stack_of_blocks_that_is_a_single_number_is_kept_for_naming(tmp_path):
    name = "Transformer/encoderblock/LayerNorm_0/scale"
    weights = renamed(PublishedFile("google").weights("big_vision"), ("params/", "")) | {name: np.float32(1)}
    assert name in read_weights(write_npz(tmp_path / "x.npz", weights)).tensors


def test_a_state_of_a_run_is_refused(tmp_path):
    path = save_ckpt(
        tmp_path / "s.ckpt", tutorial_weights(PublishedFile("mindcv").weights("vit")), {TRAIN_STATE_KEY: "{}"}
    )
    with pytest.raises(UserError, match="is a state that a run goes on from"):
        read_weights(path)


def test_a_foreign_network_in_mindspores_format_is_refused(tmp_path):
    with pytest.raises(UserError, match="the layout of no Vision Transformer"):
        read_weights(save_ckpt(tmp_path / "x.ckpt", {"conv1.weight": np.zeros((2, 3), np.float32)}))
