"""The keyed dropouts: their masks' statistics, and that they are functions of keys and places alone."""

import mindspore as ms
import numpy as np
import pytest
from mindspore import nn

from mindvit import create_model
from mindvit.models import Dropout, DropPath
from mindvit.models.dropout import KeyedCell, PatchDropout, assign_rng_ids
from tests import numpy_vit
from tests.models.constructions import config_of, images, weighted


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


def of_five_patches(p):
    return PatchDropout(p, 5)


@pytest.mark.parametrize("kind", [Dropout, DropPath, of_five_patches])
def test_dropouts_rest_in_evaluation(rng, kind):
    x = rng.standard_normal((4, 5, 3)).astype(np.float32)
    np.testing.assert_array_equal(kind(0.9).set_train(False)(ms.Tensor(x), keys(rng, 4)).asnumpy(), x)


def test_a_probability_that_cannot_be_is_refused():
    with pytest.raises(ValueError, match="must lie in"):
        Dropout(1.0)


def test_every_dropout_of_a_network_has_a_place_of_its_own():
    network = create_model("vit_mini_4_32", depth=3)
    cells = [cell for _, cell in network.cells_and_names() if isinstance(cell, KeyedCell)]
    # Of a block: two DropPaths, and dropouts of the weights, the attention, the hidden layer, the output, the block.
    assert len({cell.site for cell in cells}) == len(cells) == 3 + 3 * 7


@pytest.mark.parametrize("setting", ["dropout", "attention_dropout", "drop_path", "block_dropout", "patch_dropout"])
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
    assign_rng_ids(cells)
    first = [cell.site for cell in cells]
    assign_rng_ids(cells)
    assert first == [cell.site for cell in cells]
    assert first[0] != first[1]


def chosen(cell, batch, patches, key=None, prefix=0):
    """The numbers of the patches that are kept, (batch, kept)."""
    tokens = np.tile(np.arange(prefix + patches, dtype=np.float32)[:, None], (batch, 1, 2))
    out = cell.set_train(True)(ms.Tensor(tokens), key).asnumpy()
    np.testing.assert_array_equal(out[..., 0], out[..., 1])
    np.testing.assert_array_equal(out[:, :prefix, 0], tokens[:, :prefix, 0], err_msg="the prefix stays in its place")
    return out[:, prefix:, 0].astype(int) - prefix


@pytest.mark.parametrize(
    ("p", "patches", "prefix", "kept"),
    [(0.5, 9, 0, 4), (0.4, 10, 2, 6), (0.9, 100, 2, 10), (0.9, 4, 1, 1), (0.0, 4, 1, 4)],
)
@pytest.mark.parametrize("keyed", [True, False])
def test_patch_dropout_keeps_the_prefix_and_a_share_of_the_patches(rng, p, patches, prefix, kept, keyed):
    numbers = chosen(at(PatchDropout(p, patches, prefix), 1), 5, patches, keys(rng, 5) if keyed else None, prefix)
    assert numbers.shape == (5, kept)
    for row in numbers:
        assert len(set(row)) == kept and set(row) <= set(range(patches))


def test_patch_dropout_keeps_every_patch_and_pair_as_often_as_the_others(rng):
    numbers = chosen(at(PatchDropout(0.6, 10), 2), 20000, 10, keys(rng, 20000))
    kept = np.zeros((20000, 10))
    np.put_along_axis(kept, numbers, 1, 1)
    together = kept.T @ kept / 20000
    np.testing.assert_allclose(np.diag(together), 0.4, atol=0.016)
    np.testing.assert_allclose(together[np.triu_indices(10, 1)], 4 * 3 / (10 * 9), atol=0.012)


def test_patches_that_are_kept_are_a_function_of_key_and_place(rng):
    key = keys(rng, 2000)
    cell = at(PatchDropout(0.6, 10), 2)
    first = chosen(cell, 2000, 10, key)
    np.testing.assert_array_equal(first, chosen(cell, 2000, 10, key))
    np.testing.assert_array_equal(first[7:9], chosen(cell, 2, 10, key[7:9]), "whatever the batch")
    for other in (chosen(at(PatchDropout(0.6, 10), 3), 2000, 10, key), chosen(cell, 2000, 10, keys(rng, 2000))):
        common = np.mean([len(set(one) & set(two)) for one, two in zip(first, other, strict=True)])
        assert abs(common - 4 * 4 / 10) < 0.1, "as many as by chance"


def test_patch_dropout_without_keys_draws_anew_each_time():
    cell = PatchDropout(0.6, 10)
    first, second = (chosen(cell, 200, 10) for _ in range(2))
    assert (first != second).any(1).mean() > 0.9
    shares = np.bincount(np.concatenate([first, second]).ravel(), minlength=10) / 400
    np.testing.assert_allclose(shares, 0.4, atol=0.12)


def test_the_gradient_flows_to_the_tokens_that_are_kept(rng):
    cell, key = at(PatchDropout(0.5, 8, 1), 0).set_train(True), keys(rng, 2)
    x = ms.Tensor(rng.standard_normal((2, 9, 3)).astype(np.float32))
    numbers = chosen(cell, 2, 8, key, 1) + 1
    gradient = ms.grad(cell)(x, key).asnumpy()
    expected = np.zeros((2, 9, 3))
    expected[:, 0] = 1
    for sample in range(2):
        expected[sample, numbers[sample]] = 1
    np.testing.assert_array_equal(gradient, expected)


class Embed(nn.Cell):
    def __init__(self, network):
        super().__init__()
        self.network = network

    def construct(self, images, key):
        return self.network.embed(images, key)


def test_patches_are_dropped_with_their_positions_and_only_in_training(rng):
    config = config_of("distilled", register_tokens=2, patch_dropout=0.4)
    network, weights = weighted(config, rng)
    images, key = random_images(config, rng), keys(rng, 2)
    embed = Embed(network)
    whole = numpy_vit.embed(images.astype(np.float64), weights)
    np.testing.assert_allclose(embed.set_train(False)(ms.Tensor(images), key).asnumpy(), whole, atol=1e-5)
    fewer = embed.set_train(True)(ms.Tensor(images), key).asnumpy()
    assert fewer.shape == (2, 4 + 5, 12)
    np.testing.assert_allclose(fewer[:, :4], whole[:, :4], atol=1e-5)
    for sample in range(2):
        distances = np.abs(fewer[sample, 4:, None] - whole[sample, None, 4:]).max(2)
        assert distances.min(1).max() < 1e-5 and len(set(distances.argmin(1))) == 5


def test_a_cell_that_drops_patches_has_the_last_place_and_the_others_those_that_they_would_have_without():
    network = nn.CellList([Dropout(0.1), PatchDropout(0.5, 4), Dropout(0.1)])
    assign_rng_ids(network)
    without = nn.CellList([Dropout(0.1), Dropout(0.1)])
    assign_rng_ids(without)
    assert [network[0].site, network[2].site] == [cell.site for cell in without]
    assert network[1].site == at(Dropout(0.1), 2).site
