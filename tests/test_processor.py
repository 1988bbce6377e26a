"""Two processors with different instructions have different identities, in the formats of x86-64 and aarch64."""

import platform

import pytest

from mindvit import processor

X86 = """processor\t: 0
model name\t: Intel(R) Xeon(R) Processor
cpu MHz\t\t: 2800.1
flags\t\t: fpu sse2 avx2
vmx flags\t: vnmi

processor\t: 1
model name\t: Intel(R) Xeon(R) Processor
cpu MHz\t\t: 1200.7
flags\t\t: fpu sse2 avx2
"""
ARM = "processor\t: 0\nBogoMIPS\t: 50.00\nFeatures\t: fp asimd\nCPU implementer\t: 0x41\nCPU part\t: 0xd0c\n"


@pytest.fixture
def describe(monkeypatch, tmp_path):
    """Sets what the system says about the processor, and returns its name and identity."""

    def describe(text):
        path = tmp_path / "cpuinfo"
        path.write_text(text)
        monkeypatch.setattr(processor, "_CPUINFO", path)
        return processor.processor_name(), processor.processor_identity.__wrapped__()

    return describe


def test_the_name_is_the_model_of_the_processor(describe):
    assert describe(X86)[0] == "Intel(R) Xeon(R) Processor"


def test_without_a_model_the_name_is_the_architecture(describe, monkeypatch):
    monkeypatch.setattr(platform, "processor", lambda: "")
    monkeypatch.setattr(platform, "machine", lambda: "aarch64")
    assert describe(ARM)[0] == "aarch64"
    assert describe("")[0] == "aarch64"


@pytest.mark.parametrize(
    ("text", "one", "other"),
    [
        (X86, "sse2 avx2", "sse2"),
        (X86, "Xeon", "Core"),
        (ARM, "asimd", "sve"),
        (ARM, "0xd0c", "0xd40"),
        (ARM, "41", "48"),
    ],
)
def test_the_identity_changes_with_model_and_instructions(describe, text, one, other):
    assert describe(text)[1] != describe(text.replace(one, other))[1]


def test_the_identity_changes_with_the_instructions_of_any_core(describe):
    assert describe(X86)[1] != describe(X86.replace("avx2", "avx", 1))[1]


@pytest.mark.parametrize(("text", "one", "other"), [(X86, "2800.1", "900.3"), (ARM, "50.00", "48.00")])
def test_the_identity_does_not_change_with_the_speed_of_the_moment(describe, text, one, other):
    assert describe(text)[1] == describe(text.replace(one, other))[1]
