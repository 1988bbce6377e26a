"""Reproducible dropout: statistics of the masks, which are functions of ``rng_key`` and ``rng_id`` only."""

import mindspore as ms
import numpy as np
import pytest
from mindspore import nn

from mindvit import create_model
from mindvit.models import Dropout, DropPath
from mindvit.ops.dropout import KeyedCell, PatchDropout, assign_rng_ids
from tests import numpy_vit
from tests.models.constructions import config_of, random_images, random_network


def random_keys(rng, count):
    return ms.Tensor(rng.integers(-(2**31), 2**31, count).astype(np.int32))


def train_output(cell, x, rng_key):
    return cell.set_train(True)(ms.Tensor(x), rng_key).asnumpy()


def with_rng_id(cell, number):
    cell.set_rng_id(number)
    return cell


@pytest.mark.eager
def test_drop_path_drops_whole_samples_and_keeps_the_expectation(rng):
    branch = train_output(with_rng_id(DropPath(0.25), 3), np.ones((20000, 2, 3), np.float32), random_keys(rng, 20000))
    assert (branch == branch[:, :1, :1]).all(), "a sample's branch is dropped or kept as a whole"
    kept = branch[:, 0, 0] != 0
    np.testing.assert_allclose(branch[kept], 1 / 0.75, rtol=1e-6)
    assert abs(kept.mean() - 0.75) < 0.01


@pytest.mark.eager
@pytest.mark.slow
def test_drop_path_with_different_rng_ids_is_independent(rng):
    rng_key = random_keys(rng, 40000)
    p = 0.3
    drops = np.stack(
        [
            train_output(with_rng_id(DropPath(p), n), np.ones((40000, 1), np.float32), rng_key)[:, 0] == 0
            for n in range(12)
        ]
    )
    correlation = np.corrcoef(drops)[np.triu_indices(12, 1)]
    assert np.abs(correlation).max() < 4.5 / np.sqrt(40000)


@pytest.mark.eager
@pytest.mark.slow
def test_dropout_drops_elements_at_its_rate_and_keeps_the_expectation(rng):
    out = train_output(with_rng_id(Dropout(0.1), 1), np.ones((8, 197, 64), np.float32), random_keys(rng, 8))
    dropped = out == 0
    np.testing.assert_allclose(out[~dropped], 1 / 0.9, rtol=1e-6)
    deviation = np.sqrt(0.1 * 0.9 / dropped.size)
    assert abs(dropped.mean() - 0.1) < 4 * deviation


@pytest.mark.eager
@pytest.mark.slow
def test_dropout_has_no_pattern_along_any_axis(rng):
    p = 0.5
    dropped = train_output(with_rng_id(Dropout(p), 1), np.ones((16, 64, 128), np.float32), random_keys(rng, 16)) == 0
    signs = 2.0 * dropped - 1
    for axis in range(3):
        flat = np.moveaxis(signs, axis, 0).reshape(signs.shape[axis], -1)
        means = flat.mean(1) * np.sqrt(flat.shape[1])
        assert np.abs(means).max() < 4.5, "each slice has the dropout rate"
        gram = (flat @ flat.T / np.sqrt(flat.shape[1]))[np.triu_indices(len(flat), 1)]
        assert np.abs(gram).max() < 5.5, "no two slices are correlated"
        assert 0.9 < gram.std() < 1.1


@pytest.mark.eager
@pytest.mark.slow
def test_a_mask_depends_only_on_the_rng_key_of_the_sample(rng):
    x = rng.standard_normal((6, 5, 32)).astype(np.float32)
    rng_key = random_keys(rng, 6)
    for cell in (with_rng_id(Dropout(0.5), 2), with_rng_id(DropPath(0.5), 2)):
        whole = train_output(cell, x, rng_key)
        np.testing.assert_array_equal(whole, train_output(cell, x, rng_key))
        parts = [train_output(cell, x[part], rng_key[part]) for part in (slice(0, 2), slice(2, 6))]
        np.testing.assert_array_equal(whole, np.concatenate(parts))
        assert (whole != train_output(cell, x, random_keys(rng, 6))).any()


def test_the_masks_follow_the_documented_formula(rng):
    drawn = rng.integers(0, 2**32, 50, dtype=np.uint64)
    cell = with_rng_id(DropPath(0.4), 7)
    seed = (drawn + cell.rng_id) % 2**32
    expected = (seed * (2 * seed + 1)) % 2**32
    kept = (expected.astype(np.uint32).view(np.int32).astype(np.int64) + 2**31) >= int(0.4 * 2**32)
    rng_key = ms.Tensor(drawn.astype(np.uint32).view(np.int32))
    np.testing.assert_array_equal(train_output(cell, np.ones((50, 1), np.float32), rng_key)[:, 0] != 0, kept)


