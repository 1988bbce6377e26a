import ctypes
from dataclasses import replace

import mindspore as ms
import numpy as np
import psutil
import pytest
from mindspore import amp, nn, ops

from mindvit import create_model, runtime
from mindvit.errors import UserError
from mindvit.ops.layer_norm import LayerNorm
from mindvit.ops.softmax_attention import DotProductAttention
from mindvit.runtime import (
    Runtime,
    RuntimeSettings,
    apply_amp,
    bfloat16_works,
    bound_weights_work,
    choose_amp_dtype,
    choose_amp_level,
    choose_compile_cache,
    choose_data_sink,
    choose_device,
    choose_flat_weights,
    choose_fused_attention,
    choose_jit_level,
    current_runtime,
    device_counts,
    fused_attention_works,
    init_runtime,
    make_loss_scaler,
    measured_flops,
    return_freed_memory,
)
from tests.fused_attention import flash_attention_score

CPU = RuntimeSettings("CPU")


@pytest.mark.parametrize(
    ("present", "chosen"),
    [(("Ascend", "GPU", "CPU"), "Ascend"), (("GPU", "CPU"), "GPU"), (("Ascend", "CPU"), "Ascend"), (("CPU",), "CPU")],
)
def test_auto_chooses_ascend_then_gpu_then_cpu(present, chosen):
    available = {name: name in present for name in ("Ascend", "GPU", "CPU")}
    assert choose_device("auto", available) == chosen
    assert choose_device("CPU", available) == "CPU"


def test_a_device_that_is_not_available_is_rejected():
    with pytest.raises(UserError, match="Ascend is not available on this machine; choose CPU"):
        choose_device("Ascend", {"Ascend": False, "GPU": False, "CPU": True})


def test_default_amp_level_is_o2_on_ascend_and_o0_elsewhere():
    assert [choose_amp_level("auto", device) for device in ("Ascend", "GPU", "CPU")] == ["O2", "O0", "O0"]
    assert choose_amp_level("O0", "Ascend") == "O0"
    assert choose_amp_level("O2", "CPU") == "O2"


@pytest.mark.parametrize("device", ["Ascend", "CPU"])
@pytest.mark.parametrize("amp_level", ["O2", "O3"])
def test_the_loss_is_scaled_in_float16(device, amp_level):
    scaler = make_loss_scaler(Runtime(device, amp_level))
    assert isinstance(scaler, amp.DynamicLossScaler)
    assert (scaler.scale_value.asnumpy(), scaler.scale_factor, scaler.scale_window) == (2**16, 2, 2000)


@pytest.mark.parametrize("device", ["Ascend", "CPU"])
def test_the_loss_is_not_scaled_in_float32(device):
    assert make_loss_scaler(Runtime(device, "O0")) is None


@pytest.mark.parametrize("device", ["Ascend", "CPU"])
@pytest.mark.parametrize("amp_level", ["O2", "O3"])
def test_the_loss_is_not_scaled_in_bfloat16(device, amp_level):
    assert make_loss_scaler(Runtime(device, amp_level, amp_dtype="bfloat16")) is None


@pytest.mark.parametrize("counts", [{"Ascend": 8}, {"GPU": 4}, {"Ascend": 8, "GPU": 4}, {}])
def test_devices_of_each_kind_are_counted(monkeypatch, counts):
    for device in ("Ascend", "GPU"):
        part = getattr(ms.device_context, device.lower())
        monkeypatch.setattr(part, "is_available", lambda device=device: device in counts)
        monkeypatch.setattr(part, "device_count", lambda device=device: counts[device])
    assert device_counts() == {"Ascend": 0, "GPU": 0, **counts, "CPU": 1}


@pytest.mark.parametrize(("device", "default"), [("Ascend", True), ("GPU", False), ("CPU", False)])
def test_data_sink_is_on_by_default_on_ascend_only(device, default):
    assert choose_data_sink(None, device) is default
    assert choose_data_sink(False, device) is False
    if device != "CPU":
        assert choose_data_sink(True, device) is True


@pytest.mark.parametrize(("device", "default"), [("Ascend", False), ("GPU", False), ("CPU", True)])
def test_compiled_graphs_are_stored_by_default_on_a_cpu_only(device, default):
    assert choose_compile_cache(None, device) is default
    assert choose_compile_cache(False, device) is False


def test_a_compile_cache_is_rejected_on_other_devices():
    assert choose_compile_cache(True, "CPU") is True
    with pytest.raises(UserError, match=r"runtime.compile_cache true is for a CPU, but the device is a Ascend"):
        choose_compile_cache(True, "Ascend")


