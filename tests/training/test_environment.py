from dataclasses import asdict

import mindspore

from mindvit.runtime import Runtime
from mindvit.training.environment import describe_environment


def test_versions_and_hardware_are_described():
    found = describe_environment(Runtime("CPU", "O0", 0, 4))
    assert (found.device, found.amp_level, found.ranks, found.mindspore) == ("CPU", "O0", 4, mindspore.__version__)
    assert found.cores >= 1 and found.memory_gb > 0.1
    assert all(isinstance(value, str | int | float) and value for value in asdict(found).values())
