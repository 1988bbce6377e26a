"""Changes the texts in a ``.ckpt`` file, as somebody who crafts one would."""

from mindspore.train.checkpoint_pb2 import Checkpoint

_CHECKSUM_BYTES = 17


def read_texts(path):
    """The texts of a checkpoint, by name."""
    return {entry.tag: _text(entry) for entry in _parse(path).value if entry.tensor.tensor_type == "str"}


def without_checksum(path, change):
    """Replaces the texts of a checkpoint by ``change(texts)``. The file has no checksum then."""
    parsed = _parse(path)
    tensors = [entry for entry in parsed.value if entry.tensor.tensor_type != "str"]
    written = Checkpoint(value=tensors)
    for name, text in change(read_texts(path)).items():
        entry = written.value.add(tag=name)
        entry.tensor.tensor_type = "str"
        entry.tensor.dims.append(0)
        content = text if isinstance(text, bytes) else text.encode("utf-32-le", "surrogatepass")
        entry.tensor.tensor_content = content
    path.write_bytes(written.SerializeToString())


def _parse(path):
    data = path.read_bytes()
    return Checkpoint.FromString(data[:-_CHECKSUM_BYTES] if b"crc_num" in data[-_CHECKSUM_BYTES:] else data)


def _text(entry):
    return entry.tensor.tensor_content.decode("utf-32-le", "surrogatepass")
