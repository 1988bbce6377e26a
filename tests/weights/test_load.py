from pathlib import Path

import mindspore as ms
import numpy as np
import pytest

from mindvit import create_model
from mindvit.errors import UserError
from mindvit.models.variants import override
from mindvit.weights.checkpoint import Checkpoint
from mindvit.weights.load import load_tensors
from mindvit.weights.metadata import CheckpointMetadata
from mindvit.weights.published_architecture import Stated
from mindvit.weights.resize_pos_embed import resize_grid, resize_pos_embed
from tests.weights.published import SIZES as PUBLISHED_SIZES
from tests.weights.published import PublishedFile, random_images, write_npz

pytestmark = pytest.mark.eager

SIZES = {"image_size": 8, "embed_dim": 12, "depth": 1, "num_heads": 2, "mlp_dim": 16}
QKV = "transformer.layers.0.0.cell.1.qkv.weight"


def tiny(num_classes=3, **overrides):
    return create_model("vit_mini_4_32", num_classes=num_classes, **{**SIZES, **overrides})


def values(network):
    return {parameter.name: parameter.asnumpy().copy() for parameter in network.get_parameters()}


def checkpoint_of(network, metadata=False, stated=None, **changes):
    """A checkpoint with random tensors for a network; changes are shapes by name, None removes a tensor.

    `stated` is what a published config.json says, by the names of ViTConfig.
    """
    rng = np.random.default_rng(1)
    tensors = {name: rng.standard_normal(old.shape).astype(np.float32) for name, old in values(network).items()}
    for name, shape in changes.items():
        name = name.replace("__", ".")
        if shape is None:
            del tensors[name]
        else:
            tensors[name] = np.zeros(shape, np.float32)
    return Checkpoint(
        Path("x.ckpt"),
        tensors,
        CheckpointMetadata("vit_mini_4_32", network.config) if metadata else None,
        architecture={name: Stated(value, f"their_{name} is {value}") for name, value in (stated or {}).items()},
    )


def logits(network, images):
    return network.set_train(False)(ms.Tensor(images)).asnumpy()


def assert_equal(found, expected):
    np.testing.assert_array_equal(found, expected)


def test_every_tensor_is_loaded():
    network = tiny()
    checkpoint = checkpoint_of(network)
    assert load_tensors(network, checkpoint) == []
    for name, loaded in values(network).items():
        assert_equal(loaded, checkpoint.tensors[name])


def test_float16_weights_are_loaded_as_float32():
    network = tiny()
    checkpoint = checkpoint_of(network)
    float16_tensors = {name: tensor.astype(np.float16) for name, tensor in checkpoint.tensors.items()}
    load_tensors(network, Checkpoint(checkpoint.path, float16_tensors, None))
    assert {parameter.dtype for parameter in network.get_parameters()} == {ms.float32}
    assert_equal(network.cls.asnumpy(), float16_tensors["cls"].astype(np.float32))


