"""Training checkpoints: files that hold all that a run needs to resume."""

import json
import re
from pathlib import Path

import numpy as np
from mindspore import Parameter, Tensor, nn

from mindvit.run_metrics import EpochMetrics, WeightsKind
from mindvit.training.run_state import RunState
from mindvit.training.step import TrainStep
from mindvit.weights.checkpoint import TRAIN_STATE_KEY
from mindvit.weights.formats.ckpt import write_ckpt

FORMAT = 2
RECIPE_KEY = "mindvit.recipe"
# Lists with one number per step are stored as tensors: a long epoch has many steps.
LISTS = ("losses", "norms")
# Parameters that a step overwrites before it reads them, that never change, or that are stored as full tensors.
_NOT_STORED = ("accumulated.", "teacher.", "stop.", "shard.", "optimizer.")


def checkpoint_name(state: RunState, epoch: EpochMetrics | None) -> str:
    """The file name of a training checkpoint: epoch, step, and the loss and Top-1 if they are known."""
    name = f"epoch{state.epoch:04d}-step{state.step:08d}"
    if epoch is not None:
        name += f"-loss{epoch.train_loss:.4f}"
        if WeightsKind.RAW in epoch.evaluations:
            name += f"-top1_{epoch.evaluations[WeightsKind.RAW].top1:.2f}"
    return f"{name}.ckpt"


def list_train_checkpoints(folder: Path) -> list[Path]:
    """The training checkpoints in a folder, oldest first."""
    return sorted((path for path in folder.glob("*.ckpt") if step_of(path) >= 0), key=step_of)


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
    return {**stored_parameters(step, averages), **step.optimizer.full_state()}


def stored_parameters(step: TrainStep, averages: list[nn.Cell]) -> dict[str, Parameter]:
    """The parameters that a training checkpoint holds, apart from the optimizer states, by name."""
    found = {parameter.name: parameter for cell in (step, *averages) for parameter in cell.get_parameters()}
    return {name: parameter for name, parameter in found.items() if not name.startswith(_NOT_STORED)}


def write_train_checkpoint(path: Path, tensors: dict[str, Parameter | Tensor], state: RunState, settings: dict) -> None:
    """Writes a training checkpoint atomically.

    Args:
        path: the file.
        tensors: what ``train_state_tensors`` returned.
        state: progress of the run.
        settings: all settings of the run.

    Raises:
        UserError: if the file cannot be written.
    """
    tensors, stored = dict(tensors), state.to_json()
    for name in LISTS:
        tensors[f"run.{name}"] = Tensor(np.array([len(stored[name]), *stored.pop(name)], np.float64))
    write_ckpt(
        path, tensors, {TRAIN_STATE_KEY: json.dumps({"format": FORMAT, **stored}), RECIPE_KEY: json.dumps(settings)}
    )
