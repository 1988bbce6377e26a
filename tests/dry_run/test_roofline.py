import pytest

from mindvit.dry_run.roofline import DeviceModel, estimate

DEVICE = DeviceModel(launch_us=5, hbm_gb_per_s=1000, fp16_tflops=100)


def test_each_kernel_takes_its_launch_and_the_longer_of_memory_and_compute():
    # 1 GB takes 1 ms of memory; 200 GFLOP take 2 ms of compute; each launch takes 0.005 ms.
    found = estimate([(10**9, 0), (10**9, 200 * 10**9), (0, 0)], DEVICE)
    assert found.step_ms == pytest.approx(1 + 2 + 3 * 0.005)
    assert (found.launch_ms, found.memory_ms, found.compute_ms) == pytest.approx((0.015, 2, 2))


def test_fewer_launches_with_the_same_bytes_are_faster():
    assert estimate([(2 * 10**6, 0)], DEVICE).step_ms < estimate([(10**6, 0)] * 2, DEVICE).step_ms


@pytest.mark.parametrize("name", ["launch_us", "hbm_gb_per_s", "fp16_tflops"])
def test_a_device_needs_positive_speeds(name):
    with pytest.raises(ValueError, match=f"device_model.{name} must be above 0, not 0"):
        DeviceModel(**{name: 0.0})
