"""Weights files of other programs that are crafted or damaged."""

import struct
import zipfile

import mindspore as ms
import numpy as np
from safetensors.numpy import save_file

from mindvit.weights.formats.ckpt import write_ckpt
from tests.fuzz.corpus.case import written
from tests.fuzz.targets.weights_files import CALLS_A_PROGRAM
from tests.weights.formats.pickles import entries, tensor, write_zip
from tests.weights.published import SIZES, PublishedFile


def _pickle_in_zip(folder):
    with zipfile.ZipFile(folder / "x.pth", "w") as archive:
        archive.writestr("archive/data.pkl", CALLS_A_PROGRAM)
        archive.writestr("archive/byteorder", b"little")


def _objects_in_npz(folder):
    np.savez(folder / "x.npz", a=np.array([{}, print], object))


def _npz_with_header(header):
    def write(folder):
        packed = b"\x93NUMPY\1\0" + struct.pack("<H", len(header)) + header + bytes(48)
        with zipfile.ZipFile(folder / "x.npz", "w") as archive:
            archive.writestr("a.npy", packed)

    return write


def _index(content, **files):
    def write(folder):
        (folder / "index.json").write_text(content)

    return write


_WEIGHTS_FILES = {
    "pickle that starts a program": ("never executed", written("x.pth", CALLS_A_PROGRAM)),
    "pickle that starts a program, in a zip archive": ("never executed", _pickle_in_zip),
    "objects in npz": ("never loaded", _objects_in_npz),
    "huge storage": (
        "not plausible for weights",
        lambda folder: write_zip(folder / "x.pth", entries(a=tensor(shape=(10**9, 10**9))), {"0": bytes(24)}),
    ),
    "header of npz that does not end": ("corrupt", _npz_with_header(b"{'descr': '<f4', 'shape': (3, 4\n")),
    "header of npz with a program": ("corrupt", _npz_with_header(b"{'descr': __import__('os').system('true')}\n")),
    "huge tensor in npz": ("corrupt|plausible", written("x.npz", b"PK\3\4" + bytes(60))),
    "empty archive": ("unknown format", written("x.npz", b"PK\5\6" + bytes(18))),
    "index of other folders": ("not a file in the same folder", _index('{"weight_map": {"a": "../x.safetensors"}}')),
    "index nested too deeply": ("not a complete index", _index('{"weight_map":' * 50_000)),
    "safetensors with a header of 2 to the 60 bytes": (
        "corrupt|unknown format",
        written("x.safetensors", struct.pack("<Q", 2**60) + b"{}"),
    ),
    "truncated ckpt": (
        "corrupt",
        lambda folder: (write_ckpt(folder / "x.ckpt", {"a": ms.Tensor([1.0, 2.0])}, {}), _cut(folder / "x.ckpt")),
    ),
}


def _cut(path):
    path.write_bytes(path.read_bytes()[:-20])


def _of_timm(**changes):
    def write(folder):
        weights = PublishedFile("timm").weights("vit")
        weights.update(changes)
        save_file(
            {name: np.ascontiguousarray(array) for name, array in weights.items()}, folder / "weights.safetensors"
        )

    return write


_NORM = np.ones(SIZES["embed_dim"], np.float32)
_LAYOUTS = {
    "NaN": (r"NaN or infinity in 1 of .* tensors: norm.weight \(24 of 24", _of_timm(**{"norm.weight": _NORM * np.nan})),
    "infinity": ("NaN or infinity in 1 of", _of_timm(**{"norm.bias": _NORM * np.inf})),
    "block 99999999999": ("weights", _of_timm(**{"blocks.99999999999.norm1.weight": _NORM})),
    "other shape": ("norm.gamma has shape", _of_timm(**{"norm.weight": _NORM[:-1]})),
}

TABLES = {
    "weights_files": _WEIGHTS_FILES,
    "layouts": _LAYOUTS,
}
