"""What must be the same when a run resumes: settings, data, and at least the length that was trained.

Which settings may change between two sessions is metadata of each setting: see ``mindvit.config.setting``.
"""

import json
import math
from pathlib import Path

from mindvit.config import flatten, marked_settings, plain
from mindvit.data.fingerprint import DataFingerprint, compare
from mindvit.errors import UserError
from mindvit.training.recipe import Recipe, TrainSettings
from mindvit.training.run_state import RunState

_SHOWN = 5


def check_length(path: Path, step: int, state: RunState, train: TrainSettings) -> None:
    """Checks that a run is not shorter than what a training checkpoint has trained.

    Args:
        path: the training checkpoint.
        step: its step, in steps of the run.
        state: the run that resumes, at its start.
        train: settings of that run.

    Raises:
        UserError: if the run ends before that step.
    """
    if step <= state.total_steps:
        return
    epoch = math.ceil(step / state.steps_per_epoch)
    length = f"train.steps {train.steps}" if train.steps else f"train.epochs {train.epochs}"
    least = f"--train.steps {step}" if train.steps else f"--train.epochs {epoch}"
    raise UserError(
        f"{path} is of step {step:,}, in epoch {epoch}, but a run with {length} ends after {state.total_steps:,} "
        f"steps; set at least {least}, or name an earlier training checkpoint with --resume"
    )


def check_settings(path: Path, before: dict, now: dict, allow_changes: bool) -> list[str]:
    """Checks that the settings of a training checkpoint are those of the run that resumes. Returns their changes.

    Raises:
        UserError: if they have changed and ``allow_changes`` is False.
    """
    changes = config_changes(before, now)
    if changes and not allow_changes:
        raise UserError(
            f"{path} was written with other settings: {'; '.join(changes)}. Resume with the old settings "
            "(config.yaml of its run folder), or accept the new ones with --allow_config_changes true"
        )
    return changes


def config_changes(before: dict, now: dict) -> list[str]:
    """The settings that differ and have an effect on the result, such as ``optimizer.lr: 0.001 -> 0.002``.

    A setting that an earlier version did not have is taken to have had its default, which changes nothing.
    """
    new, free = flatten(now), marked_settings(Recipe, "changeable")
    old = {name: value for name, value in flatten(plain(Recipe())).items() if name in new} | flatten(before)
    return [
        f"{name}: {json.dumps(old.get(name))} -> {json.dumps(new.get(name))}"
        for name in sorted(old.keys() | new.keys())
        if old.get(name) != new.get(name) and name not in free
    ]


def check_data(path: Path, before: DataFingerprint | None, now: DataFingerprint, allow_changes: bool) -> list[str]:
    """Checks that the data of a training checkpoint are those of the run that resumes. Returns notes on them.

    Labels must never change: the outputs of the network are in the order of the classes that it was trained on.

    Args:
        path: the training checkpoint.
        before: its fingerprint; None if it has none.
        now: fingerprint of the data of the run that resumes.
        allow_changes: whether changes that keep the labels are accepted.

    Raises:
        UserError: if labels have changed; or if other things have and ``allow_changes`` is False.
    """
    if before is None:
        return [
            f"{path} was written by an earlier version, which did not record the data: "
            "make sure that the classes and the images are those that it was trained on"
        ]
    changes = compare(before, now)
    if changes.labels:
        raise UserError(
            f"{path} was trained with other labels: {_shown(changes.labels)}. Restore the class folders, or start a "
            "new run from the weights of this one with --model.checkpoint"
        )
    if changes.others and not allow_changes:
        raise UserError(
            f"{path} was trained on other data: {_shown(changes.others)}. Restore the data, or accept them with "
            "--allow_config_changes true"
        )
    if not changes.others:
        return []
    return [f"the run resumes on other data: {_shown(changes.others)}. Every class keeps its label"]


def _shown(changes: tuple[str, ...]) -> str:
    more = f"; and {len(changes) - _SHOWN} more" if len(changes) > _SHOWN else ""
    return "; ".join(changes[:_SHOWN]) + more
