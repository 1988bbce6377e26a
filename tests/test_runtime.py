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
    measured_flops,
    start,
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


@pytest.mark.parametrize("device", ["Ascend", "CPU"])
@pytest.mark.parametrize("precision", ["O2", "O3"])
def test_loss_is_scaled_wherever_float16_trains(device, precision):
    scaler = loss_scaling(Runtime(device, precision))
    assert isinstance(scaler, amp.DynamicLossScaler)
    assert (scaler.scale_value.asnumpy(), scaler.scale_factor, scaler.scale_window) == (2**16, 2, 2000)


@pytest.mark.parametrize("device", ["Ascend", "CPU"])
def test_loss_is_not_scaled_in_float32(device):
    assert loss_scaling(Runtime(device, "O0")) is None


def test_a_device_is_measured_by_its_fastest_matrix_product(monkeypatch):
    ticks = iter(np.cumsum([0, 4, 1, 5, 1, 3, 1, 2, 1, 6]).tolist())
    products = []

    class Product:
        def __call__(self, left, right):
            products.append((left.shape, right.shape, left.dtype, right.dtype))
            return ms.Tensor(np.zeros((1, 1), np.float32))

    monkeypatch.setattr("time.perf_counter", lambda: next(ticks))
    monkeypatch.setattr(ms.ops, "MatMul", Product)
    assert measured_flops(Runtime("CPU", "O0")) == 2 * 2048**3 / 2
    assert set(products) == {((2048, 2048), (2048, 2048), ms.float32, ms.float32)}
    assert len(products) == 6, "the first one, which compiles, is not timed"


def test_a_device_at_mixed_precision_is_measured_in_float16(monkeypatch):
    dtypes = set()

    class Product:
        def __call__(self, left, right):
            dtypes.update((left.dtype, right.dtype))
            return ms.Tensor(np.zeros((1, 1), np.float32))

    monkeypatch.setattr(ms.ops, "MatMul", Product)
    assert measured_flops(Runtime("CPU", "O2")) > 0
    assert dtypes == {ms.float16}


def test_this_machines_measure_is_of_a_machine():
    assert 1e9 < measured_flops(Runtime("CPU", "O0")) < 1e14


def test_a_peak_that_cannot_be_is_refused():
    with pytest.raises(ValueError, match=r"runtime.peak_tflops must be above 0, not 0"):
        RuntimeSettings(peak_tflops=0)


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


def test_starting_sets_graph_mode_and_every_seed():
    runtime = start(RuntimeSettings(), seed=7)
    assert (runtime.device, runtime.precision, runtime.rank, runtime.world_size) == ("CPU", "O0", 0, 1)
    assert runtime.is_main
    assert ms.get_context("mode") == ms.GRAPH_MODE
    assert ms.get_seed() == ms.dataset.config.get_seed() == 7
