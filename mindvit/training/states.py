"""The states of a run that it can go on from."""

import json
import re
import sys
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from mindspore import Parameter, Tensor, nn

from mindvit.errors import UserError
from mindvit.nested import dotted
from mindvit.training.ranking import key_of
from mindvit.training.run_state import RunState
from mindvit.training.step import TrainStep
from mindvit.weights.checkpoint import STATE_KEY, read_tensors, write_tensors
from mindvit.workers import share, share_arrays

_FORMAT = 1
_RECIPE_KEY = "mindvit.recipe"
# Lists of one number a step travel as tensors: a long epoch has many steps.
_LISTS = ("losses", "norms")
_PASSING = ("accumulated.", "teacher.", "stop.", "piece.")

# Settings that say where and how a run is watched, not what it computes.
_FREE = (
    *("output_dir", "overwrite", "download", "resume", "allow_changes"),
    *("train.log_steps", "train.tensorboard", "data.num_workers", "runtime.peak_tflops"),
    *("optimizer.shard_states", "train.recompute", "runtime.data_sink"),
    *("checkpoint.keep_last", "checkpoint.keep_best", "checkpoint.every_steps"),
)


@dataclass(frozen=True)
class Saved:
    """A state that was read."""

    path: Path
    tensors: dict[str, Tensor]
    state: RunState
    recipe: dict
    """All settings of the run that wrote it."""


def state_name(state: RunState, record: dict | None) -> str:
    """The file name of a state: epoch, step, and where known loss and Top-1."""
    name = f"epoch{state.epoch:04d}-step{state.step:08d}"
    if record:
        name += f"-loss{record['train_loss']:.4f}"
        if key_of("", "top1") in record:
            name += f"-top1_{record['top1']:.2f}"
    return f"{name}.ckpt"


def state_tensors(step: TrainStep, averages: list[nn.Cell]) -> dict[str, Parameter | Tensor]:
    """The tensors that going on needs, by name: weights, the optimizer's state, the loss scale and the averages.

    Where the optimizer's state is divided over the workers, all of them call it together, and it is put together. So a
    state does not tell how it was divided.

    Args:
        step: the ``TrainStep``.
        averages: the averages of the weights.
    """
    divided = step.optimizer.divided
    return {
        name: divided[name].together() if name in divided else parameter
        for name, parameter in _parameters(step, averages).items()
    }


def write_state(path: Path, tensors: dict[str, Parameter | Tensor], state: RunState, recipe: dict) -> None:
    """Writes all that going on needs into one file, whole or not at all.

    Args:
        path: the file.
        tensors: what ``state_tensors`` gave.
        state: where the run stands.
        recipe: all settings of the run.

    Raises:
        UserError: if the file cannot be written.
    """
    tensors, kept = dict(tensors), asdict(state)
    for name in _LISTS:
        tensors[f"run.{name}"] = Tensor(np.array([len(kept[name]), *kept.pop(name)], np.float64))
    texts = {STATE_KEY: json.dumps({"format": _FORMAT, **kept}), _RECIPE_KEY: json.dumps(recipe)}
    write_tensors(path, tensors, texts)


def read_state(path: Path) -> Saved:
    """Reads a state, checking it whole.

    Raises:
        UserError: if it is missing, damaged, or no state of a run.
    """
    tensors, texts = read_tensors(path)
    try:
        kept, recipe = json.loads(texts[STATE_KEY]), json.loads(texts[_RECIPE_KEY])
        if kept.pop("format") > _FORMAT:
            raise UserError(f"{path} was written by a newer version; update this one")
        for name in _LISTS:
            kept[name] = tensors.pop(f"run.{name}").asnumpy()[1:].tolist()
        return Saved(Path(path), tensors, RunState(**kept), recipe)
    except UserError:
        raise
    except (KeyError, ValueError, TypeError) as error:
        raise UserError(
            f"{path} is not a state that a run can go on from; those lie in states/ of its folder"
        ) from error


def share_state(saved: Saved | None) -> Saved | None:
    """Gives every worker the state that worker 0 read; None where it read none. What the others give does not count."""
    about = share(saved and [str(saved.path), asdict(saved.state), saved.recipe])
    if about is None:
        return None
    path, state, recipe = about
    arrays = share_arrays(saved and {name: tensor.asnumpy() for name, tensor in saved.tensors.items()})
    return Saved(Path(path), {name: Tensor(array) for name, array in arrays.items()}, RunState(**state), recipe)


def newest_state(folder: Path) -> Saved | None:
    """The newest state in a folder that is whole; damaged ones are named and passed over. None where there is none."""
    for path in reversed(list_states(folder)):
        try:
            return read_state(path)
        except UserError as error:
            print(f"warning: {error}; looking for the state before it", file=sys.stderr)
    return None


def list_states(folder: Path) -> list[Path]:
    """The states in a folder, oldest first."""
    return sorted((path for path in folder.glob("*.ckpt") if step_of(path) >= 0), key=step_of)


def step_of(path: Path) -> int:
    """The step that a state's file name tells, or -1 where it tells none."""
    match = re.fullmatch(r"epoch\d+-step(\d+).*\.ckpt", path.name)
    return int(match[1]) if match else -1


def load_state(saved: Saved, step: TrainStep, averages: list[nn.Cell]) -> None:
    """Puts a state's tensors in their places, of what is divided over the workers this one's part.

    Raises:
        UserError: naming tensors that are missing or left over; nothing is loaded then.
    """
    places, divided = _parameters(step, averages), step.optimizer.divided
    wanted = {name: tuple(divided[name].shape if name in divided else place.shape) for name, place in places.items()}
    found = {name: tuple(tensor.shape) for name, tensor in saved.tensors.items()}
    if wanted != found:
        different = sorted(name for name in wanted.keys() | found.keys() if wanted.get(name) != found.get(name))
        raise UserError(
            f"{saved.path} does not fit this run: {', '.join(different[:5])}"
            f"{f' and {len(different) - 5} more' if len(different) > 5 else ''} differ; "
            "a run can go on with other settings only where its tensors stay the same"
        )
    for name, place in places.items():
        values = saved.tensors[name].asnumpy()
        place.set_data(Tensor(divided[name].own(values) if name in divided else values))
    step.optimizer.take_weights()


def differences(before: dict, now: dict) -> list[str]:
    """What two runs' settings differ in, of those that bear on the result: ``optimizer.lr: 0.001 -> 0.002``."""
    old, new = dotted(before), dotted(now)
    return [
        f"{name}: {json.dumps(old.get(name))} -> {json.dumps(new.get(name))}"
        for name in sorted(old.keys() | new.keys())
        if old.get(name) != new.get(name) and name not in _FREE
    ]


def _parameters(step: nn.Cell, averages: list[nn.Cell]) -> dict[str, Parameter]:
    """The parameters that going on needs, by name; what only passes through a step is left out."""
    cells = [step, *averages]
    everything = {parameter.name: parameter for cell in cells for parameter in cell.get_parameters()}
    return {name: parameter for name, parameter in everything.items() if not name.startswith(_PASSING)}
