"""Time by operator."""

import numpy as np
import pytest
from mindspore import Tensor, nn

from mindvit.benchmark_worker.operator_profile import operator_times, profile_operators


class Products(nn.Cell):
    def __init__(self):
        super().__init__()
        self.layers = nn.CellList([nn.Dense(256, 256) for _ in range(3)])

    def construct(self, x):
        for layer in self.layers:
            x = layer(x)
        return x


def row(kind, name, milliseconds, count):
    columns = ("op_type", "full_op_name", "op_total_time(ms)", "op_occurrences")
    return dict(zip(columns, (kind, name, str(milliseconds), str(count)), strict=True))


def test_times_are_those_of_a_step_and_custom_kernels_go_by_their_cell():
    rows = [
        row("Custom", "Default/layers-CellList/0-Block/native-_NativeDense/Custom-op0", 8.0, 2),
        row("Custom", "Default/layers-CellList/1-Block/native-_NativeDense/Custom-op1", 4.0, 2),
        row("Custom", "Default/Custom-op7", 20.0, 2),
        row("Add", "Default/layers-CellList/1-Block/Add-op3", 1.0, 4),
    ]
    found = operator_times(rows, 2)
    assert list(found["types"]) == ["Custom", "NativeDense", "Add"]
    assert found["types"]["NativeDense"] == {"milliseconds": 6.0, "launches": 2.0}
    assert found["places"]["Default/layers-CellList-Block/native-_NativeDense/Custom"]["launches"] == 2


@pytest.mark.slow
def test_the_profiler_counts_operators_by_type_and_place():
    cell, x = Products(), Tensor(np.ones((64, 256), np.float32))
    cell(x).asnumpy()
    found = profile_operators(lambda: cell(x).asnumpy(), 2)
    assert found["types"]["MatMul"]["launches"] == 3
    assert found["types"]["MatMul"]["milliseconds"] > 0
    places = {name: row["launches"] for name, row in found["places"].items() if "MatMul" in name}
    assert list(places.values()) == [3], "all layers are one place"
