"""Resuming a run: find, read and restore a training checkpoint."""

import sys
import warnings
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from mindspore import Tensor

from mindvit.data.fingerprint import DataFingerprint
from mindvit.distributed import broadcast_arrays, broadcast_object
from mindvit.errors import UserError
from mindvit.json_schema import decode
from mindvit.printable import printable
from mindvit.strict_json import parse_json
from mindvit.training.resume_checks import check_data, check_length, check_settings
from mindvit.training.run import Run, TrainComponents
from mindvit.training.run_folder import RunFolder
from mindvit.training.run_state import RunState
from mindvit.training.train_checkpoint import (
    DATA_KEY,
    FORMAT,
    LISTS,
    RECIPE_KEY,
    list_train_checkpoints,
    stored_parameters,
)
from mindvit.weights.checkpoint import OLD_TRAIN_STATE_KEY, TRAIN_STATE_KEY
from mindvit.weights.formats.ckpt import ckpt_arrays, read_ckpt
from mindvit.weights.formats.values import check_finite

_SHOWN = 5


@dataclass(frozen=True)
class LoadedCheckpoint:
    """The content of a training checkpoint."""

    path: Path
    tensors: dict[str, Tensor]
    state: RunState
    settings: dict
    """All settings of the run that wrote it, nested."""
    data: DataFingerprint | None = None
    """Fingerprint of the data of that run; None in files of format 2."""


def find_checkpoint_to_resume(folder: RunFolder, resume: str | None) -> LoadedCheckpoint | None:
    """The training checkpoint that ``--resume`` names; None if the run starts from scratch.

    With ``auto``, a run that was killed before its first training checkpoint starts from scratch.

    Args:
        folder: folder of the run.
        resume: the setting: None, ``"auto"`` or a path.

    Raises:
        UserError: if the file or the folder cannot be read; or if ``auto`` finds no intact training checkpoint in a
            folder that holds trained epochs, which starting from scratch would overwrite.
    """
    if resume is None:
        return None
    if resume != "auto":
        return read_train_checkpoint(Path(resume))
    found = newest_train_checkpoint(folder.train_checkpoints)
    if found is None and folder.holds_trained_epochs():
        raise UserError(
            f"{folder.path} holds a run but no intact training checkpoint to resume from; choose another folder with "
            "--output_dir, or start from scratch and delete what it holds with --overwrite true, without --resume"
        )
    return found


def newest_train_checkpoint(folder: Path) -> LoadedCheckpoint | None:
    """The newest intact training checkpoint in a folder, or None. Corrupt ones are reported and skipped.

    Raises:
        UserError: if the folder or a file in it cannot be read. The file may be intact, and a run that resumes from an
            earlier one deletes it.
    """
    for path in reversed(list_train_checkpoints(folder)):
        try:
            return read_train_checkpoint(path)
        except UserError as error:
            if isinstance(error.__cause__, OSError):
                raise UserError(
                    f"{error}. It may be intact: make it readable, or name an earlier training checkpoint with --resume"
                ) from error
            print(f"warning: {printable(str(error))}; trying the previous training checkpoint", file=sys.stderr)
    return None


def read_train_checkpoint(path: Path) -> LoadedCheckpoint:
    """Reads a training checkpoint and verifies its checksum.

    Raises:
        UserError: if it is missing, corrupt, of another version, or not a training checkpoint, or if a weight or an
            optimizer state is not finite.
    """
    tensors, texts = read_ckpt(path)
    if OLD_TRAIN_STATE_KEY in texts:
        raise UserError(
            f"{path} was written by mindvit 0.1 (training checkpoint format 1), which this version cannot resume; "
            "finish the run with that version, or start from its weights with --model.checkpoint"
        )
    try:
        stored, settings = parse_json(texts[TRAIN_STATE_KEY]), parse_json(texts[RECIPE_KEY])
        version = stored.pop("format")
        if version > FORMAT:
            raise UserError(f"{path} was written by a newer version of mindvit (format {version}); update mindvit")
        data = None
        if version < FORMAT:
            stored["best_score"] = None  # It had another rule.
        else:
            data = decode(DataFingerprint, parse_json(texts[DATA_KEY]))
        for name in LISTS:
            stored[name] = tensors.pop(f"run.{name}").asnumpy()[1:].tolist()
        check_finite(ckpt_arrays(tensors), path)
        return LoadedCheckpoint(Path(path), tensors, RunState.from_json(stored), settings, data)
    except UserError:
        raise
    except (KeyError, ValueError, TypeError) as error:
        raise UserError(
            f"{path} is not a training checkpoint; those are in train_checkpoints/ of the run folder"
        ) from error


