import pytest

from mindvit.dry_run.kernel_costs import flops, num_bytes
from mindvit.dry_run.kernel_graph import KernelNode, TensorSpec


def node(name, inputs, outputs, dtype="Float16"):
    return KernelNode(
        name,
        tuple(TensorSpec(dtype, shape) for shape in inputs),
        tuple(TensorSpec(dtype, shape) for shape in outputs),
        "Default",
    )


def test_bytes_are_those_of_all_inputs_and_outputs():
    assert num_bytes(node("Add", [(4, 5), (5,)], [(4, 5)])) == 2 * (20 + 5 + 20)


@pytest.mark.parametrize(
    ("kernel", "expected"),
    [
        (node("MatMul", [(8, 3), (3, 5), (), ()], [(8, 5)]), 2 * 8 * 3 * 5),
        (node("MatMul", [(3, 8), (5, 3), (), ()], [(8, 5)]), 2 * 8 * 3 * 5),
        (node("BatchMatMul", [(2, 7, 8, 3), (2, 7, 5, 3), (), ()], [(2, 7, 8, 5)]), 2 * 14 * 8 * 3 * 5),
        (node("MatMulExt", [(14, 8, 3), (3, 5)], [(14, 8, 5)]), 2 * 14 * 8 * 3 * 5),
        (node("Dense", [(2, 8, 3), (5, 3), (5,)], [(2, 8, 5)]), 2 * 16 * 3 * 5),
        (node("Conv2D", [(2, 3, 8, 8), (6, 3, 4, 4)], [(2, 6, 2, 2)]), 2 * 48 * 48),
        (node("Conv2DBackpropFilter", [(2, 6, 2, 2), (2, 3, 8, 8)], [(6, 3, 4, 4)]), 2 * 48 * 48),
        (node("Conv2DBackpropInput", [(2, 6, 2, 2), (6, 3, 4, 4)], [(2, 3, 8, 8)]), 2 * 48 * 48),
        (node("Add", [(4, 5), (4, 5)], [(4, 5)]), 0),
        (node("MatMul", [(0, 3), (3, 5)], [(0, 5)]), 0),
    ],
    ids=lambda value: value.name if isinstance(value, KernelNode) else None,
)
def test_a_multiply_add_counts_as_two(kernel, expected):
    assert flops(kernel) == expected


BATCH, HEADS, LENGTH, WIDTH = 2, 3, 7, 12
STATISTICS = (BATCH, HEADS, LENGTH, 8)


@pytest.mark.parametrize("shape", [(BATCH, LENGTH, WIDTH), (BATCH, HEADS, LENGTH, WIDTH // HEADS)], ids=["BSH", "BNSD"])
def test_fused_attention_does_two_products_forward_and_five_backward(shape):
    product = 2 * BATCH * LENGTH * LENGTH * WIDTH
    forward = node("FlashAttentionScore", [shape] * 3, [STATISTICS, STATISTICS, (1,), shape])
    backward = node("FlashAttentionScoreGrad", [shape] * 4 + [STATISTICS] * 2, [shape] * 3)
    assert flops(forward) == 2 * product
    assert flops(backward) == 5 * product
