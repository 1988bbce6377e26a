import numpy as np
import pytest

from mindvit.distributed import (
    all_gather_object,
    all_reduce_sum,
    broadcast_object,
    check_same_on_all_ranks,
    init_distributed,
    is_distributed,
    local_rank_zero_first,
    raise_on_any_rank,
)


def test_the_sum_of_one_rank_is_its_own():
    np.testing.assert_array_equal(all_reduce_sum(np.array([1.0, 2.0])), [1.0, 2.0])


def test_one_rank_needs_no_communication():
    assert not is_distributed()
    assert init_distributed() == (0, 1)
    assert all_gather_object({"a": 1}) == [{"a": 1}]
    assert broadcast_object("value") == "value"
    assert local_rank_zero_first(lambda: "result") == "result"
    check_same_on_all_ranks({"a": 1})
    with pytest.raises(KeyError), raise_on_any_rank():
        raise KeyError