def broadcast_checkpoint(checkpoint: LoadedCheckpoint | None) -> LoadedCheckpoint | None:
    """Gives all ranks the training checkpoint that rank 0 read, or None; the values of other ranks are ignored."""
    about = None
    if checkpoint is not None:
        data = checkpoint.data and asdict(checkpoint.data)
        about = [str(checkpoint.path), checkpoint.state.to_json(), checkpoint.settings, data]
    about = broadcast_object(about)
    if about is None:
        return None
    path, state, settings, data = about
    arrays = broadcast_arrays(checkpoint and {name: tensor.asnumpy() for name, tensor in checkpoint.tensors.items()})
    tensors = {name: Tensor(array) for name, array in arrays.items()}
    return LoadedCheckpoint(
        Path(path), tensors, RunState.from_json(state), settings, data and decode(DataFingerprint, data)
    )


def restore(run: Run, checkpoint: LoadedCheckpoint, allow_config_changes: bool) -> Run:
    """The run with the tensors and the progress of a training checkpoint.

    If the number of steps in an epoch has changed, the run resumes at the nearest step of the same epoch.

    The data may change with ``allow_config_changes`` too, except for the labels: the outputs of the network are in the
    order of the classes that it was trained on.

    Raises:
        UserError: if settings or data have changed and ``allow_config_changes`` is False; if the labels of classes have
            changed; if the run ends before the step of the checkpoint; or if the tensors do not fit.
    """
    state, steps_per_epoch = checkpoint.state, run.state.steps_per_epoch
    step = round(state.step * steps_per_epoch / state.steps_per_epoch)
    check_length(checkpoint.path, step, run.state, run.recipe.train)
    changes = check_settings(checkpoint.path, checkpoint.settings, run.settings, allow_config_changes)
    notes = check_data(checkpoint.path, checkpoint.data, run.source.fingerprint, allow_config_changes)
    for note in notes if run.runtime.is_main else []:
        warnings.warn(note, stacklevel=2)
    load_train_checkpoint(checkpoint, run.components)
    if state.steps_per_epoch != steps_per_epoch:
        updates = run.components.step.optimizer.step
        ratio = steps_per_epoch / state.steps_per_epoch
        updates.set_data(Tensor(round(updates.asnumpy().item() * ratio), updates.dtype))
        state = replace(state, step=step, losses=[], norms=[])
    if any(change.startswith("checkpoint.metric") for change in changes):
        state = replace(state, best_score=None, best_epoch=0, epochs_without_gain=0)
    best = [entry for entry in state.best if (run.folder.path / entry.file).exists()]
    planned = {"steps_per_epoch": steps_per_epoch, "total_steps": run.state.total_steps}
    return replace(run, state=replace(state, best=best, **planned))


def load_train_checkpoint(checkpoint: LoadedCheckpoint, components: TrainComponents) -> None:
    """Loads the tensors of a training checkpoint; each rank takes its shards of sharded optimizer states.

    Raises:
        UserError: naming the tensors that are missing, unexpected or of another shape; nothing is loaded then.
    """
    step = components.step
    parameters = stored_parameters(step, components.averages)
    wanted = {name: tuple(parameter.shape) for name, parameter in parameters.items()}
    wanted |= step.optimizer.full_state_shapes()
    found = {name: tuple(tensor.shape) for name, tensor in checkpoint.tensors.items()}
    if wanted != found:
        different = sorted(name for name in wanted.keys() | found.keys() if wanted.get(name) != found.get(name))
        more = f" and {len(different) - _SHOWN} more" if len(different) > _SHOWN else ""
        raise UserError(
            f"{checkpoint.path} does not fit this run: {', '.join(different[:_SHOWN])}{more} differ. "
            "A run can resume with changed settings only if its tensors keep their names and shapes"
        )
    arrays = {name: tensor.asnumpy() for name, tensor in checkpoint.tensors.items()}
    for name, parameter in parameters.items():
        parameter.set_data(Tensor(arrays[name]))
    step.optimizer.load_full_state(arrays)
    for average in components.averages:
        average.load()
