from collections import Counter

from mindvit.dry_run.compile_log import GRAPH_ENDS, GRAPH_STARTS, JOB_STARTS, read_jobs
from tests.dry_run.mindspore_texts import fallback, kernel


def test_kernels_and_views_are_told_apart():
    lines = [
        kernel("MatMul", "opapi_kernel"),
        kernel("Reshape", "rt_kernel"),
        kernel("Assign", "acl_kernel"),
        kernel("GraphKernel_Add_fusion", "akg_kernel"),
        kernel("SliceExtView", "host_kernel"),
        kernel("AllReduce", "hccl_kernel"),
        kernel("Reshape", "rt_kernel"),
    ]
    (log,) = read_jobs(lines)
    assert [name for name, _ in log.launched()] == ["MatMul", "Assign", "GraphKernel_Add_fusion", "AllReduce"]
    assert log.views() == Counter(Reshape=2, SliceExtView=1)
    assert log.cpu_fallbacks == []


def test_each_job_has_its_own_kernels():
    jobs = [f"{JOB_STARTS} 0\n", kernel("Add", "opapi_kernel"), f"{JOB_STARTS} 1\n", kernel("Mul", "opapi_kernel")]
    first, second = read_jobs(["[WARNING] before the first job\n", *jobs])
    assert [first.kernels, second.kernels] == [[("Add", "opapi_kernel")], [("Mul", "opapi_kernel")]]


def test_what_is_computed_to_build_a_network_is_no_kernel_of_its_step():
    built = [f"{JOB_STARTS} 0\n", kernel("Ones", "opapi_kernel"), fallback("Default/Old-op0")]
    (log,) = read_jobs([*built, f"{GRAPH_STARTS}\n", kernel("Add", "opapi_kernel")])
    assert log.kernels == [("Add", "opapi_kernel")]
    assert log.cpu_fallbacks == []


def test_what_is_compiled_to_measure_memory_is_no_kernel_of_the_step():
    measured = [f"{GRAPH_ENDS}\n", kernel("Assign", "opapi_kernel"), fallback("Default/Assign-op0")]
    logs = read_jobs([f"{JOB_STARTS} 0\n", kernel("Add", "opapi_kernel"), *measured, f"{JOB_STARTS} 1\n"])
    assert logs[0].kernels == [("Add", "opapi_kernel")]
    assert logs[0].cpu_fallbacks == []
    assert not logs[1].is_complete


def test_an_operator_without_an_ascend_kernel_is_a_fallback():
    (log,) = read_jobs([fallback("Default/network-ViT/Cholesky-op0")])
    assert log.cpu_fallbacks == ["Default/network-ViT/Cholesky-op0"]


def test_notes_are_passed_on():
    (log,) = read_jobs(["note: the teacher is not loaded\n"])
    assert log.notes == ["the teacher is not loaded"]


def test_only_the_last_lines_of_a_long_log_are_kept():
    (log,) = read_jobs(f"[ERROR] line {index}\n" for index in range(10_000))
    assert len(log.last_lines) <= 20
    assert log.last_lines[-1] == "[ERROR] line 9999"
