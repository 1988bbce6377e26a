from mindvit.dry_run.kernel_graph import KernelNode, TensorSpec, parse_graph, read_graphs
from tests.dry_run.mindspore_texts import GRAPH


def test_a_kernel_has_the_shapes_of_its_tensors_on_the_device():
    move, product, split = parse_graph(GRAPH.splitlines(keepends=True))
    assert move == KernelNode(
        "TensorMove", (TensorSpec("Float32", ()),), (TensorSpec("Float32", ()),), "Default/TensorMove-op0"
    )
    assert product.name == "MatMul"
    assert [tensor.shape for tensor in product.inputs] == [(8, 3), (5, 3), (), ()]
    assert product.outputs == (TensorSpec("Float16", (8, 5)),)
    assert product.scope == "Default/network-ViT/head-Dense/MatMul-op0"
    assert split.outputs == (TensorSpec("BFloat16", (8, 2)), TensorSpec("Float32", (8, 3)))


def test_nodes_that_only_order_others_are_no_kernels():
    assert "Load" not in [node.name for node in parse_graph(GRAPH.splitlines(keepends=True))]


def test_the_size_of_a_tensor_follows_from_its_type():
    sizes = {"Float32": 24, "Float16": 12, "BFloat16": 12, "Int64": 48, "Int8": 6, "Bool": 6, "None": 0}
    assert {dtype: TensorSpec(dtype, (2, 3)).num_bytes for dtype in sizes} == sizes


def test_graphs_are_read_in_the_order_in_which_they_were_built(tmp_path):
    for name, operator in (("graph_build_1_0010", "Second"), ("graph_build_0_0009", "First"), ("other_0_1", "No")):
        (tmp_path / f"{name}.ir").write_text(GRAPH.replace("TensorMove(", f"{operator}("))
    assert [node.name for node in read_graphs(tmp_path)] == ["First", "MatMul", "Split", "Second", "MatMul", "Split"]
