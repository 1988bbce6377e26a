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
from mindvit.weights.resize_pos_embed import resize_grid, resize_pos_embed
from tests.weights.published import SIZES as PUBLISHED_SIZES
from tests.weights.published import PublishedFile, images, write_npz

SIZES = {"image_size": 8, "embed_dim": 12, "depth": 1, "num_heads": 2, "mlp_dim": 16}
QKV = "transformer.layers.0.0.cell.1.qkv.weight"


def tiny(num_classes=3, **overrides):
    return create_model("vit_mini_4_32", num_classes=num_classes, **{**SIZES, **overrides})


def values(network):
    return {parameter.name: parameter.asnumpy().copy() for parameter in network.get_parameters()}


def checkpoint_of(network, metadata=False, **changes):
    """A file with random tensors of a network's shapes; changes are shapes by name, None takes a tensor away."""
    rng = np.random.default_rng(1)
    tensors = {name: rng.standard_normal(old.shape).astype(np.float32) for name, old in values(network).items()}
    for name, shape in changes.items():
        name = name.replace("__", ".")
        if shape is None:
            del tensors[name]
        else:
            tensors[name] = np.zeros(shape, np.float32)
    return Checkpoint(
        Path("x.ckpt"), tensors, CheckpointMetadata("vit_mini_4_32", network.config) if metadata else None
    )


def logits(network, images):
    return network.set_train(False)(ms.Tensor(images)).asnumpy()


def same(found, expected):
    np.testing.assert_array_equal(found, expected)


def test_every_tensor_is_loaded():
    network = tiny()
    checkpoint = checkpoint_of(network)
    assert load_tensors(network, checkpoint) == []
    for name, loaded in values(network).items():
        same(loaded, checkpoint.tensors[name])


def test_float16_weights_are_loaded_as_float32():
    network = tiny()
    checkpoint = checkpoint_of(network)
    half = {name: tensor.astype(np.float16) for name, tensor in checkpoint.tensors.items()}
    load_tensors(network, Checkpoint(checkpoint.path, half, None))
    assert {parameter.dtype for parameter in network.get_parameters()} == {ms.float32}
    same(network.cls.asnumpy(), half["cls"].astype(np.float32))


# What fits no network, or not this one.


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"norm__beta": None}, "it lacks norm.beta"),
        ({"dense__bias": None}, "it lacks dense.bias"),
        ({"extra": (2,)}, "it has extra besides"),
        ({"norm__gamma": (5,)}, "norm.gamma is 5 and not 12"),
        ({"dense__weight": (3, 5)}, "dense.weight is 3x5 and not 3x12"),
        ({"patch_embedding__conv__weight": None}, r"it lacks patch_embedding\.conv\.weight"),
        ({"patch_embedding__conv__weight": (12, 48)}, "conv.weight is 12x48 and not 12x3x4x4"),
        ({"patch_embedding__conv__weight": (12, 3, 4, 5)}, "conv.weight is 12x3x4x5 and not 12x3x4x4"),
        ({"pos_embedding": (5, 12)}, "pos_embedding is 5x12 and not 1x5x12"),
        ({"pos_embedding": (1, 5, 7)}, "pos_embedding is 1x5x7 and not 1x5x12"),
        ({"pos_embedding": (1, 8, 12)}, "has 8 positions, which are no square of patches; choose the image_size"),
        ({"pos_embedding": (1, 0, 12)}, "has 0 pos_embed"),
        ({"cls": ()}, "cls is a single number and not 1x1x12"),
        ({"cls": None}, r"is for another network: it differs in class_token \(the file's: no, the model's: yes\)"),
        ({"registers": (1, 2, 12)}, r"differs in register_tokens \(the file's: 2, the model's: 0\)"),
        ({"transformer__layers__1__x": (1,)}, r"differs in depth \(the file's: 2, the model's: 1\); no model of the"),
    ],
)
def test_differences_are_named_and_nothing_is_loaded(changes, words):
    network = tiny()
    before = values(network)
    with pytest.raises(UserError, match=words):
        load_tensors(network, checkpoint_of(network, **changes))
    for name, kept in values(network).items():
        same(kept, before[name])


