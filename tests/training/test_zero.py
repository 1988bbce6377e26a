import numpy as np
import pytest

from mindvit.training.zero import TensorShard


@pytest.mark.parametrize(("shape", "world_size"), [((4, 3), 2), ((4, 3), 5), ((7,), 3), ((), 2), ((2, 3), 1)])
def test_the_shards_of_all_ranks_are_equally_long_and_make_up_the_padded_tensor(rng, shape, world_size):
    values = rng.standard_normal(shape).astype(np.float32)
    shards = [TensorShard(shape, rank, world_size) for rank in range(world_size)]
    local = [shard.local(values) for shard in shards]
    assert len({part.shape for part in local}) == 1
    joined = np.concatenate(local)
    np.testing.assert_array_equal(joined[: values.size].reshape(shape), values)
    np.testing.assert_array_equal(joined[values.size :], 0)
    assert 0 <= len(joined) - values.size < world_size
    assert {shard.padding for shard in shards} == {len(joined) - values.size}