@pytest.mark.slow
def test_the_gradient_has_the_same_mask(rng):
    cell = with_rng_id(Dropout(0.5), 0).set_train(True)
    x, rng_key = ms.Tensor(np.ones((2, 3, 8), np.float32)), random_keys(rng, 2)
    gradient = ms.grad(cell)(x, rng_key).asnumpy()
    np.testing.assert_array_equal(gradient, cell(x, rng_key).asnumpy())


@pytest.mark.eager
@pytest.mark.slow
@pytest.mark.parametrize("kind", [Dropout, DropPath])
def test_without_rng_keys_the_generator_of_mindspore_draws(kind):
    x = np.ones((4000, 1), np.float32)
    out = kind(0.25).set_train(True)(ms.Tensor(x)).asnumpy()
    assert abs((out == 0).mean() - 0.25) < 0.04
    np.testing.assert_allclose(out.max(), 1 / 0.75, rtol=1e-5)


def dropout_of_five_patches(p):
    return PatchDropout(p, 5)


@pytest.mark.eager
@pytest.mark.slow
@pytest.mark.parametrize("kind", [Dropout, DropPath, dropout_of_five_patches])
def test_dropout_does_nothing_in_evaluation(rng, kind):
    x = rng.standard_normal((4, 5, 3)).astype(np.float32)
    np.testing.assert_array_equal(kind(0.9).set_train(False)(ms.Tensor(x), random_keys(rng, 4)).asnumpy(), x)


def test_an_invalid_probability_is_an_error():
    with pytest.raises(ValueError, match="must be in"):
        Dropout(1.0)


def test_every_dropout_of_a_network_has_another_rng_id():
    network = create_model("vit_mini_4_32", depth=3)
    cells = [cell for _, cell in network.cells_and_names() if isinstance(cell, KeyedCell)]
    # Per block: two DropPaths, and dropout of the weights, the attention, the hidden layer, the output, the block.
    assert len({cell.rng_id for cell in cells}) == len(cells) == 3 + 3 * 7


@pytest.mark.eager
@pytest.mark.slow
@pytest.mark.parametrize("setting", ["dropout", "attention_dropout", "drop_path", "block_dropout", "patch_dropout"])
def test_each_dropout_setting_acts_and_is_reproducible_with_rng_keys(rng, setting):
    sizes = {"image_size": 8, "embed_dim": 16, "depth": 2, "num_heads": 2, "mlp_dim": 32, "num_classes": 3}
    network = create_model("vit_mini_4_32", **sizes, **{setting: 0.5})
    for parameter in network.get_parameters():
        parameter.set_data(ms.Tensor(rng.standard_normal(parameter.shape).astype(np.float32) * 0.3))
    images, rng_key = ms.Tensor(rng.standard_normal((8, 3, 8, 8)).astype(np.float32)), random_keys(rng, 8)
    evaluated = network.set_train(False)(images).asnumpy()
    network.set_train(True)
    trained = network(images, rng_key).asnumpy()
    assert np.abs(trained - evaluated).max() > 0.01
    np.testing.assert_array_equal(trained, network(images, rng_key).asnumpy())


def test_rng_ids_follow_the_order_of_the_cells():
    cells = nn.SequentialCell(Dropout(0.1), DropPath(0.1))
    assign_rng_ids(cells)
    first = [cell.rng_id for cell in cells]
    assign_rng_ids(cells)
    assert first == [cell.rng_id for cell in cells]
    assert first[0] != first[1]


def kept_patches(cell, batch, patches, rng_key=None, prefix=0):
    """The indices of the patches that are kept, (batch, kept)."""
    tokens = np.tile(np.arange(prefix + patches, dtype=np.float32)[:, None], (batch, 1, 2))
    out = cell.set_train(True)(ms.Tensor(tokens), rng_key).asnumpy()
    np.testing.assert_array_equal(out[..., 0], out[..., 1])
    np.testing.assert_array_equal(out[:, :prefix, 0], tokens[:, :prefix, 0], err_msg="prefix tokens do not move")
    return out[:, prefix:, 0].astype(int) - prefix


@pytest.mark.eager
@pytest.mark.slow
@pytest.mark.parametrize(
    ("p", "patches", "prefix", "kept"),
    [(0.5, 9, 0, 4), (0.4, 10, 2, 6), (0.9, 100, 2, 10), (0.9, 4, 1, 1), (0.0, 4, 1, 4)],
)
@pytest.mark.parametrize("has_keys", [True, False])
def test_patch_dropout_keeps_the_prefix_and_a_fraction_of_the_patches(rng, p, patches, prefix, kept, has_keys):
    rng_key = random_keys(rng, 5) if has_keys else None
    numbers = kept_patches(with_rng_id(PatchDropout(p, patches, prefix), 1), 5, patches, rng_key, prefix)
    assert numbers.shape == (5, kept)
    for row in numbers:
        assert len(set(row)) == kept and set(row) <= set(range(patches))


