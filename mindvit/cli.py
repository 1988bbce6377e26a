"""The command line: ``mindvit COMMAND …``, and what all commands have in common.

The programs at the top of the repository, such as ``train.py``, are the same commands under another name.
"""

import errno
import os
import sys
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import NoReturn

# Before MindSpore is imported: its warnings (level 2) are about its internals, and hide the messages of this project.
os.environ.setdefault("GLOG_v", "3")

from mindvit.errors import STOPPED_BY_USER, UserError


@dataclass(frozen=True)
class Command:
    """A command."""

    run: Callable[[list[str], str], None]
    """Runs it with its arguments, and its name for ``--help``."""
    help: str
    """What it does, in one line."""
    example: str
    """Arguments of an example."""

    def describe(self, usage: str) -> str:
        """The description for ``--help``."""
        return f"{self.help} Example: {usage} {self.example}"


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
        _find(name).run(arguments, usage)
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


def _train(arguments: list[str], usage: str) -> None:
    from mindvit.parsing import parse
    from mindvit.training.recipe import Recipe
    from mindvit.training.trainer import train

    recipe, _ = parse(Recipe, COMMANDS["train"].describe(usage), arguments, usage=usage)
    train(recipe)


def _eval(arguments: list[str], usage: str) -> None:
    from mindvit.evaluation.evaluator import EvalSettings, evaluate_checkpoint
    from mindvit.parsing import parse

    settings, _ = parse(EvalSettings, COMMANDS["eval"].describe(usage), arguments, usage=usage)
    evaluate_checkpoint(settings)


def _infer(arguments: list[str], usage: str) -> None:
    from mindvit.inference import InferSettings, infer
    from mindvit.parsing import parse

    flags = {"json": "Print the predictions as JSON."}
    settings, given = parse(InferSettings, COMMANDS["infer"].describe(usage), arguments, flags, usage)
    infer(settings, as_json="json" in given)


def _convert(arguments: list[str], usage: str) -> None:
    from mindvit.conversion import ConvertSettings, convert
    from mindvit.parsing import parse

    settings, _ = parse(ConvertSettings, COMMANDS["convert"].describe(usage), arguments, usage=usage)
    convert(settings)


def _extract_features(arguments: list[str], usage: str) -> None:
    from mindvit.extraction import ExtractSettings, extract
    from mindvit.parsing import parse

    settings, _ = parse(ExtractSettings, COMMANDS["extract-features"].describe(usage), arguments, usage=usage)
    extract(settings)


def _convert_to_mindrecord(arguments: list[str], usage: str) -> None:
    from mindvit.data.mindrecord.converter import MindRecordSettings, convert_to_mindrecord
    from mindvit.parsing import parse

    flags = {
        "download": "Download the tutorial's subset of ImageNet if --source imagenet finds no folder.",
        "overwrite": "Replace an earlier conversion in --output.",
    }
    description = COMMANDS["convert-to-mindrecord"].describe(usage)
    settings, given = parse(MindRecordSettings, description, arguments, flags, usage)
    convert_to_mindrecord(settings, **dict.fromkeys(given, True))


def _launch(arguments: list[str], usage: str) -> None:
    from mindvit.launch.launcher import launch

    launch(arguments, usage)


COMMANDS = {
    "train": Command(_train, "Train a Vision Transformer.", "--config configs/digits.yaml --output_dir output/digits"),
    "eval": Command(_eval, "Evaluate a checkpoint.", "--ckpt output/digits/best.ckpt"),
    "infer": Command(
        _infer, "Classify an image.", "--ckpt output/digits/best.ckpt --image IMAGE --output annotated.jpg"
    ),
    "convert": Command(
        _convert,
        "Convert weights from Google, timm, Hugging Face, torchvision, MindCV or the tutorial, or to timm and "
        "Hugging Face.",
        "--source FILE --model vit_b_16_224 --output ckpt/mine.ckpt",
    ),
    "extract-features": Command(
        _extract_features,
        "Extract the features of all images in a folder.",
        "--ckpt output/digits/best.ckpt --folder IMAGES --output features.npz",
    ),
    "convert-to-mindrecord": Command(
        _convert_to_mindrecord,
        "Convert an image folder or ImageNet to MindRecord shards.",
        "--source folder --path DIR --output OUT",
    ),
    "launch": Command(_launch, "Run train or eval on several devices or nodes.", "train --config configs/digits.yaml"),
}
