"""Makes torch_files/: small files written by torch.save, and their values in expected.npz.

The script needs PyTorch, which mindvit does not depend on. Run it from the folder of the project, in a separate
environment:
    python -m tests.references.make_torch_files
The committed files were made by PyTorch 2.13.0 (CPU) and NumPy 1.26.4 with Python 3.11 on x86-64.

    kinds.pth      zip archive with a tensor of each data type, named after it; also a scalar and an empty tensor
    legacy.pth     the same in the format before PyTorch 1.6, without the unsigned types that it does not support
    views.pth      tensors that share storages: transposed, strided, sliced, repeated, tied
    views_legacy.pth
    protocol4.pth  views.pth with pickle protocol 4
    nested.pth     a training checkpoint: model, optimizer, epoch, accuracies of NumPy and PyTorch, a schedule
    nested_legacy.pth
    parallel.pth   the state dict of a wrapped model, with parameters instead of tensors
    several.pth    two models under unknown keys
    settings.pth   weights and an argparse.Namespace
    model.pth      a pickled model
    float8.pth     a data type that NumPy does not have
"""

import argparse
from collections import Counter, OrderedDict
from pathlib import Path

import numpy as np
import torch
from torch import nn

TARGET = Path(__file__).with_name("torch_files")
UNSIGNED = ("uint16", "uint32", "uint64")


def kinds():
    values = torch.tensor([[0.0, 1.0, 2.5], [3.0, 100.0, 1.0 / 3]])
    floats = {name: values.to(getattr(torch, name)) for name in ("float32", "float64", "float16", "bfloat16")}
    integers = ("uint8", "int8", "int16", "int32", "int64", "bool", *UNSIGNED)
    return (
        floats
        | {name: values.to(getattr(torch, name)) for name in integers}
        | {
            "negative": -values.to(torch.bfloat16),
            "scalar": torch.tensor(7.25),
            "bfloat16_scalar": torch.tensor(7.25, dtype=torch.bfloat16),
            "empty": torch.zeros(0, 3),
        }
    )


def views():
    base = torch.arange(24, dtype=torch.float32).reshape(4, 6)
    return {
        "base": base,
        "transposed": base.t(),
        "strided": base[1::2, ::3],
        "row": base[2],
        "last": base[3, 5],
        "repeated": base[:, :1].expand(4, 5),
        "tied": base,
        "permuted": torch.arange(24, dtype=torch.int64).reshape(2, 3, 4).permute(2, 0, 1),
        "bfloat16": torch.arange(6).to(torch.bfloat16).reshape(2, 3).t(),
    }


def training_checkpoint(model):
    optimizer = torch.optim.AdamW(model.parameters())
    model(torch.ones(1, 3)).sum().backward()
    optimizer.step()
    return {
        "model": OrderedDict(model.state_dict()),
        "model_ema": {name: 2 * value for name, value in model.state_dict().items()},
        "optimizer": optimizer.state_dict(),
        "epoch": 3,
        "best": torch.tensor(75.5),
        "accuracies": [np.float64(0.5), 0.25, None, True],
        "schedule": Counter([30, 60]),
        "device": torch.device("cpu"),
        "size": torch.Size([1, 2]),
        "kind": torch.float32,
        "names": {"cat", "dog"},
    }


def numpy_of(tensors):
    """Converts tensors to NumPy; floating point as float32, by PyTorch."""
    return {name: (t.float() if t.is_floating_point() else t).detach().numpy().copy() for name, t in tensors.items()}


def main():
    TARGET.mkdir(exist_ok=True)
    torch.manual_seed(0)
    old = {"_use_new_zipfile_serialization": False}
    model = nn.Linear(3, 2)
    checkpoint = training_checkpoint(model)
    legacy = {name: value for name, value in kinds().items() if name not in UNSIGNED}
    parallel = OrderedDict((f"module.{name}", parameter) for name, parameter in model.named_parameters())
    contents = {
        "kinds": (kinds(), {}),
        "legacy": (legacy, old),
        "views": (views(), {}),
        "views_legacy": (views(), old),
        "protocol4": (views(), {"pickle_protocol": 4}),
        "nested": (checkpoint, {}),
        "nested_legacy": (checkpoint, old),
        "parallel": (parallel, {}),
        "several": ({"encoder": model.state_dict(), "decoder": model.state_dict()}, {}),
        "settings": ({"model": model.state_dict(), "args": argparse.Namespace(lr=0.1)}, {}),
        "model": (model, {}),
        "float8": ({"weight": torch.ones(2).to(torch.float8_e4m3fn)}, {}),
    }
    for name, (content, how) in contents.items():
        torch.save(content, TARGET / f"{name}.pth", **how)
    weights = {"weight": model.weight, "bias": model.bias}
    expected = {"kinds": kinds(), "views": views(), "weights": weights}
    arrays = {f"{group}/{name}": a for group, tensors in expected.items() for name, a in numpy_of(tensors).items()}
    np.savez_compressed(TARGET / "expected.npz", **arrays)
    print(sum(path.stat().st_size for path in TARGET.iterdir()), "bytes")


if __name__ == "__main__":
    main()
