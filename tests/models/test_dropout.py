"""The keyed dropouts: their masks' statistics, and that they are functions of keys and places alone."""

import mindspore as ms
import numpy as np
import pytest
from mindspore import nn

from mindvit import create_model
from mindvit.models import Dropout, DropPath
from mindvit.models.dropout import KeyedCell, place_dropouts


def keys(rng, count):
    return ms.Tensor(rng.integers(-(2**31), 2**31, count).astype(np.int32))


def masks(cell, x, key):
    return cell.set_train(True)(ms.Tensor(x), key).asnumpy()


def at(cell, number):
    cell.place(number)
    return cell


def test_drop_path_drops_whole_samples_and_keeps_the_expectation(rng):
    branch = masks(at(DropPath(0.25), 3), np.ones((20000, 2, 3), np.float32), keys(rng, 20000))
    assert (branch == branch[:, :1, :1]).all(), "a sample's branch is dropped or kept as a whole"
    kept = branch[:, 0, 0] != 0
    np.testing.assert_allclose(branch[kept], 1 / 0.75, rtol=1e-6)
    assert abs(kept.mean() - 0.75) < 0.01


def test_drop_path_of_different_places_is_independent(rng):
    key = keys(rng, 40000)
    p = 0.3
    drops = np.stack([masks(at(DropPath(p), n), np.ones((40000, 1), np.float32), key)[:, 0] == 0 for n in range(12)])
    correlation = np.corrcoef(drops)[np.triu_indices(12, 1)]
    assert np.abs(correlation).max() < 4.5 / np.sqrt(40000)


def test_dropout_drops_elements_at_its_rate_and_keeps_the_expectation(rng):
    out = masks(at(Dropout(0.1), 1), np.ones((8, 197, 64), np.float32), keys(rng, 8))
    dropped = out == 0
    np.testing.assert_allclose(out[~dropped], 1 / 0.9, rtol=1e-6)
    deviation = np.sqrt(0.1 * 0.9 / dropped.size)
    assert abs(dropped.mean() - 0.1) < 4 * deviation


def test_dropout_has_no_pattern_along_any_axis(rng):
    p = 0.5
    dropped = masks(at(Dropout(p), 1), np.ones((16, 64, 128), np.float32), keys(rng, 16)) == 0
    signs = 2.0 * dropped - 1
    for axis in range(3):
        flat = np.moveaxis(signs, axis, 0).reshape(signs.shape[axis], -1)
        means = flat.mean(1) * np.sqrt(flat.shape[1])
        assert np.abs(means).max() < 4.5, "each slice holds its share"
        gram = (flat @ flat.T / np.sqrt(flat.shape[1]))[np.triu_indices(len(flat), 1)]
        assert np.abs(gram).max() < 5.5, "no two slices are alike"
        assert 0.9 < gram.std() < 1.1


def test_a_mask_is_a_function_of_the_samples_key_alone(rng):
    x = rng.standard_normal((6, 5, 32)).astype(np.float32)
    key = keys(rng, 6)
    for cell in (at(Dropout(0.5), 2), at(DropPath(0.5), 2)):
        whole = masks(cell, x, key)
        np.testing.assert_array_equal(whole, masks(cell, x, key))
        parts = [masks(cell, x[part], key[part]) for part in (slice(0, 2), slice(2, 6))]
        np.testing.assert_array_equal(whole, np.concatenate(parts))
        assert (whole != masks(cell, x, keys(rng, 6))).any()


def test_the_masks_are_those_of_the_stated_arithmetic(rng):
    drawn = rng.integers(0, 2**32, 50, dtype=np.uint64)
    cell = at(DropPath(0.4), 7)
    seed = (drawn + cell.site) % 2**32
    expected = (seed * (2 * seed + 1)) % 2**32
    kept = (expected.astype(np.uint32).view(np.int32).astype(np.int64) + 2**31) >= int(0.4 * 2**32)
    key = ms.Tensor(drawn.astype(np.uint32).view(np.int32))
    np.testing.assert_array_equal(masks(cell, np.ones((50, 1), np.float32), key)[:, 0] != 0, kept)


def test_the_gradient_passes_where_the_mask_keeps(rng):
    cell = at(Dropout(0.5), 0).set_train(True)
    x, key = ms.Tensor(np.ones((2, 3, 8), np.float32)), keys(rng, 2)
    gradient = ms.grad(cell)(x, key).asnumpy()
    np.testing.assert_array_equal(gradient, cell(x, key).asnumpy())


@pytest.mark.parametrize("kind", [Dropout, DropPath])
def test_without_keys_mindspores_generator_draws(kind):
    x = np.ones((4000, 1), np.float32)
    out = kind(0.25).set_train(True)(ms.Tensor(x)).asnumpy()
    assert abs((out == 0).mean() - 0.25) < 0.04
    np.testing.assert_allclose(out.max(), 1 / 0.75, rtol=1e-5)


@pytest.mark.parametrize("kind", [Dropout, DropPath])
def test_dropouts_rest_in_evaluation(rng, kind):
    x = rng.standard_normal((4, 3)).astype(np.float32)
    np.testing.assert_array_equal(kind(0.9).set_train(False)(ms.Tensor(x), keys(rng, 4)).asnumpy(), x)


def test_a_probability_that_cannot_be_is_refused():
    with pytest.raises(ValueError, match="must lie in"):
        Dropout(1.0)


def test_every_dropout_of_a_network_has_a_place_of_its_own():
    network = create_model("vit_mini_4_32", depth=3)
    cells = [cell for _, cell in network.cells_and_names() if isinstance(cell, KeyedCell)]
    assert len({cell.site for cell in cells}) == len(cells) == 2 + 3 * 7


@pytest.mark.parametrize("setting", ["dropout", "attention_dropout", "drop_path", "layer_dropout"])
def test_each_setting_reaches_the_network_and_repeats_under_its_keys(rng, setting):
    sizes = {"image_size": 8, "embed_dim": 16, "depth": 2, "num_heads": 2, "mlp_dim": 32, "num_classes": 3}
    network = create_model("vit_mini_4_32", **sizes, **{setting: 0.5})
    for parameter in network.get_parameters():
        parameter.set_data(ms.Tensor(rng.standard_normal(parameter.shape).astype(np.float32) * 0.3))
    images, key = ms.Tensor(rng.standard_normal((8, 3, 8, 8)).astype(np.float32)), keys(rng, 8)
    still = network.set_train(False)(images).asnumpy()
    network.set_train(True)
    moved = network(images, key).asnumpy()
    assert np.abs(moved - still).max() > 0.01
    np.testing.assert_array_equal(moved, network(images, key).asnumpy())


def test_places_follow_the_order_of_the_cells():
    cells = nn.SequentialCell(Dropout(0.1), DropPath(0.1))
    place_dropouts(cells)
    first = [cell.site for cell in cells]
    place_dropouts(cells)
    assert first == [cell.site for cell in cells]
    assert first[0] != first[1]