@pytest.mark.eager
def test_patch_dropout_keeps_all_patches_and_pairs_equally_often(rng):
    numbers = kept_patches(with_rng_id(PatchDropout(0.6, 10), 2), 20000, 10, random_keys(rng, 20000))
    kept = np.zeros((20000, 10))
    np.put_along_axis(kept, numbers, 1, 1)
    together = kept.T @ kept / 20000
    np.testing.assert_allclose(np.diag(together), 0.4, atol=0.016)
    np.testing.assert_allclose(together[np.triu_indices(10, 1)], 4 * 3 / (10 * 9), atol=0.012)


@pytest.mark.eager
@pytest.mark.slow
def test_kept_patches_depend_on_rng_key_and_rng_id(rng):
    rng_key = random_keys(rng, 2000)
    cell = with_rng_id(PatchDropout(0.6, 10), 2)
    first = kept_patches(cell, 2000, 10, rng_key)
    np.testing.assert_array_equal(first, kept_patches(cell, 2000, 10, rng_key))
    np.testing.assert_array_equal(first[7:9], kept_patches(cell, 2, 10, rng_key[7:9]), "independent of the batch")
    for other in (
        kept_patches(with_rng_id(PatchDropout(0.6, 10), 3), 2000, 10, rng_key),
        kept_patches(cell, 2000, 10, random_keys(rng, 2000)),
    ):
        common = np.mean([len(set(one) & set(two)) for one, two in zip(first, other, strict=True)])
        assert abs(common - 4 * 4 / 10) < 0.1, "as many as expected by chance"


@pytest.mark.eager
def test_patch_dropout_without_rng_keys_draws_other_patches_each_time():
    cell = PatchDropout(0.6, 10)
    first, second = (kept_patches(cell, 200, 10) for _ in range(2))
    assert (first != second).any(1).mean() > 0.9
    shares = np.bincount(np.concatenate([first, second]).ravel(), minlength=10) / 400
    np.testing.assert_allclose(shares, 0.4, atol=0.12)


def test_the_gradient_reaches_only_the_kept_tokens(rng):
    cell, rng_key = with_rng_id(PatchDropout(0.5, 8, 1), 0).set_train(True), random_keys(rng, 2)
    x = ms.Tensor(rng.standard_normal((2, 9, 3)).astype(np.float32))
    numbers = kept_patches(cell, 2, 8, rng_key, 1) + 1
    gradient = ms.grad(cell)(x, rng_key).asnumpy()
    expected = np.zeros((2, 9, 3))
    expected[:, 0] = 1
    for sample in range(2):
        expected[sample, numbers[sample]] = 1
    np.testing.assert_array_equal(gradient, expected)


class Embed(nn.Cell):
    def __init__(self, network):
        super().__init__()
        self.network = network

    def construct(self, images, rng_key):
        return self.network.embed(images, rng_key)


@pytest.mark.eager
def test_patches_are_dropped_with_their_pos_embed_and_only_in_training(rng):
    config = config_of("distilled", register_tokens=2, patch_dropout=0.4)
    network, weights = random_network(config, rng)
    images, rng_key = random_images(config, rng), random_keys(rng, 2)
    embed = Embed(network)
    whole = numpy_vit.embed(images.astype(np.float64), weights)
    np.testing.assert_allclose(embed.set_train(False)(ms.Tensor(images), rng_key).asnumpy(), whole, atol=1e-5)
    fewer = embed.set_train(True)(ms.Tensor(images), rng_key).asnumpy()
    assert fewer.shape == (2, 4 + 5, 12)
    np.testing.assert_allclose(fewer[:, :4], whole[:, :4], atol=1e-5)
    for sample in range(2):
        distances = np.abs(fewer[sample, 4:, None] - whole[sample, None, 4:]).max(2)
        assert distances.min(1).max() < 1e-5 and len(set(distances.argmin(1))) == 5


def test_patch_dropout_does_not_change_the_rng_ids_of_other_cells():
    network = nn.CellList([Dropout(0.1), PatchDropout(0.5, 4), Dropout(0.1)])
    assign_rng_ids(network)
    without = nn.CellList([Dropout(0.1), Dropout(0.1)])
    assign_rng_ids(without)
    assert [network[0].rng_id, network[2].rng_id] == [cell.rng_id for cell in without]
    assert network[1].rng_id == with_rng_id(Dropout(0.1), 2).rng_id