def test_many_differences_are_counted():
    names = {f"extra{index}": (1,) for index in range(8)}
    with pytest.raises(UserError, match="it has extra0, extra1, extra2, extra3, extra4 and 3 more besides"):
        load_tensors(tiny(), checkpoint_of(tiny(), **names))


def test_a_file_for_another_name_says_in_what_it_differs_and_what_it_fits():
    network = tiny()
    checkpoint = checkpoint_of(create_model("vit_mini_4_32"))
    with pytest.raises(UserError) as error:
        load_tensors(network, checkpoint)
    assert str(error.value) == (
        "x.ckpt is for another network: it differs in embed_dim (the file's: 128, the model's: 12); "
        "depth (the file's: 6, the model's: 1); mlp_dim (the file's: 256, the model's: 16); it fits vit_mini_4_32"
    )


def test_without_strictness_what_is_missing_stays_fresh_and_what_is_left_over_stays_out():
    network = tiny()
    before = values(network)
    checkpoint = checkpoint_of(network, norm__beta=None, norm__gamma=None, extra=(2,), other=(2,))
    notes = load_tensors(network, checkpoint, strict=False)
    assert notes == ["norm.beta, norm.gamma are missing, and fresh now", "left out: extra, other"]
    same(network.norm.gamma.asnumpy(), before["norm.gamma"])
    same(network.cls.asnumpy(), checkpoint.tensors["cls"])


def test_without_strictness_the_tanh_layer_of_a_pretrained_file_stays_out():
    checkpoint, network = checkpoint_of(tiny(pre_logits_dim=12, num_classes=5)), tiny()
    with pytest.raises(UserError, match=r"pre_logits_dim \(the file's: 12, the model's: none\)"):
        load_tensors(network, checkpoint)
    notes = load_tensors(network, checkpoint, strict=False)
    assert "left out: pre_logits.bias, pre_logits.weight" in notes
    same(network.norm.gamma.asnumpy(), checkpoint.tensors["norm.gamma"])


def test_strictness_or_not_shapes_must_fit():
    with pytest.raises(UserError, match=r"norm\.gamma is 5 and not 12"):
        load_tensors(tiny(), checkpoint_of(tiny(), norm__gamma=(5,)), strict=False)


# Heads.


def test_a_head_for_another_number_of_classes_stays_fresh_and_the_rest_is_loaded():
    network = tiny(num_classes=3)
    before, checkpoint = values(network), checkpoint_of(tiny(num_classes=1000))
    notes = load_tensors(network, checkpoint)
    assert notes == ["the file's head tells 1,000 classes apart and the model's 3; dense is fresh"]
    for name, loaded in values(network).items():
        same(loaded, before[name] if name.startswith("dense.") else checkpoint.tensors[name])


def test_both_heads_of_a_distilled_network_stay_fresh():
    notes = load_tensors(tiny(distilled=True), checkpoint_of(tiny(num_classes=5, distilled=True)))
    assert [note.split("; ")[1] for note in notes] == ["dense is fresh", "dense_distillation is fresh"]


def test_a_file_without_a_head_leaves_it_fresh():
    network = tiny()
    before = values(network)
    assert load_tensors(network, checkpoint_of(network, dense__weight=None, dense__bias=None)) == [
        "the file has no head; dense is fresh"
    ]
    same(network.dense.weight.asnumpy(), before["dense.weight"])
    assert not np.array_equal(network.cls.asnumpy(), before["cls"])


# Channels. The first convolution is linear in its channels, so images show whether its weights were made to fit.


def pixels(rng, channels):
    return rng.standard_normal((2, channels, 8, 8)).astype(np.float32)