@pytest.mark.parametrize("name", ["flat_weights", "data_sink", "compile_cache"])
def test_settings_that_need_a_graph_are_rejected_without_one(name):
    with pytest.raises(
        ValueError, match=rf"runtime\.{name} true needs a compiled graph, but runtime\.mode is pynative"
    ):
        RuntimeSettings(mode="pynative", **{name: True})


def test_data_sink_is_rejected_on_a_cpu():
    with pytest.raises(UserError, match=r"runtime.data_sink true is not supported on a CPU"):
        choose_data_sink(True, "CPU")


def recording(result, calls):
    """A function that returns a result and records its calls."""
    return lambda: calls.append(result) or result


@pytest.mark.parametrize(
    ("requested", "amp_level", "works", "num_calls"),
    [
        ("float16", "O2", False, 0),
        ("bfloat16", "O0", False, 0),
        ("bfloat16", "O2", True, 1),
        ("bfloat16", "O3", True, 1),
    ],
)
def test_bfloat16_is_tested_only_if_it_is_used(requested, amp_level, works, num_calls):
    calls = []
    assert choose_amp_dtype(requested, amp_level, recording(works, calls)) == requested
    assert len(calls) == num_calls


@pytest.mark.parametrize("amp_level", ["O2", "O3"])
def test_bfloat16_is_rejected_if_it_does_not_work(amp_level):
    with pytest.raises(
        UserError, match=r"runtime.amp_dtype bfloat16: .* choose runtime.amp_dtype float16, or runtime.amp_level"
    ):
        choose_amp_dtype("bfloat16", amp_level, lambda: False)


def test_bfloat16_is_not_supported_on_a_cpu():
    assert not bfloat16_works()
    with pytest.raises(UserError, match=r"choose runtime.amp_dtype float16"):
        init_runtime(replace(CPU, amp_level="O2", amp_dtype="bfloat16"))
    assert init_runtime(replace(CPU, amp_dtype="bfloat16")).amp_dtype == "bfloat16", "O0 does not use it"


@pytest.mark.parametrize(("value", "works"), [(16, True), (15, False)])
def test_bfloat16_works_if_a_product_is_correct(monkeypatch, value, works):
    dtypes = set()

    class Product:
        def __call__(self, left, right):
            dtypes.update((left.dtype, right.dtype))
            return ms.Tensor(np.full((16, 16), value, np.float32))

    monkeypatch.setattr(ops, "MatMul", Product)
    assert bfloat16_works() is works
    assert dtypes == {ms.bfloat16}


@pytest.mark.parametrize(
    ("requested", "device", "amp_level", "works", "fused", "num_calls"),
    [
        (None, "Ascend", "O2", True, True, 1),
        (None, "Ascend", "O3", True, True, 1),
        (True, "Ascend", "O2", True, True, 1),
        (None, "Ascend", "O2", False, False, 1),
        (None, "Ascend", "O0", True, False, 0),
        (None, "GPU", "O2", True, False, 0),
        (None, "CPU", "O2", True, False, 0),
        (False, "Ascend", "O2", True, False, 0),
        (False, "CPU", "O0", True, False, 0),
    ],
)
def test_attention_is_fused_on_an_ascend_in_16_bit_if_that_works(requested, device, amp_level, works, fused, num_calls):
    calls = []
    assert choose_fused_attention(requested, device, amp_level, recording(works, calls)) is fused
    assert len(calls) == num_calls


@pytest.mark.parametrize(
    ("device", "amp_level", "works", "why"),
    [
        ("Ascend", "O0", True, "runtime.amp_level is O0"),
        ("CPU", "O2", True, "only an Ascend has the operator, but the device is a CPU"),
        ("GPU", "O2", True, "only an Ascend has the operator, but the device is a GPU"),
        ("Ascend", "O2", False, "this Ascend does not have the operator"),
    ],
)
def test_fused_attention_is_rejected_if_it_is_not_supported(device, amp_level, works, why):
    with pytest.raises(UserError, match=f"runtime.fused_attention true: .*{why}"):
        choose_fused_attention(True, device, amp_level, lambda: works)


@pytest.mark.eager
@pytest.mark.parametrize("amp_dtype", ["float16", "bfloat16"])
def test_fused_attention_is_not_supported_on_a_cpu(amp_dtype):
    assert fused_attention_works(amp_dtype) is False


def without_gradient(*inputs, **options):
    return ops.stop_gradient(flash_attention_score(*inputs, **options))


@pytest.mark.eager
@pytest.mark.slow
@pytest.mark.parametrize(("operator", "works"), [(flash_attention_score, True), (without_gradient, False)])
def test_fused_attention_works_if_it_and_its_gradients_are_correct(monkeypatch, operator, works):
    monkeypatch.setattr(ops, "flash_attention_score", operator)
    assert fused_attention_works("float16") is works