# Checkpoints that do not fit.


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"norm__beta": None}, "missing norm.beta"),
        ({"dense__bias": None}, "missing dense.bias"),
        ({"extra": (2,)}, "unexpected extra"),
        ({"norm__gamma": (5,)}, r"norm.gamma has shape \(5,\), not \(12,\)"),
        ({"dense__weight": (3, 5)}, r"dense.weight has shape \(3, 5\), not \(3, 12\)"),
        ({"patch_embedding__conv__weight": None}, r"missing patch_embedding\.conv\.weight"),
        ({"patch_embedding__conv__weight": (12, 48)}, r"conv.weight has shape \(12, 48\), not \(12, 3, 4, 4\)"),
        (
            {"patch_embedding__conv__weight": (12, 3, 4, 5)},
            r"conv.weight has shape \(12, 3, 4, 5\), not \(12, 3, 4, 4\)",
        ),
        ({"pos_embedding": (5, 12)}, r"pos_embedding has shape \(5, 12\), not \(1, 5, 12\)"),
        ({"pos_embedding": (1, 5, 7)}, r"pos_embedding has shape \(1, 5, 7\), not \(1, 5, 12\)"),
        (
            {"pos_embedding": (1, 8, 12)},
            "has 8 position embeddings, which do not form a square grid of patches; set image_size",
        ),
        ({"pos_embedding": (1, 0, 12)}, r"pos_embedding has shape \(1, 0, 12\), not \(1, 5, 12\)"),
        ({"pos_embedding": (1, 10, 0)}, r"pos_embedding has shape \(1, 10, 0\), not \(1, 5, 12\)"),
        ({"pos_embedding": (2, 10, 12)}, r"pos_embedding has shape \(2, 10, 12\), not \(1, 5, 12\)"),
        ({"patch_embedding__conv__weight": (12, 0, 4, 4)}, r"conv.weight has shape \(12, 0, 4, 4\)"),
        ({"cls": ()}, r"cls has shape \(\), not \(1, 1, 12\)"),
        ({"cls": None}, r"is for another network: it differs in class_token \(the file's: no, the model's: yes\)"),
        ({"registers": (1, 2, 12)}, r"differs in register_tokens \(the file's: 2, the model's: 0\)"),
        (
            {"transformer__layers__1__x": (1,)},
            r"differs in depth \(the file's: 2, the model's: 1\); no listed model fits",
        ),
    ],
)
def test_differences_are_reported_and_nothing_is_loaded(changes, words):
    network = tiny()
    before = values(network)
    with pytest.raises(UserError, match=words):
        load_tensors(network, checkpoint_of(network, **changes))
    for name, kept in values(network).items():
        assert_equal(kept, before[name])


def test_many_differences_are_counted():
    names = {f"extra{index}": (1,) for index in range(8)}
    with pytest.raises(UserError, match="unexpected extra0, extra1, extra2, extra3, extra4 and 3 more"):
        load_tensors(tiny(), checkpoint_of(tiny(), **names))


def test_a_checkpoint_for_another_model_is_reported_with_differences_and_matching_models():
    network = tiny()
    checkpoint = checkpoint_of(create_model("vit_mini_4_32"))
    with pytest.raises(UserError) as error:
        load_tensors(network, checkpoint)
    assert str(error.value) == (
        "x.ckpt is for another network: it differs in embed_dim (the file's: 128, the model's: 12); "
        "depth (the file's: 6, the model's: 1); mlp_dim (the file's: 256, the model's: 16); it fits vit_mini_4_32"
    )


def test_if_not_strict_missing_tensors_stay_initialized_and_unexpected_ones_are_skipped():
    network = tiny()
    before = values(network)
    checkpoint = checkpoint_of(network, norm__beta=None, norm__gamma=None, extra=(2,), other=(2,))
    notes = load_tensors(network, checkpoint, strict=False)
    assert notes == ["missing, newly initialized: norm.beta, norm.gamma", "unexpected, skipped: extra, other"]
    assert_equal(network.norm.gamma.asnumpy(), before["norm.gamma"])
    assert_equal(network.cls.asnumpy(), checkpoint.tensors["cls"])


def test_if_not_strict_the_pre_logits_layer_of_a_checkpoint_is_skipped():
    checkpoint, network = checkpoint_of(tiny(pre_logits_dim=12, num_classes=5)), tiny()
    with pytest.raises(UserError, match=r"pre_logits_dim \(the file's: 12, the model's: none\)"):
        load_tensors(network, checkpoint)
    notes = load_tensors(network, checkpoint, strict=False)
    assert "unexpected, skipped: pre_logits.bias, pre_logits.weight" in notes
    assert_equal(network.norm.gamma.asnumpy(), checkpoint.tensors["norm.gamma"])


