import mindspore as ms
import numpy as np
import pytest
from mindspore import amp

from mindvit import create_model
from mindvit.errors import UserError
from mindvit.runtime import (
    Runtime,
    RuntimeSettings,
    choose_device,
    choose_precision,
    loss_scaling,
    start,
    sum_over_workers,
    with_precision,
)


@pytest.mark.parametrize(
    ("present", "chosen"),
    [(("Ascend", "GPU", "CPU"), "Ascend"), (("GPU", "CPU"), "GPU"), (("Ascend", "CPU"), "Ascend"), (("CPU",), "CPU")],
)
def test_auto_takes_an_ascend_else_a_gpu_else_the_cpu(present, chosen):
    available = {name: name in present for name in ("Ascend", "GPU", "CPU")}
    assert choose_device("auto", available) == chosen
    assert choose_device("CPU", available) == "CPU"


def test_a_device_that_is_not_there_is_refused():
    with pytest.raises(UserError, match="Ascend is not available on this machine; it has CPU"):
        choose_device("Ascend", {"Ascend": False, "GPU": False, "CPU": True})


def test_precision_is_o2_on_ascend_and_o0_elsewhere_unless_told():
    assert [choose_precision("auto", device) for device in ("Ascend", "GPU", "CPU")] == ["O2", "O0", "O0"]
    assert choose_precision("O0", "Ascend") == "O0"
    assert choose_precision("O2", "CPU") == "O2"


def test_loss_is_scaled_where_float16_trains_on_an_accelerator():
    assert isinstance(loss_scaling(Runtime("Ascend", "O2")), amp.DynamicLossScaleManager)
    assert loss_scaling(Runtime("Ascend", "O0")) is None
    assert loss_scaling(Runtime("CPU", "O2")) is None


def test_o2_computes_in_float16_and_keeps_float32_weights(rng):
    network = create_model("vit_mini_4_32", num_classes=10, depth=2)
    network.dense.weight.set_data(ms.Tensor(rng.standard_normal(network.dense.weight.shape).astype(np.float32)))
    images = ms.Tensor(rng.standard_normal((2, 3, 32, 32)).astype(np.float32))
    exact = network.set_train(False)(images).asnumpy()
    names = [parameter.name for parameter in network.get_parameters()]

    halved = with_precision(network, Runtime("CPU", "O2")).set_train(False)
    logits = halved(images)

    assert logits.dtype == ms.float32
    error = np.abs(logits.asnumpy() - exact).max()
    assert 1e-5 < error < 0.05, "float16 rounds, and only that"
    assert [parameter.name for parameter in halved.get_parameters()] == names
    assert {parameter.dtype for parameter in network.get_parameters()} == {ms.float32}


def test_o0_leaves_the_network_alone():
    network = create_model("vit_mini_4_32")
    assert with_precision(network, Runtime("CPU", "O0")) is network


def test_one_workers_sum_is_its_own():
    np.testing.assert_array_equal(sum_over_workers(np.array([1.0, 2.0])), [1.0, 2.0])


def test_starting_sets_graph_mode_and_every_seed():
    runtime = start(RuntimeSettings(), seed=7)
    assert (runtime.device, runtime.precision, runtime.rank, runtime.world_size) == ("CPU", "O0", 0, 1)
    assert runtime.is_main
    assert ms.get_context("mode") == ms.GRAPH_MODE
    assert ms.get_seed() == ms.dataset.config.get_seed() == 7