def test_a_grey_network_computes_as_one_that_sees_the_grey_image_three_times(rng):
    colour, grey = tiny(), tiny(in_channels=1)
    checkpoint = checkpoint_of(colour)
    load_tensors(colour, checkpoint)
    assert load_tensors(grey, checkpoint) == ["the first convolution's 3 input channels are summed to one"]
    image = pixels(rng, 1)
    expected = logits(colour, np.repeat(image, 3, axis=1))
    np.testing.assert_allclose(logits(grey, image), expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize("channels", [2, 4, 6])
def test_for_more_channels_the_weights_are_repeated_and_keep_their_sum(channels):
    network = tiny(in_channels=channels)
    checkpoint = checkpoint_of(tiny())
    given = checkpoint.tensors["patch_embedding.conv.weight"]
    notes = load_tensors(network, checkpoint)
    assert notes == [f"the first convolution's 3 input channels are repeated to {channels}, and scaled by 3/{channels}"]
    loaded = network.patch_embedding.conv.weight.asnumpy()
    assert loaded.shape == (12, channels, 4, 4)
    for channel in range(channels):
        np.testing.assert_allclose(loaded[:, channel], given[:, channel % 3] * 3 / channels, rtol=1e-6)


def test_a_image_shown_twice_to_six_channels_gives_the_logits_of_three(rng):
    three, six = tiny(), tiny(in_channels=6)
    checkpoint = checkpoint_of(three)
    load_tensors(three, checkpoint)
    load_tensors(six, checkpoint)
    image = pixels(rng, 3)
    seen_twice = logits(six, np.concatenate([image, image], axis=1))
    np.testing.assert_allclose(seen_twice, logits(three, image), rtol=0, atol=1e-5)


# Positions.


@pytest.mark.parametrize("distilled", [False, True])
def test_positions_of_the_prefix_are_added_to_its_tokens_where_the_network_has_none_for_them(rng, distilled):
    placed = tiny(distilled=distilled)
    bare = tiny(distilled=distilled, prefix_pos_embed=False)
    checkpoint = checkpoint_of(placed)
    load_tensors(placed, checkpoint)
    notes = load_tensors(bare, checkpoint)
    assert notes == ["the positions of the tokens before the patches are added to these tokens"]
    assert bare.pos_embedding.shape == (1, 4, 12)
    image = pixels(rng, 3)
    same(logits(bare, image), logits(placed, image))


def test_where_the_file_has_no_positions_of_the_prefix_they_are_0(rng):
    placed, bare = tiny(), tiny(prefix_pos_embed=False)
    checkpoint = checkpoint_of(bare)
    load_tensors(bare, checkpoint)
    notes = load_tensors(placed, checkpoint)
    assert notes == ["the tokens before the patches have no position in the file; theirs start at 0"]
    image = pixels(rng, 3)
    same(logits(placed, image), logits(bare, image))


def test_prefix_and_grid_are_both_made_to_fit():
    network = tiny(image_size=16, prefix_pos_embed=False)
    checkpoint = checkpoint_of(tiny())
    assert len(load_tensors(network, checkpoint)) == 2
    table = checkpoint.tensors["pos_embedding"]
    same(network.pos_embedding.asnumpy(), resize_pos_embed(table[:, 1:], (2, 2), (4, 4), "bicubic"))
    same(network.cls.asnumpy(), checkpoint.tensors["cls"] + table[:, :1])


@pytest.mark.parametrize("method", ["bicubic", "bilinear"])
@pytest.mark.parametrize("image_size", [16, (8, 12)])
def test_the_learned_table_is_resized_to_another_grid(method, image_size):
    network = tiny(image_size=image_size)
    checkpoint = checkpoint_of(tiny())
    notes = load_tensors(network, checkpoint, method)
    rows, columns = network.config.grid
    assert notes == [f"positions are resized from 2x2 patches to {rows}x{columns} ({method})"]
    expected = resize_pos_embed(checkpoint.tensors["pos_embedding"], (2, 2), (rows, columns), method)
    same(network.pos_embedding.asnumpy(), expected)
    same(network.pos_embedding.asnumpy()[:, 0], checkpoint.tensors["pos_embedding"][:, 0])


def test_a_rectangle_is_known_by_the_passport():
    source, network = tiny(image_size=(8, 16)), tiny(image_size=16)
    checkpoint = checkpoint_of(source, metadata=True)
    assert load_tensors(network, checkpoint) == ["positions are resized from 2x4 patches to 4x4 (bicubic)"]
    expected = resize_pos_embed(checkpoint.tensors["pos_embedding"], (2, 4), (4, 4), "bicubic")
    same(network.pos_embedding.asnumpy(), expected)


def test_as_many_patches_in_another_shape_are_resized_where_the_passport_tells():
    source, network = tiny(image_size=(4, 16)), tiny(image_size=8)
    checkpoint = checkpoint_of(source, metadata=True)
    assert load_tensors(network, checkpoint) == ["positions are resized from 1x4 patches to 2x2 (bicubic)"]


@pytest.mark.parametrize("metadata", [True, False])
def test_tables_of_rows_and_columns_are_resized(metadata):
    network = tiny(pos_embed="learned2d", image_size=(16, 8))
    checkpoint = checkpoint_of(tiny(pos_embed="learned2d"), metadata)
    assert load_tensors(network, checkpoint) == ["positions are resized from 2x2 patches to 4x2 (bicubic)"]
    rows = checkpoint.tensors["pos_rows"]
    same(network.pos_rows.asnumpy(), resize_grid(rows.transpose(1, 0, 2), (4, 1), "bicubic").transpose(1, 0, 2))
    same(network.pos_columns.asnumpy(), checkpoint.tensors["pos_columns"])


@pytest.mark.parametrize("metadata", [True, False])
def test_tables_of_relative_places_are_resized(metadata):
    network = tiny(pos_embed="relative", image_size=(8, 16))
    checkpoint = checkpoint_of(tiny(pos_embed="relative"), metadata)
    assert load_tensors(network, checkpoint) == ["positions are resized from 2x2 patches to 2x4 (bicubic)"]
    name = "transformer.layers.0.0.cell.1.relative_bias.table"
    loaded = values(network)[name]
    assert loaded.shape == (2, 3, 7)
    for head in range(2):
        expected = resize_grid(checkpoint.tensors[name][head][:, :, None], (3, 7), "bicubic")[:, :, 0]
        same(loaded[head], expected)


def test_fixed_positions_need_no_resizing_and_nothing_is_said():
    network = tiny(pos_embed="sincos2d", image_size=16)
    assert load_tensors(network, checkpoint_of(tiny(pos_embed="sincos2d"), metadata=True)) == []


def test_an_unchanged_grid_is_loaded_bit_by_bit_whatever_the_method():
    network = tiny()
    checkpoint = checkpoint_of(network)
    load_tensors(network, checkpoint, "bilinear")
    assert network.pos_embedding.asnumpy().tobytes() == checkpoint.tensors["pos_embedding"].tobytes()


@pytest.mark.parametrize(("method", "near"), [("bicubic", True), ("bilinear", False)])
def test_the_method_reaches_the_network(tmp_path, method, near):
    published = PublishedFile("timm")
    path = write_npz(tmp_path / "x.npz", published.weights("vit"))
    settings = PUBLISHED_SIZES | {"image_size": 48}
    with pytest.warns(match=f"6x6 .{method}."):
        network = create_model("vit_b_16_224", checkpoint=str(path), resize_pos_embed=method, **settings)
    difference = np.abs(logits(network, random_images(48, 48)) - published["vit/logits_48x48"]).max()
    assert (difference < 1e-5) == near


def test_what_has_no_tensors_may_differ():
    network = tiny(dropout=0.3, num_heads=3)
    checkpoint = checkpoint_of(tiny())
    assert load_tensors(network, checkpoint) == []
    assert network.config == override(tiny().config, dropout=0.3, num_heads=3)
    same(values(network)[QKV], checkpoint.tensors[QKV])
