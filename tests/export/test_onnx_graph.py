"""Networks of every construction as ONNX with a batch of any size, against the NumPy reference."""

import mindspore as ms
import numpy as np
import onnx
import pytest

from mindvit.export.exportable import ExportedNetwork, make_exportable
from mindvit.export.onnx_file import build_onnx, export_graph, onnx_runner
from mindvit.export.onnx_graph import MARKED_BATCH, make_batch_dynamic, modernize, operators
from mindvit.models.efficientnet import MBConv
from mindvit.models.resnet import Bottleneck
from tests import numpy_vit
from tests.models.constructions import config_of, random_images, random_network, randomize

pytestmark = pytest.mark.slow


# Together they have every setting of the configuration.
@pytest.mark.parametrize(
    "name", ["map_with_all", "mean_norm_with_all", "distilled_with_all", "window_with_relative_bias"]
)
def test_every_construction_runs_at_any_batch_size(rng, tmp_path, name):
    config = config_of(name, depth=1)
    network, weights = random_network(config, rng)
    model = build_onnx(ExportedNetwork(make_exportable(network)).set_train(False), None, 17, "{}", "logits")
    onnx.save(model, tmp_path / "x.onnx")
    run = onnx_runner(tmp_path / "x.onnx")
    for count in (1, 3):
        images = random_images(config, rng, count)
        expected = numpy_vit.vit_of(images.astype(np.float64), weights, config)
        np.testing.assert_allclose(run(images), expected, atol=2e-5)
    assert {"LayerNormalization", "Gemm"} <= dict(operators(model)).keys()
    assert not {"ReduceSumSquare"} & dict(operators(model)).keys()


@pytest.mark.parametrize(
    ("make", "channels"),
    [(lambda: Bottleneck(32, 32, stride=2), 32), (lambda: MBConv(8, 8, 2, 3, 1), 8)],
    ids=["resnet", "efficientnet"],
)
def test_the_stems_of_hybrids_run_at_any_batch_size(rng, tmp_path, make, channels):
    cell = make().set_train(False)
    randomize(cell, rng)
    images = rng.standard_normal((3, channels, 16, 16)).astype(np.float32)
    expected = cell(ms.Tensor(images)).asnumpy()
    marked = ms.Tensor(shape=(MARKED_BATCH, channels, 16, 16), dtype=ms.float32, init="zeros")
    model = modernize(export_graph(make_exportable(cell), marked, "y"))
    make_batch_dynamic(model)
    onnx.save(model, tmp_path / "x.onnx")
    run = onnx_runner(tmp_path / "x.onnx")
    for count in (1, 3):
        np.testing.assert_allclose(run(images[:count]), expected[:count], rtol=1e-4, atol=1e-4)


def test_a_constant_that_depends_on_the_batch_is_refused():
    """A slice up to the batch size, which no pass of this module rewrites."""
    limits = [
        onnx.numpy_helper.from_array(np.array([value], np.int64), name)
        for name, value in (("from", 0), ("to", MARKED_BATCH))
    ]
    values = [
        onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, [MARKED_BATCH, 2]) for name in ("x", "y")
    ]
    node = onnx.helper.make_node("Slice", ["x", "from", "to"], ["y"], name="slice")
    graph = onnx.helper.make_graph([node], "graph", values[:1], values[1:], limits)
    with pytest.raises(ValueError, match="the constant to depends on the batch"):
        make_batch_dynamic(onnx.helper.make_model(graph))