def test_shapes_must_fit_even_if_not_strict():
    with pytest.raises(UserError, match=r"norm\.gamma has shape \(5,\), not \(12,\)"):
        load_tensors(tiny(), checkpoint_of(tiny(), norm__gamma=(5,)), strict=False)


def test_weights_that_are_integers_are_refused():
    checkpoint = checkpoint_of(tiny())
    checkpoint.tensors["norm.gamma"] = np.ones(12, np.int64)
    with pytest.raises(UserError, match=r"norm\.gamma has the data type int64, not a floating-point one"):
        load_tensors(tiny(), checkpoint)


@pytest.mark.parametrize("strict", [True, False])
def test_the_number_of_heads_in_the_metadata_must_be_that_of_the_model(strict):
    """No tensor shows it, but with another number the outputs are wrong."""
    words = r"x\.ckpt is for another network: its metadata says that num_heads is 2, but num_heads of the model is 3"
    with pytest.raises(UserError, match=words):
        load_tensors(tiny(num_heads=3), checkpoint_of(tiny(), metadata=True), strict=strict)


@pytest.mark.parametrize(
    ("name", "value", "of_model"),
    [("num_heads", 4, 2), ("embed_dim", 24, 12), ("depth", 3, 1), ("mlp_dim", 8, 16), ("patch_size", 8, 4)],
)
def test_a_published_architecture_must_be_that_of_the_model(name, value, of_model):
    words = rf"config\.json says that their_{name} is {value}, but {name} of the model is {of_model}; override"
    with pytest.raises(UserError, match=words):
        load_tensors(tiny(), checkpoint_of(tiny(), stated={name: value}))
    assert load_tensors(tiny(), checkpoint_of(tiny(), stated={name: of_model})) == []


def test_the_published_channels_must_be_those_of_the_tensors():
    checkpoint = checkpoint_of(tiny(), stated={"in_channels": 3})
    assert len(load_tensors(tiny(in_channels=1), checkpoint)) == 1
    with pytest.raises(UserError, match="their_in_channels is 1, but in_channels of the tensors is 3"):
        load_tensors(tiny(in_channels=1), checkpoint_of(tiny(), stated={"in_channels": 1}))


def test_settings_that_change_the_outputs_but_no_tensor_may_differ_with_a_note():
    notes = load_tensors(tiny(pool="mean", class_token=True, window_size=3), checkpoint_of(tiny(), metadata=True))
    assert notes == [
        "its metadata says that pool is cls, but pool of the model is mean",
        "its metadata says that window_size is None, but window_size of the model is 3",
    ]
    (note,) = load_tensors(tiny(), checkpoint_of(tiny(), stated={"pool": "mean_norm"}))
    assert note.endswith("config.json says that their_pool is mean_norm, but pool of the model is cls")


def test_the_stem_of_a_hybrid_is_the_reason_and_not_its_patch_size():
    network = tiny()
    tensors = checkpoint_of(network, patch_embedding__conv__weight=(12, 64, 1, 1)).tensors
    for name in ("patch_embed.backbone.conv1.weight", "embeddings.patch_embeddings.backbone.bit.x", "stem.conv.weight"):
        with pytest.raises(UserError) as error:
            load_tensors(network, Checkpoint(Path("x.npz"), tensors | {name: np.ones(1, np.float32)}, None))
        assert str(error.value) == (
            "x.npz is for another network: it differs in stem (the file's: another convolutional network, the model's: "
            "none); its stem is not supported; supported are r26, r50, r50_s16, efficientnet_b0"
        )


# Heads.


def test_a_head_for_another_number_of_classes_is_newly_initialized_and_the_rest_is_loaded():
    network = tiny(num_classes=3)
    before, checkpoint = values(network), checkpoint_of(tiny(num_classes=1000))
    notes = load_tensors(network, checkpoint)
    assert notes == ["the checkpoint's head has 1,000 classes and the model's has 3; dense is newly initialized"]
    for name, loaded in values(network).items():
        assert_equal(loaded, before[name] if name.startswith("dense.") else checkpoint.tensors[name])


