"""Rewrites of an ONNX graph that MindSpore exported: a newer opset, whole layer norms, and a batch of any size."""

from collections import defaultdict
from collections.abc import Iterable

import numpy as np
import onnx
from onnx import ModelProto, NodeProto, TensorProto, helper, numpy_helper, version_converter

OPSETS = range(11, 18)
"""Opsets to write: 11 is that of MindSpore's exporter, and 17 the first that has ``LayerNormalization``."""
_IR_VERSIONS = dict(zip(OPSETS, (6, 7, 7, 7, 8, 8, 8), strict=True))
"""The version of the file format that came with each opset."""
MARKED_BATCH = 9973
"""Batch size to export with for ``make_batch_dynamic``: a prime, so that only numbers made from the batch size are
multiples of it."""
BATCH = "batch"
"""Name of the dynamic dimension."""
_SMALL = 256
"""Values of an initializer that the rewrites may read."""
_NORM = ("Sub", "ReduceMean", "Div", "Add", "Sqrt", "Div", "Mul", "Add")


def modernize(model: ModelProto, opset: int = OPSETS[-1]) -> ModelProto:
    """Converts a graph to an opset, and removes what MindSpore's exporter adds.

    Casts from float32 to float32 are dropped, and reshapes of weights are computed. With opset 17 a layer norm, which
    is exported as nine operators, becomes one ``LayerNormalization``.

    Args:
        model: the exported model.
        opset: one of ``OPSETS``.
    """
    converted = version_converter.convert_version(_without_weights(model), opset)
    converted.ir_version = _IR_VERSIONS[opset]
    _restore_weights(converted, model)
    _fold_reshaped_weights(converted)
    _drop_casts(converted)
    if opset >= 17:
        _join_layer_norms(converted)
    _drop_unused(converted)
    return converted


