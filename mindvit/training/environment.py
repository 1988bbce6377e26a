"""What a run was trained with: versions of the software, and the hardware."""

import os
import platform
from dataclasses import dataclass

import mindspore
import numpy
import psutil

import mindvit
from mindvit.processor import processor_name
from mindvit.runtime import Runtime


@dataclass(frozen=True)
class Environment:
    """The content of ``environment.json``. Nothing in it identifies a user or a machine."""

    mindvit: str
    """Version."""
    mindspore: str
    """Version."""
    numpy: str
    """Version."""
    python: str
    """Version."""
    system: str
    """Operating system and architecture."""
    processor: str
    """Model of the processor, or its architecture if the system does not tell."""
    cores: int
    """Logical cores of the node of rank 0."""
    memory_gb: float
    """Memory of that node in GB of 2^30 bytes."""
    device: str
    """Device of the ranks: CPU, Ascend or GPU."""
    amp_level: str
    """Level of mixed precision."""
    ranks: int
    """Number of ranks."""


def describe_environment(runtime: Runtime) -> Environment:
    """The environment of this process.

    Args:
        runtime: device and precision of the run.
    """
    return Environment(
        mindvit=mindvit.__version__,
        mindspore=mindspore.__version__,
        numpy=numpy.__version__,
        python=platform.python_version(),
        system=f"{platform.system()} {platform.release()} {platform.machine()}",
        processor=processor_name(),
        cores=os.cpu_count() or 1,
        memory_gb=round(psutil.virtual_memory().total / 2**30, 1),
        device=runtime.device,
        amp_level=runtime.amp_level,
        ranks=runtime.world_size,
    )