def test_both_heads_of_a_distilled_network_are_newly_initialized():
    notes = load_tensors(tiny(distilled=True), checkpoint_of(tiny(num_classes=5, distilled=True)))
    assert [note.split("; ")[1] for note in notes] == [
        "dense is newly initialized",
        "dense_distillation is newly initialized",
    ]


def test_the_head_is_newly_initialized_for_a_checkpoint_without_one():
    network = tiny()
    before = values(network)
    assert load_tensors(network, checkpoint_of(network, dense__weight=None, dense__bias=None)) == [
        "the checkpoint has no head; dense is newly initialized"
    ]
    assert_equal(network.dense.weight.asnumpy(), before["dense.weight"])
    assert not np.array_equal(network.cls.asnumpy(), before["cls"])


def test_a_distilled_network_without_a_distillation_head_is_told_that_both_heads_are_averaged():
    network = tiny(distilled=True)
    checkpoint = checkpoint_of(network, dense_distillation__weight=None, dense_distillation__bias=None)
    (note,) = load_tensors(network, checkpoint)
    assert "has no distillation head, and the mean of both heads is the output" in note


# Input channels. The first convolution is linear in its channels, so the logits show whether its weights are adapted.


def pixels(rng, channels):
    return rng.standard_normal((2, channels, 8, 8)).astype(np.float32)