def make_batch_dynamic(model: ModelProto) -> None:
    """Lets a graph that was exported with ``MARKED_BATCH`` images take any number, in place.

    The shapes of reshapes get -1 for the dimension that depends on the batch. The factors of tiles are computed from
    the input. The caller must verify the graph at several batch sizes.

    Raises:
        ValueError: if a constant depends on the batch in another way.
    """
    graph = model.graph
    constants, shapes = _constants(model), _shapes(model)
    first: list[NodeProto] = []
    for node in graph.node:
        if node.op_type not in ("Reshape", "Tile", "Expand") or node.input[1] not in constants:
            continue
        values = constants[node.input[1]].tolist()
        if node.op_type == "Reshape":
            values = shapes[node.output[0]]
        scaled = [index for index, value in enumerate(values) if _is_marked(value)]
        if not scaled:
            continue
        if node.op_type == "Reshape":
            if len(scaled) > 1:
                raise ValueError(f"{node.name} has two dimensions that depend on the batch")
            values = [-1 if index in scaled else value for index, value in enumerate(values)]
            node.input[1] = _add_constant(model, f"{node.output[0]}_shape", values)
            continue
        if not first:
            first += _batch_size_nodes(model)
        factors = [value // MARKED_BATCH if index in scaled else 0 for index, value in enumerate(values)]
        others = [0 if index in scaled else value for index, value in enumerate(values)]
        product, total = f"{node.output[0]}_scaled", f"{node.output[0]}_repeats"
        factors, others = (
            _add_constant(model, f"{product}_{name}", part) for name, part in (("by", factors), ("else", others))
        )
        first.append(helper.make_node("Mul", [BATCH, factors], [product], name=product))
        first.append(helper.make_node("Add", [product, others], [total], name=total))
        node.input[1] = total
    nodes = [*first, *graph.node]
    del graph.node[:], graph.value_info[:]
    graph.node.extend(nodes)
    _drop_unused(model)
    for value in (*graph.input, *graph.output):
        value.type.tensor_type.shape.dim[0].dim_param = BATCH
    remaining = [name for name, values in _constants(model).items() if any(map(_is_marked, values.ravel().tolist()))]
    if remaining:
        raise ValueError(f"the constant {remaining[0]} depends on the batch")


def operators(model: ModelProto) -> list[tuple[str, int]]:
    """The operators of a graph and how often each occurs, the most frequent first. Constants are left out."""
    counts: dict[str, int] = defaultdict(int)
    for node in model.graph.node:
        if node.op_type != "Constant":
            counts[node.op_type] += 1
    return sorted(counts.items(), key=lambda item: (-item[1], item[0]))


def _is_marked(value: float) -> bool:
    return isinstance(value, int) and value != 0 and value % MARKED_BATCH == 0


def _batch_size_nodes(model: ModelProto) -> list[NodeProto]:
    index = _add_constant(model, f"{BATCH}_index", [0])
    return [
        helper.make_node("Shape", [model.graph.input[0].name], ["input_shape"], name="input_shape"),
        helper.make_node("Gather", ["input_shape", index], [BATCH], name=BATCH),
    ]


def _add_constant(model: ModelProto, name: str, values: list[int]) -> str:
    model.graph.initializer.append(numpy_helper.from_array(np.array(values, np.int64), name))
    return name


def _without_weights(model: ModelProto) -> ModelProto:
    """A copy whose large initializers are inputs. So a pass over the graph neither copies nor serializes weights."""
    light = ModelProto(ir_version=model.ir_version, opset_import=model.opset_import)
    light.graph.name = model.graph.name or "mindvit"
    light.graph.node.extend(model.graph.node)
    light.graph.input.extend(model.graph.input)
    light.graph.output.extend(model.graph.output)
    for weight in model.graph.initializer:
        if _is_small(weight):
            light.graph.initializer.append(weight)
        else:
            light.graph.input.append(helper.make_tensor_value_info(weight.name, weight.data_type, weight.dims))
    return light


def _restore_weights(light: ModelProto, model: ModelProto) -> None:
    weights = [weight for weight in model.graph.initializer if not _is_small(weight)]
    names = {weight.name for weight in weights}
    inputs = [value for value in light.graph.input if value.name not in names]
    del light.graph.input[:], light.graph.value_info[:]
    light.graph.input.extend(inputs)
    light.graph.initializer.extend(weights)


def _is_small(weight: TensorProto) -> bool:
    return int(np.prod(weight.dims)) <= _SMALL


def _constants(model: ModelProto) -> dict[str, np.ndarray]:
    """The small constants by name: initializers, and the outputs of ``Constant`` nodes."""
    found = {item.name: numpy_helper.to_array(item) for item in model.graph.initializer if _is_small(item)}
    for node in model.graph.node:
        if node.op_type == "Constant":
            value = helper.get_attribute_value(node.attribute[0])
            if isinstance(value, TensorProto) and _is_small(value):
                found[node.output[0]] = numpy_helper.to_array(value)
    return found


def _inferred(model: ModelProto) -> Iterable[onnx.ValueInfoProto]:
    graph = onnx.shape_inference.infer_shapes(_without_weights(model), data_prop=True).graph
    return (*graph.input, *graph.value_info, *graph.output)


def _shapes(model: ModelProto) -> dict[str, list[int]]:
    return {
        value.name: [dimension.dim_value for dimension in value.type.tensor_type.shape.dim]
        for value in _inferred(model)
    }


def _fold_reshaped_weights(model: ModelProto) -> None:
    graph = model.graph
    weights, shapes = {weight.name: weight for weight in graph.initializer}, _shapes(model)
    uses = _consumers(graph.node)
    kept = []
    for node in graph.node:
        weight = weights.get(node.input[0]) if node.op_type == "Reshape" else None
        if weight is None or len(uses[weight.name]) > 1:
            kept.append(node)
            continue
        del weight.dims[:]
        weight.dims.extend(shapes[node.output[0]])
        _rename_input(uses, node.output[0], weight.name)
    _set_nodes(model, kept)


def _drop_casts(model: ModelProto) -> None:
    types = {value.name: value.type.tensor_type.elem_type for value in _inferred(model)}
    types |= {weight.name: weight.data_type for weight in model.graph.initializer}
    uses, outputs = _consumers(model.graph.node), {value.name for value in model.graph.output}
    kept = []
    for node in model.graph.node:
        source, target = node.input[0] if node.input else "", node.output[0]
        to_float = node.op_type == "Cast" and node.attribute[0].i == TensorProto.FLOAT
        if to_float and types.get(source) == TensorProto.FLOAT and target not in outputs:
            _rename_input(uses, target, source)
        else:
            kept.append(node)
    _set_nodes(model, kept)


def _join_layer_norms(model: ModelProto) -> None:
    """Replaces ``gamma (x - mean) / sqrt(sum of squares / width + epsilon) + beta`` by one operator."""
    graph, constants = model.graph, _constants(model)
    producers = {name: node for node in graph.node for name in node.output}
    uses = _consumers(graph.node)
    joined: dict[str, NodeProto] = {}
    removed: set[str] = set()
    for squares in graph.node:
        if squares.op_type != "ReduceSumSquare":
            continue
        center = producers[squares.input[0]]
        chain = [center, producers.get(center.input[1])]
        last = squares
        for _ in range(6):
            following = uses[last.output[0]]
            last = following[0] if len(following) == 1 else None
            chain.append(last)
            if last is None:
                break
        if [node and node.op_type for node in chain] != list(_NORM):
            continue
        _, mean, _, shifted, _, _, scaled, output = chain
        if mean.input[0] != center.input[0] or _axes(squares) != _axes(mean) or len(_axes(mean)) != 1:
            continue
        inputs = [center.input[0], scaled.input[1], output.input[1]]
        epsilon = float(constants[shifted.input[1]])
        joined[output.name] = helper.make_node(
            "LayerNormalization", inputs, list(output.output), name=output.name, axis=-1, epsilon=epsilon
        )
        removed |= {node.name for node in (squares, *chain[:-1])}
    _set_nodes(model, [joined.get(node.name, node) for node in graph.node if node.name not in removed])


def _axes(node: NodeProto) -> list[int]:
    return next((list(item.ints) for item in node.attribute if item.name == "axes"), [])


def _drop_unused(model: ModelProto) -> None:
    """Removes the nodes and initializers whose output nothing uses."""
    needed = {value.name for value in model.graph.output}
    kept = []
    for node in reversed(model.graph.node):
        if needed & set(node.output):
            needed |= set(node.input)
            kept.append(node)
    _set_nodes(model, kept[::-1])
    weights = [weight for weight in model.graph.initializer if weight.name in needed]
    del model.graph.initializer[:]
    model.graph.initializer.extend(weights)


def _consumers(nodes: Iterable[NodeProto]) -> dict[str, list[NodeProto]]:
    found = defaultdict(list)
    for node in nodes:
        for name in node.input:
            found[name].append(node)
    return found


def _rename_input(uses: dict[str, list[NodeProto]], old: str, new: str) -> None:
    for node in uses[old]:
        for index, name in enumerate(node.input):
            if name == old:
                node.input[index] = new
        uses[new].append(node)


def _set_nodes(model: ModelProto, nodes: list[NodeProto]) -> None:
    del model.graph.node[:]
    model.graph.node.extend(nodes)
