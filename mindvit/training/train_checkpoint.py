"""Training checkpoints: files that hold all that a run needs to resume."""

import os
import re
from dataclasses import asdict
from pathlib import Path

import numpy as np
from mindspore import Parameter, Tensor, nn

from mindvit.data.fingerprint import DataFingerprint
from mindvit.files import FileError, os_error_message
from mindvit.ops.weight import HANDLE_PREFIX
from mindvit.run_metrics import EpochMetrics, WeightsKind
from mindvit.strict_json import dump_json
from mindvit.training.flat_weights import BUFFER_PREFIX
from mindvit.training.run_state import RunState
from mindvit.training.step import TrainStep
from mindvit.weights.checkpoint import TRAIN_STATE_KEY
from mindvit.weights.formats.ckpt import write_ckpt

FORMAT = 3
"""Format 2 had no fingerprint of the data."""
RECIPE_KEY = "mindvit.recipe"
DATA_KEY = "mindvit.data"
# Lists with one number per step are stored as tensors: a long epoch has many steps.
LISTS = ("losses", "norms")
# Parameters that a step overwrites before it reads them, that never change, or that are stored as full tensors.
_NOT_STORED = ("accumulated.", "teacher.", "stop.", "shard.", "optimizer.", BUFFER_PREFIX, HANDLE_PREFIX)


def checkpoint_name(state: RunState, epoch: EpochMetrics | None) -> str:
    """The file name of a training checkpoint: epoch, step, and the loss and Top-1 if they are known."""
    name = f"epoch{state.epoch:04d}-step{state.step:08d}"
    if epoch is not None:
        name += f"-loss{epoch.train_loss:.4f}"
        if WeightsKind.RAW in epoch.evaluations:
            name += f"-top1_{epoch.evaluations[WeightsKind.RAW].top1:.2f}"
    return f"{name}.ckpt"


def list_train_checkpoints(folder: Path) -> list[Path]:
    """The training checkpoints in a folder, oldest first; none if the folder does not exist.

    Raises:
        UserError: if the folder cannot be read. It may hold training checkpoints then.
    """
    try:
        with os.scandir(folder) as entries:
            paths = [folder / entry.name for entry in entries]
    except FileNotFoundError:
        return []
    except OSError as error:
        raise FileError(
            f"{os_error_message(error, 'read', folder)}. It may hold training checkpoints: "
            "make it readable, or choose another folder with --output_dir"
        ) from error
    return sorted((path for path in paths if step_of(path) >= 0), key=step_of)


def step_of(path: Path) -> int:
    """The step in the file name of a training checkpoint; -1 for other names."""
    match = re.fullmatch(r"epoch\d+-step(\d+).*\.ckpt", path.name)
    return int(match[1]) if match else -1


def train_state_tensors(step: TrainStep, averages: list[nn.Cell]) -> dict[str, Parameter | Tensor]:
    """The tensors of a training checkpoint by name: weights, optimizer states, loss scale and averages.

    All ranks call it together, because sharded optimizer states are gathered. A training checkpoint does not depend on
    how the states were sharded.

    Args:
        step: the ``TrainStep``.
        averages: the averages of the weights.
    """
    for cell in (step, *averages):
        cell.publish()
    return {**stored_parameters(step, averages), **step.optimizer.full_state()}


def stored_parameters(step: TrainStep, averages: list[nn.Cell]) -> dict[str, Parameter]:
    """The parameters that a training checkpoint holds, apart from the optimizer states, by name."""
    found = {parameter.name: parameter for cell in (step, *averages) for parameter in cell.get_parameters()}
    return {name: parameter for name, parameter in found.items() if not name.startswith(_NOT_STORED)}


def write_train_checkpoint(
    path: Path, tensors: dict[str, Parameter | Tensor], state: RunState, settings: dict, data: DataFingerprint
) -> None:
    """Writes a training checkpoint atomically.

    Args:
        path: the file.
        tensors: what ``train_state_tensors`` returned.
        state: progress of the run.
        settings: all settings of the run.
        data: fingerprint of the data of the run.

    Raises:
        UserError: if the file cannot be written.
    """
    tensors, stored = dict(tensors), state.to_json()
    for name in LISTS:
        tensors[f"run.{name}"] = Tensor(np.array([len(stored[name]), *stored.pop(name)], np.float64))
    texts = {TRAIN_STATE_KEY: {"format": FORMAT, **stored}, RECIPE_KEY: settings, DATA_KEY: asdict(data)}
    write_ckpt(path, tensors, {name: dump_json(content) for name, content in texts.items()})
