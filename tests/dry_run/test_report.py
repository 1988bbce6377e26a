import pytest

from mindvit.dry_run.compile_jobs import Compilation, CompileJob
from mindvit.dry_run.compile_log import CompileLog
from mindvit.dry_run.kernel_graph import KernelNode, TensorSpec
from mindvit.dry_run.report import make_report, table
from mindvit.dry_run.roofline import DeviceModel

FACTS = {
    "model": "vit_b_16_224",
    "parameters": 10,
    "image_size": [224, 224],
    "batch_size": 4,
    "jit_level": "O0",
    "amp_level": "O2",
    "amp_dtype": "float16",
    "fused_attention": True,
    "peak_memory_bytes": 4001 * 2**20 - 1,
    "seconds": 12.3,
}


def node(name, shape):
    return KernelNode(name, (TensorSpec("Float32", shape),), (TensorSpec("Float32", shape),), f"Default/{name}-op0")


KERNELS = [
    ("Cast", "opapi_kernel"),
    ("Reshape", "rt_kernel"),
    ("Cast", "acl_kernel"),
    ("GraphKernel_Add", "akg_kernel"),
    ("AllReduce", "hccl_kernel"),
]
NODES = [
    node("Cast", (2,)),
    node("Reshape", (100,)),
    node("Cast", (3,)),
    node("GraphKernel_Add", (5,)),
    node("AllReduce", (1000,)),
]


@pytest.fixture
def make():
    def report(nodes=NODES, memory_gb=64.0, **log):
        found = Compilation(CompileLog(list(KERNELS), **log), nodes, dict(FACTS))
        return make_report(CompileJob(""), 8, DeviceModel(), memory_gb, found)

    return report


def test_kernels_are_counted_by_type_and_name_without_views(make):
    report = make()
    assert report.kernels == 4
    assert report.kernels_by_type == {"HCCL": 1, "aclnn": 1, "aclop": 1, "fused": 1}
    assert report.kernels_by_name == {"Cast": 2, "AllReduce": 1, "GraphKernel_Add": 1}
    assert (report.views, report.views_by_name) == (1, {"Reshape": 1})


def test_each_kernel_has_the_bytes_of_its_own_node(make):
    rows = make().kernel_list
    assert [(row.name, row.type, row.bytes) for row in rows] == [
        ("Cast", "aclnn", 16),
        ("Cast", "aclop", 24),
        ("GraphKernel_Add", "fused", 40),
        ("AllReduce", "HCCL", 8000),
    ]
    assert rows[0].node == "Default/Cast-op0"


def test_sums_leave_out_views(make):
    report = make()
    assert report.bytes == 16 + 24 + 40 + 8000
    assert report.bytes_by_name == {"AllReduce": 8000, "Cast": 40, "GraphKernel_Add": 40}
    assert (report.collectives, report.collective_mb) == ({"AllReduce": 1}, 0.004)
    assert report.estimate.launch_ms == pytest.approx(4 * 0.005)


def test_a_kernel_whose_shapes_are_not_shown_is_counted_and_noted(make):
    report = make(nodes=NODES[:3])
    assert (report.kernels, report.kernels_without_shapes, report.bytes) == (4, 2, 40)
    assert report.notes == ["the shapes of 2 of 4 kernels are not known"]


def test_memory_is_rounded_up_and_compared_with_the_device(make):
    assert make().peak_memory_mb == 4001
    assert make(memory_gb=4001 / 1024).fits
    assert not make(memory_gb=4000 / 1024).fits


def test_the_table_tells_what_matters_and_calls_the_time_not_measured(make):
    text = table(make(cpu_fallbacks=["Default/network-ViT/Cholesky-op0"]))
    for words in (
        "training step of vit_b_16_224, 224x224 px, 4 images, 8 ranks",
        "4 (1 HCCL, 1 aclnn, 1 aclop, 1 fused)",
        "1 on the CPU: Default/network-ViT/Cholesky-op0",
        "4,001 MB at the peak; fits into 64 GB",
        "estimate",
        "(not measured)",
    ):
        assert words in text