@pytest.mark.eager
@pytest.mark.parametrize(("requested", "fused"), [(None, True), (False, False)])
def test_init_runtime_makes_all_choices_on_an_ascend(monkeypatch, requested, fused):
    """Tests all choices except the device itself, which is replaced by the CPU."""
    monkeypatch.setattr(ms.device_context.ascend, "is_available", lambda: True)
    monkeypatch.setattr(ms, "set_device", lambda device: None)
    monkeypatch.setattr(runtime, "bfloat16_works", lambda: True)
    monkeypatch.setattr(runtime, "fused_attention_works", lambda amp_dtype: amp_dtype == "bfloat16")
    settings = RuntimeSettings(amp_dtype="bfloat16", fused_attention=requested)
    assert init_runtime(settings) == Runtime(
        "Ascend", "O2", amp_dtype="bfloat16", fused_attention=fused, flat_weights=True, data_sink=True
    )


def test_measured_flops_is_of_the_fastest_matrix_product(monkeypatch):
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
    assert len(products) == 6, "the first product compiles and is not timed"


@pytest.mark.parametrize("amp_dtype", ["float16", "bfloat16"])
def test_measured_flops_is_in_16_bit_for_mixed_precision(monkeypatch, amp_dtype):
    dtypes = set()

    class Product:
        def __call__(self, left, right):
            dtypes.update((left.dtype, right.dtype))
            return ms.Tensor(np.zeros((1, 1), np.float32))

    monkeypatch.setattr(ms.ops, "MatMul", Product)
    assert measured_flops(Runtime("CPU", "O2", amp_dtype=amp_dtype)) > 0
    assert dtypes == {getattr(ms, amp_dtype)}


def test_measured_flops_of_this_machine_is_plausible():
    assert 1e9 < measured_flops(Runtime("CPU", "O0")) < 1e14


def test_a_peak_speed_of_zero_is_rejected():
    with pytest.raises(ValueError, match=r"runtime.peak_tflops must be above 0, not 0"):
        RuntimeSettings(peak_tflops=0)


@pytest.mark.eager
@pytest.mark.slow
def test_o2_computes_in_float16_and_keeps_float32_weights(rng):
    network = create_model("vit_mini_4_32", num_classes=10, depth=2)
    network.dense.weight.set_data(ms.Tensor(rng.standard_normal(network.dense.weight.shape).astype(np.float32)))
    images = ms.Tensor(rng.standard_normal((2, 3, 32, 32)).astype(np.float32))
    exact = network.set_train(False)(images).asnumpy()
    names = [parameter.name for parameter in network.get_parameters()]

    halved = apply_amp(network, Runtime("CPU", "O2")).set_train(False)
    logits = halved(images)

    assert logits.dtype == ms.float32
    error = np.abs(logits.asnumpy() - exact).max()
    assert 1e-5 < error < 0.05, "only the rounding of float16 differs"
    assert [parameter.name for parameter in halved.get_parameters()] == names
    assert {parameter.dtype for parameter in network.get_parameters()} == {ms.float32}


def test_o0_returns_the_network_unchanged():
    network = create_model("vit_mini_4_32")
    assert apply_amp(network, Runtime("CPU", "O0")) is network


@pytest.mark.parametrize("amp_level", ["O2", "O3"])
@pytest.mark.parametrize("amp_dtype", ["float16", "bfloat16"])
def test_apply_amp_uses_the_16_bit_type_of_the_runtime(amp_level, amp_dtype):
    network = create_model("vit_mini_4_32", depth=2)
    apply_amp(network, Runtime("Ascend", amp_level, amp_dtype=amp_dtype))
    assert network.compute_dtype == getattr(ms, amp_dtype)


@pytest.mark.parametrize(("amp_level", "fused"), [("O2", True), ("O2", False), ("O0", True)])
def test_apply_amp_fuses_all_attention_if_the_runtime_says_so(amp_level, fused):
    network = create_model("vit_mini_4_32", depth=2, pool="map", class_token=False)
    apply_amp(network, Runtime("CPU", amp_level, fused_attention=fused))
    cells = [cell for _, cell in network.cells_and_names() if isinstance(cell, DotProductAttention)]
    assert len(cells) == 3, "two blocks and the pooling"
    assert {cell.is_fused for cell in cells} == {fused and amp_level != "O0"}


class Normed(nn.Cell):
    def __init__(self):
        super().__init__()
        self.norm = LayerNorm(500, 1e-6)

    def construct(self, x):
        return self.norm(x)