@pytest.mark.slow
def test_a_grayscale_network_computes_as_an_rgb_network_with_a_repeated_channel(rng):
    rgb, grey = tiny(), tiny(in_channels=1)
    checkpoint = checkpoint_of(rgb)
    load_tensors(rgb, checkpoint)
    assert load_tensors(grey, checkpoint) == ["the 3 input channels of the first convolution are summed to 1"]
    image = pixels(rng, 1)
    expected = logits(rgb, np.repeat(image, 3, axis=1))
    np.testing.assert_allclose(logits(grey, image), expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize("channels", [2, 4, 6])
def test_for_more_channels_the_weights_are_repeated_and_keep_their_sum(channels):
    network = tiny(in_channels=channels)
    checkpoint = checkpoint_of(tiny())
    given = checkpoint.tensors["patch_embedding.conv.weight"]
    notes = load_tensors(network, checkpoint)
    assert notes == [
        f"the 3 input channels of the first convolution are repeated to {channels} and scaled by 3/{channels}"
    ]
    loaded = network.patch_embedding.conv.weight.asnumpy()
    assert loaded.shape == (12, channels, 4, 4)
    for channel in range(channels):
        np.testing.assert_allclose(loaded[:, channel], given[:, channel % 3] * 3 / channels, rtol=1e-6)


@pytest.mark.slow
def test_an_image_repeated_to_six_channels_gives_the_same_logits(rng):
    three, six = tiny(), tiny(in_channels=6)
    checkpoint = checkpoint_of(three)
    load_tensors(three, checkpoint)
    load_tensors(six, checkpoint)
    image = pixels(rng, 3)
    repeated = logits(six, np.concatenate([image, image], axis=1))
    np.testing.assert_allclose(repeated, logits(three, image), rtol=0, atol=1e-5)


# Position embeddings.


@pytest.mark.slow
@pytest.mark.parametrize("distilled", [False, True])
def test_position_embeddings_of_prefix_tokens_are_added_to_the_tokens_if_the_model_has_none_for_them(rng, distilled):
    with_prefix = tiny(distilled=distilled)
    without_prefix = tiny(distilled=distilled, prefix_pos_embed=False)
    checkpoint = checkpoint_of(with_prefix)
    load_tensors(with_prefix, checkpoint)
    notes = load_tensors(without_prefix, checkpoint)
    assert notes == ["the position embeddings of the prefix tokens are added to these tokens"]
    assert without_prefix.pos_embedding.shape == (1, 4, 12)
    image = pixels(rng, 3)
    assert_equal(logits(without_prefix, image), logits(with_prefix, image))


@pytest.mark.slow
def test_missing_position_embeddings_of_prefix_tokens_are_0(rng):
    with_prefix, without_prefix = tiny(), tiny(prefix_pos_embed=False)
    checkpoint = checkpoint_of(without_prefix)
    load_tensors(without_prefix, checkpoint)
    notes = load_tensors(with_prefix, checkpoint)
    assert notes == ["the checkpoint has no position embeddings for the prefix tokens; they are initialized to 0"]
    image = pixels(rng, 3)
    assert_equal(logits(with_prefix, image), logits(without_prefix, image))


def test_prefix_and_grid_are_both_adapted():
    network = tiny(image_size=16, prefix_pos_embed=False)
    checkpoint = checkpoint_of(tiny())
    assert len(load_tensors(network, checkpoint)) == 2
    table = checkpoint.tensors["pos_embedding"]
    assert_equal(network.pos_embedding.asnumpy(), resize_pos_embed(table[:, 1:], (2, 2), (4, 4), "bicubic"))
    assert_equal(network.cls.asnumpy(), checkpoint.tensors["cls"] + table[:, :1])


@pytest.mark.parametrize("method", ["bicubic", "bilinear"])
@pytest.mark.parametrize("image_size", [16, (8, 12)])
def test_the_learned_table_is_resized_to_another_grid(method, image_size):
    network = tiny(image_size=image_size)
    checkpoint = checkpoint_of(tiny())
    notes = load_tensors(network, checkpoint, method)
    rows, columns = network.config.grid
    assert notes == [f"position embeddings are resized from 2x2 to {rows}x{columns} patches ({method})"]
    expected = resize_pos_embed(checkpoint.tensors["pos_embedding"], (2, 2), (rows, columns), method)
    assert_equal(network.pos_embedding.asnumpy(), expected)
    assert_equal(network.pos_embedding.asnumpy()[:, 0], checkpoint.tensors["pos_embedding"][:, 0])


def test_a_rectangular_grid_is_known_from_the_metadata():
    source, network = tiny(image_size=(8, 16)), tiny(image_size=16)
    checkpoint = checkpoint_of(source, metadata=True)
    assert load_tensors(network, checkpoint) == ["position embeddings are resized from 2x4 to 4x4 patches (bicubic)"]
    expected = resize_pos_embed(checkpoint.tensors["pos_embedding"], (2, 4), (4, 4), "bicubic")
    assert_equal(network.pos_embedding.asnumpy(), expected)


def test_a_grid_of_the_same_size_but_another_shape_is_resized_if_metadata_is_known():
    source, network = tiny(image_size=(4, 16)), tiny(image_size=8)
    checkpoint = checkpoint_of(source, metadata=True)
    assert load_tensors(network, checkpoint) == ["position embeddings are resized from 1x4 to 2x2 patches (bicubic)"]


@pytest.mark.parametrize("method", ["bicubic", "bilinear"])
def test_a_square_table_is_resized_to_another_grid_with_the_same_number_of_patches(method):
    """As 14x14 patches of 224x224 pixels for 7x28 patches of 112x448 pixels."""
    network, checkpoint = tiny(image_size=(4, 16)), checkpoint_of(tiny())
    notes = load_tensors(network, checkpoint, method)
    assert notes == [f"position embeddings are resized from 2x2 to 1x4 patches ({method})"]
    expected = resize_pos_embed(checkpoint.tensors["pos_embedding"], (2, 2), (1, 4), method)
    assert_equal(network.pos_embedding.asnumpy(), expected)


def test_a_table_that_is_no_square_has_the_grid_of_a_model_with_as_many_patches():
    network = tiny(image_size=(8, 16))
    checkpoint = checkpoint_of(network)
    assert load_tensors(network, checkpoint) == []
    assert_equal(network.pos_embedding.asnumpy(), checkpoint.tensors["pos_embedding"])


def test_a_published_image_size_determines_the_grid():
    network = tiny()
    checkpoint = checkpoint_of(tiny(image_size=(4, 16)), stated={"image_size": (4, 16)})
    assert load_tensors(network, checkpoint) == ["position embeddings are resized from 1x4 to 2x2 patches (bicubic)"]
    assert load_tensors(tiny(image_size=(4, 16)), checkpoint) == []


def test_a_published_image_size_that_contradicts_the_table_is_refused():
    words = (
        r"has 5 position embeddings, but .*config\.json says that their_image_size is \(16, 16\), which has 4x4 patches"
    )
    with pytest.raises(UserError, match=words):
        load_tensors(tiny(), checkpoint_of(tiny(), stated={"image_size": (16, 16)}))


@pytest.mark.parametrize("metadata", [True, False])
def test_tables_of_rows_and_columns_are_resized(metadata):
    network = tiny(pos_embed="learned2d", image_size=(16, 8))
    checkpoint = checkpoint_of(tiny(pos_embed="learned2d"), metadata)
    assert load_tensors(network, checkpoint) == ["position embeddings are resized from 2x2 to 4x2 patches (bicubic)"]
    rows = checkpoint.tensors["pos_rows"]
    assert_equal(network.pos_rows.asnumpy(), resize_grid(rows.transpose(1, 0, 2), (4, 1), "bicubic").transpose(1, 0, 2))
    assert_equal(network.pos_columns.asnumpy(), checkpoint.tensors["pos_columns"])


@pytest.mark.parametrize("metadata", [True, False])
def test_tables_of_relative_positions_are_resized(metadata):
    network = tiny(pos_embed="relative", image_size=(8, 16))
    checkpoint = checkpoint_of(tiny(pos_embed="relative"), metadata)
    assert load_tensors(network, checkpoint) == ["position embeddings are resized from 2x2 to 2x4 patches (bicubic)"]
    name = "transformer.layers.0.0.cell.1.relative_bias.table"
    loaded = values(network)[name]
    assert loaded.shape == (2, 3, 7)
    for head in range(2):
        expected = resize_grid(checkpoint.tensors[name][head][:, :, None], (3, 7), "bicubic")[:, :, 0]
        assert_equal(loaded[head], expected)


def test_fixed_position_embeddings_are_not_resized_and_there_is_no_note():
    network = tiny(pos_embed="sincos2d", image_size=16)
    assert load_tensors(network, checkpoint_of(tiny(pos_embed="sincos2d"), metadata=True)) == []


def test_an_unchanged_grid_is_loaded_bit_for_bit():
    network = tiny()
    checkpoint = checkpoint_of(network)
    load_tensors(network, checkpoint, "bilinear")
    assert network.pos_embedding.asnumpy().tobytes() == checkpoint.tensors["pos_embedding"].tobytes()


@pytest.mark.slow
@pytest.mark.parametrize(("method", "near"), [("bicubic", True), ("bilinear", False)])
def test_the_resizing_method_is_applied(tmp_path, method, near):
    published = PublishedFile("timm")
    path = write_npz(tmp_path / "x.npz", published.weights("vit"))
    settings = PUBLISHED_SIZES | {"image_size": 48}
    with pytest.warns(match=f"to 6x6 patches .{method}."):
        network = create_model("vit_b_16_224", checkpoint=str(path), resize_pos_embed=method, **settings)
    difference = np.abs(logits(network, random_images(48, 48)) - published["vit/logits_48x48"]).max()
    assert (difference < 1e-5) == near


def test_settings_without_tensors_may_differ():
    network = tiny(dropout=0.3, num_heads=3)
    checkpoint = checkpoint_of(tiny())
    assert load_tensors(network, checkpoint) == []
    assert network.config == override(tiny().config, dropout=0.3, num_heads=3)
    assert_equal(values(network)[QKV], checkpoint.tensors[QKV])
