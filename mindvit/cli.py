"""The command line: ``mindvit COMMAND …``, and what all commands have in common.

The programs at the top of the repository, such as ``train.py``, are the same commands under another name.
"""

import errno
import os
import sys
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from typing import Any, NoReturn

# Before MindSpore is imported: its warnings (level 2) are about its internals, and hide the messages of this project.
os.environ.setdefault("GLOG_v", "3")

from mindvit.errors import STOPPED_BY_USER, UserError


@dataclass(frozen=True)
class Command:
    """A command."""

    help: str
    """What it does, in one line."""
    example: str
    """Arguments of an example."""
    run: Callable[[list[str], str, str], None]
    """Runs it with its arguments, its name for ``--help``, and its description."""


def main() -> NoReturn:
    """Runs the command that the command line names: ``mindvit COMMAND …`` or ``python -m mindvit COMMAND …``."""
    name, arguments = (sys.argv[1], sys.argv[2:]) if len(sys.argv) > 1 else ("--help", [])
    if name in ("--help", "-h"):
        print(_overview())
        sys.exit(0)
    if name == "--version":
        import mindvit

        print(f"mindvit {mindvit.__version__}")
        sys.exit(0)
    run_command(name, arguments, f"mindvit {name}")


def run_command(name: str, arguments: list[str] | None = None, usage: str | None = None) -> NoReturn:
    """Runs a command and ends the process.

    The exit code is 0; 2 after an error of the user or a full disk, which is reported in one sentence; or 130 after
    Ctrl-C or SIGTERM.

    Args:
        name: name of the command.
        arguments: its arguments; by default those of the process.
        usage: how it was called, for ``--help``; by default the name of the program.
    """
    arguments = sys.argv[1:] if arguments is None else arguments
    usage = os.path.basename(sys.argv[0]) if usage is None else usage  # noqa: PTH119 (argv need not be a path)
    warnings.formatwarning = lambda message, *where: f"note: {message}\n"
    try:
        command = _find(name)
        command.run(arguments, usage, f"{command.help} Example: {usage} {command.example}")
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        print(f"error: the disk is full: {error}", file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt as stop:
        print(str(stop) or "stopped", file=sys.stderr)
        sys.exit(STOPPED_BY_USER)
    sys.exit(0)


def _find(name: str) -> Command:
    if name not in COMMANDS:
        import difflib

        nearest = difflib.get_close_matches(name, COMMANDS, n=1, cutoff=0.0)
        raise UserError(f"there is no command {name!r}; the nearest is {nearest[0]!r}, and mindvit --help lists all")
    return COMMANDS[name]


def _overview() -> str:
    rows = [f"  {name:<22} {command.help}" for name, command in COMMANDS.items()]
    return "\n".join(
        ["usage: mindvit COMMAND [options]", "", *rows, "", "mindvit COMMAND --help explains the options of a command."]
    )


def _call(settings: str, action: str, flags: dict[str, tuple[str, str]] | None = None) -> Callable:
    """The ``run`` of a command that parses settings and calls a function with them.

    Args:
        settings: the dataclass of its settings, as ``module:name``; imported when the command runs.
        action: the function, likewise.
        flags: options without a value: the keyword argument of the function that each sets to True, and its help.
    """
    flags = flags or {}

    def run(arguments: list[str], usage: str, description: str) -> None:
        from mindvit.parsing import parse

        helps = {name: text for name, (_, text) in flags.items()}
        parsed, given = parse(_import(settings), description, arguments, helps, usage)
        _import(action)(parsed, **{flags[name][0]: True for name in given})

    return run


def _import(place: str) -> Any:
    module, name = place.split(":")
    return getattr(import_module(module), name)


def _launch(arguments: list[str], usage: str, description: str) -> None:
    from mindvit.launch.launcher import launch

    launch(arguments, usage)


COMMANDS = {
    "train": Command(
        "Train a Vision Transformer.",
        "--config configs/digits.yaml --output_dir output/digits",
        _call("mindvit.training.recipe:Recipe", "mindvit.training.trainer:train"),
    ),
    "eval": Command(
        "Evaluate a checkpoint.",
        "--ckpt output/digits/best.ckpt",
        _call("mindvit.evaluation.evaluator:EvalSettings", "mindvit.evaluation.evaluator:evaluate_checkpoint"),
    ),
    "infer": Command(
        "Classify an image.",
        "--ckpt output/digits/best.ckpt --image IMAGE --output annotated.jpg",
        _call(
            "mindvit.inference:InferSettings",
            "mindvit.inference:infer",
            {"json": ("as_json", "Print the predictions as JSON.")},
        ),
    ),
    "convert": Command(
        "Convert weights of other libraries to a checkpoint, or export a checkpoint to timm or Hugging Face.",
        "--source FILE --model vit_b_16_224 --output ckpt/mine.ckpt",
        _call("mindvit.conversion:ConvertSettings", "mindvit.conversion:convert"),
    ),
    "extract-features": Command(
        "Extract the features of all images in a folder.",
        "--ckpt output/digits/best.ckpt --folder IMAGES --output features.npz",
        _call("mindvit.extraction:ExtractSettings", "mindvit.extraction:extract"),
    ),
    "convert-to-mindrecord": Command(
        "Convert an image folder or ImageNet to MindRecord shards.",
        "--source folder --path DIR --output OUT",
        _call(
            "mindvit.data.mindrecord.converter:MindRecordSettings",
            "mindvit.data.mindrecord.converter:convert_to_mindrecord",
            {
                "download": ("download", "Download the tutorial's subset of ImageNet if the source has no folder."),
                "overwrite": ("overwrite", "Replace an earlier conversion in --output."),
            },
        ),
    ),
    "launch": Command("Run train or eval on several devices or nodes.", "train --config configs/digits.yaml", _launch),
}
