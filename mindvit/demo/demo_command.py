"""The command demo: serves a page that classifies images."""

import ipaddress
import os
import socket
import tempfile
import threading
import warnings
from dataclasses import dataclass, field
from pathlib import Path

from mindvit.demo.example_images import find_examples
from mindvit.demo.image_classifier import ImageClassifier
from mindvit.errors import UserError
from mindvit.printable import printable
from mindvit.runtime import RuntimeSettings
from mindvit.weights.metadata import CheckpointMetadata

_GRADIO = "gradio>=6,<7"
"""As in requirements/demo.txt, which an installed package does not have."""
_LOOPBACK_NAMES = ("localhost",)


@dataclass(frozen=True)
class DemoSettings:
    """A page that classifies images."""

    ckpt: str
    """Checkpoint: a path, or the name of a file in ckpt/."""
    host: str = "127.0.0.1"
    """Address to listen on. 127.0.0.1 serves this machine alone; 0.0.0.0 serves everyone who reaches it."""
    port: int = 7860
    """Port to listen on. 0 takes a free one."""
    examples: str | None = None
    """Folder of example images. null takes images of the data the checkpoint was trained on, if they are here."""
    top_k: int = 5
    """Number of classes to show."""
    max_upload_mb: float = 20.0
    """Greatest size of an uploaded file, in MB (2^20 bytes)."""
    runtime: RuntimeSettings = field(default_factory=RuntimeSettings)
    download: bool = False
    """Download published weights that are missing."""

    def __post_init__(self) -> None:
        if not 0 <= self.port <= 65535:
            raise ValueError(f"port must lie between 0 and 65535, not {self.port}")
        if self.top_k < 1:
            raise ValueError(f"top_k must be at least 1, not {self.top_k}")
        if not 0 < self.max_upload_mb <= 10_000:
            raise ValueError(f"max_upload_mb must be above 0 and at most 10,000, not {self.max_upload_mb}")


def demo(settings: DemoSettings) -> None:
    """Serves the page until the process is stopped. The network is compiled before the address is printed.

    Raises:
        UserError: if Gradio is not installed, the port is taken, or for a mistake in the settings or the checkpoint.
    """
    with tempfile.TemporaryDirectory(prefix="mindvit-demo-") as uploads:
        gradio_page = _import_page(uploads)
        port = free_port(settings.host, settings.port)
        if not is_loopback(settings.host):
            warnings.warn(
                f"the page has no password: everyone who reaches {settings.host}:{port} can use it", stacklevel=2
            )
        print(f"loading {printable(settings.ckpt)} and compiling the network", flush=True)
        classifier = ImageClassifier(settings.ckpt, settings.runtime, settings.top_k, settings.download)
        examples = find_examples(settings.examples, classifier.metadata)
        name = printable(Path(settings.ckpt).name)
        page = gradio_page.make_page(classifier, name, describe(classifier.metadata), examples)
        try:
            address = gradio_page.serve(page, settings.host, port, settings.max_upload_mb)
            print(f"the page is at {address} (Ctrl-C stops it)", flush=True)
            threading.Event().wait()
        finally:
            page.close(verbose=False)
            classifier.close()


def describe(metadata: CheckpointMetadata) -> str:
    """A checkpoint in one line, such as "vit_b_16_224, 1000 classes, Top-1 81.2 %"."""
    parts = [metadata.model_name, f"{metadata.model.num_classes:,} classes"]
    if "top1" in metadata.metrics:
        parts.append(f"Top-1 {metadata.metrics['top1']:.1f} %")
    return ", ".join(parts)


def free_port(host: str, port: int) -> int:
    """The port, or a free one for 0, after a test that one can listen on it.

    Raises:
        UserError: if one cannot, because another program has it, or because the host is not of this machine.
    """
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        with socket.socket(family, kind, protocol) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
            return probe.getsockname()[1]
    except (OSError, UnicodeError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise UserError(
            f"cannot listen on {printable(host)}:{port}: {reason}; choose another --port, or --host 127.0.0.1"
        ) from error


def is_loopback(host: str) -> bool:
    """Whether an address is reached from this machine alone."""
    if host in _LOOPBACK_NAMES:
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _import_page(uploads: str):
    """Imports the module of the page, and with it Gradio, which reads its settings from the environment."""
    os.environ["GRADIO_TEMP_DIR"] = uploads
    os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
    os.environ["HF_HUB_DISABLE_TELEMETRY"] = "1"
    # Gradio asks its own server whether it runs; a proxy would not reach it.
    local = "localhost,127.0.0.1,::1"
    for name in ("no_proxy", "NO_PROXY"):
        os.environ[name] = ",".join(filter(None, (os.environ.get(name), local)))
    try:
        from mindvit.demo import gradio_page
    except ImportError as error:
        raise UserError(
            f"the page needs the package gradio, which cannot be imported ({error}); install it: "
            f"pip install {_GRADIO!r}"
        ) from error
    return gradio_page
