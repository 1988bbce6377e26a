import os
import re
import socket
import sys

import pytest

import mindvit.demo
from mindvit.demo import demo_command
from mindvit.demo.demo_command import DemoSettings, demo, describe, free_port, is_loopback
from mindvit.errors import UserError
from mindvit.models import ViTConfig
from mindvit.weights.metadata import CheckpointMetadata
from tests.conftest import ROOT


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"port": 65536}, "port must lie between 0 and 65535"),
        ({"port": -1}, "port must lie between 0 and 65535"),
        ({"top_k": 0}, "top_k must be at least 1"),
        ({"max_upload_mb": 0}, "max_upload_mb must be above 0"),
        ({"max_upload_mb": float("inf")}, "max_upload_mb must be above 0"),
    ],
)
def test_settings_out_of_range_are_refused(settings, words):
    with pytest.raises(ValueError, match=words):
        DemoSettings("a.ckpt", **settings)


def test_the_page_is_served_to_this_machine_alone_by_default():
    assert is_loopback(DemoSettings("a.ckpt").host)


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        *[(host, True) for host in ("127.0.0.1", "127.3.4.5", "::1", "localhost")],
        *[(host, False) for host in ("0.0.0.0", "::", "192.168.0.1", "example.org")],
    ],
)
def test_which_addresses_are_those_of_this_machine_alone(host, expected):
    assert is_loopback(host) is expected


def test_a_port_that_is_taken_or_a_host_of_another_machine_is_one_sentence():
    words = r"cannot listen on 127.0.0.1:\d+: Address already in use; choose another --port"
    with socket.create_server(("127.0.0.1", 0)) as taken, pytest.raises(UserError, match=words):
        free_port("127.0.0.1", taken.getsockname()[1])
    assert free_port("127.0.0.1", 0) > 0
    for host in ("203.0.113.1", "no such host", "x" * 300):
        with pytest.raises(UserError, match="cannot listen on"):
            free_port(host, 0)


def test_without_gradio_the_command_says_how_to_install_it(monkeypatch):
    monkeypatch.delitem(sys.modules, "mindvit.demo.gradio_page", raising=False)
    monkeypatch.delattr(mindvit.demo, "gradio_page", raising=False)
    monkeypatch.setitem(sys.modules, "gradio", None)
    monkeypatch.setattr(os, "environ", dict(os.environ))
    required = (ROOT / "requirements/demo.txt").read_text().split("\n")[1]
    with pytest.raises(UserError, match=re.escape(f"install it: pip install '{required}'")):
        demo(DemoSettings("a.ckpt"))


def test_a_page_for_other_machines_is_noted_before_the_network_is_loaded(monkeypatch):
    def load(*arguments):
        raise UserError("stop here")

    monkeypatch.setattr(demo_command, "ImageClassifier", load)
    monkeypatch.setattr(demo_command, "_import_page", lambda uploads: None)
    note = pytest.warns(UserWarning, match=r"no password: everyone who reaches 0.0.0.0:\d+ can use it")
    with note, pytest.raises(UserError, match="stop here"):
        demo(DemoSettings("a.ckpt", host="0.0.0.0", port=0))


def test_a_checkpoint_in_one_line():
    config = ViTConfig(num_classes=1000)
    assert describe(CheckpointMetadata("vit_b_16_224", config)) == "vit_b_16_224, 1,000 classes"
    known = CheckpointMetadata("vit_b_16_224", config, metrics={"top1": 81.234})
    assert describe(known) == "vit_b_16_224, 1,000 classes, Top-1 81.2 %"