def test_o2_computes_layer_norms_in_float32(rng):
    """Outputs of O2 are the nearest float16 numbers except for a few ties; many outputs of O3 are not."""
    x = (300 * rng.standard_normal((8, 500)) + 500).astype(np.float16).astype(np.float64)
    weight, bias = (rng.standard_normal(500).astype(np.float32) for _ in range(2))
    expected = (x - x.mean(1, keepdims=True)) / x.std(1, keepdims=True) * weight + bias
    wrong = {}
    for amp_level in ("O2", "O3"):
        cell = Normed()
        cell.norm.gamma.set_data(ms.Tensor(weight))
        cell.norm.beta.set_data(ms.Tensor(bias))
        found = apply_amp(cell, Runtime("CPU", amp_level))(ms.Tensor(x, ms.float16)).asnumpy()
        wrong[amp_level] = np.mean(found != expected.astype(np.float16))
    assert wrong["O2"] < 0.01 and wrong["O3"] > 0.2, wrong


def test_init_runtime_sets_graph_mode_and_every_seed():
    runtime = init_runtime(RuntimeSettings(), seed=7)
    assert (runtime.device, runtime.amp_level, runtime.rank, runtime.world_size) == ("CPU", "O0", 0, 1)
    assert runtime.is_main
    assert ms.get_context("mode") == ms.GRAPH_MODE
    assert ms.get_seed() == ms.dataset.config.get_seed() == 7


def test_init_runtime_compiles_nothing_in_pynative_mode(monkeypatch):
    monkeypatch.setattr(ms.runtime, "launch_blocking", lambda: calls.append("blocking"))
    calls = []
    init_runtime(RuntimeSettings(mode="pynative"))
    assert ms.get_context("mode") == ms.PYNATIVE_MODE
    assert calls == ["blocking"], "so that an error names its line"


@pytest.mark.parametrize("mode", [ms.GRAPH_MODE, ms.PYNATIVE_MODE])
def test_current_runtime_is_float32_on_the_current_device_and_changes_nothing(mode):
    ms.set_context(mode=mode)
    try:
        assert current_runtime() == Runtime("CPU", "O0", rank=0, world_size=1, fused_attention=False, data_sink=False)
        assert ms.get_context("mode") == mode
        assert ms.get_seed() == ms.dataset.config.get_seed() == 0
    finally:
        ms.set_context(mode=ms.GRAPH_MODE)


def test_a_process_that_has_computed_already_keeps_its_device(monkeypatch):
    def refuse(device):
        raise RuntimeError("The runtime has been initialized")

    monkeypatch.setattr(ms, "set_device", refuse)
    assert init_runtime(RuntimeSettings(device="CPU")).device == "CPU"
    monkeypatch.setattr(ms, "get_context", lambda name: "Ascend")
    with pytest.raises(UserError, match="MindSpore already runs on Ascend in this process"):
        init_runtime(RuntimeSettings(device="CPU"))


@pytest.mark.parametrize(
    ("requested", "device", "work", "flat"),
    [
        (None, "Ascend", True, True),
        (None, "Ascend", False, False),
        (None, "CPU", True, False),
        (True, "CPU", True, True),
        (False, "Ascend", True, False),
    ],
)
def test_flat_weights_are_for_an_ascend_on_which_they_work(requested, device, work, flat):
    assert choose_flat_weights(requested, device, lambda: work) is flat


def test_flat_weights_that_do_not_work_are_refused_if_requested():
    with pytest.raises(UserError, match=r"runtime\.flat_weights true: this device computes wrong results"):
        choose_flat_weights(True, "Ascend", lambda: False)


def test_weights_that_are_parts_of_a_buffer_work_on_a_cpu():
    assert bound_weights_work()


def test_fusion_of_operators_is_for_ascend():
    assert choose_jit_level("O1", "Ascend") == "O1" and choose_jit_level("auto", "CPU") == "O0"
    with pytest.raises(UserError, match=r"runtime\.jit_level O1 is for Ascend, but the device is a CPU"):
        choose_jit_level("O1", "CPU")


def test_memory_that_was_freed_is_returned():
    libc = ctypes.CDLL(None)
    if not hasattr(libc, "malloc_trim"):
        pytest.skip("only glibc keeps what was freed")
    libc.malloc.restype, libc.free.argtypes = ctypes.c_void_p, [ctypes.c_void_p]
    size, count = 4096, 25_000
    blocks = [libc.malloc(size) for _ in range(count)]
    for block in blocks:
        ctypes.memset(block, 1, size)
    for block in blocks[:-1]:  # The last one, above the others, keeps the heap from shrinking.
        libc.free(block)
    before = psutil.Process().memory_info().rss
    return_freed_memory()
    libc.free(blocks[-1])
    assert before - psutil.Process().memory_info().rss > size * count / 2
