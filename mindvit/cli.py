"""The command line: ``mindvit COMMAND …``, and what all commands have in common.

The programs at the top of the repository, such as ``train.py``, are the same commands under another name.
"""

import errno
import os
import signal
import sys
import textwrap
import warnings
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib import import_module
from types import FrameType
from typing import Any, NoReturn

# Before MindSpore is imported: its warnings (level 2) are about its internals, and hide the messages of this project.
os.environ.setdefault("GLOG_v", "3")

from mindvit.console import fit_text, terminal_columns
from mindvit.errors import STOPPED_BY_USER, UserError
from mindvit.files import os_error_message
from mindvit.parent_death import end_with_launcher
from mindvit.printable import printable
from mindvit.standard_streams import is_output_lost, prepare_streams

_OUTPUT_LOST = 128 + signal.SIGPIPE
"""Exit code of a command whose result nobody could read, as a shell reports it."""


@dataclass(frozen=True)
class Command:
    """A command."""

    help: str
    """What it does, in one line."""
    example: str | dict[str, str] = ""
    """Arguments of an example, or of several by what they do."""
    run: Callable[[list[str], str, "Command"], None] | None = None
    """Runs it with its arguments, its name for ``--help``, and the command itself."""
    prints_result: bool = False
    """Whether its only result is what it prints."""

    commands: dict[str, "Command"] = field(default_factory=dict)
    """Commands that it consists of, in place of ``run``: ``mindvit visualize attention …``."""

    def start(self, arguments: list[str], usage: str) -> None:
        """Runs it, or the command of it that the first argument names."""
        if self.run is not None:
            self.run(arguments, usage, self)
            return
        name, *others = arguments or ["--help"]
        if name in ("--help", "-h"):
            print(_overview(usage, self.commands, {}, self.help))
            return
        if name not in self.commands:
            raise UserError(_unknown(name, self.commands, usage))
        self.commands[name].start(others, f"{usage} {name}")

    @property
    def examples(self) -> dict[str, str]:
        """Arguments of examples by what they do."""
        return self.example if isinstance(self.example, dict) else {"": self.example}


def main() -> NoReturn:
    """Runs the command that the command line names: ``mindvit COMMAND …`` or ``python -m mindvit COMMAND …``."""
    end_with_launcher()  # Before MindSpore is imported, which takes seconds: the launcher may end meanwhile.
    name, arguments = (sys.argv[1], sys.argv[2:]) if len(sys.argv) > 1 else ("--help", [])
    if name in ("--help", "-h"):
        _run(lambda: print(_overview("mindvit", COMMANDS, _EXAMPLES)), prints_result=True)
    if name == "--version":
        import mindvit

        _run(lambda: print(f"mindvit {mindvit.__version__}"), prints_result=True)
    run_command(name, arguments, f"mindvit {name}")


def run_command(name: str, arguments: list[str] | None = None, usage: str | None = None) -> NoReturn:
    """Runs a command and ends the process.

    The exit code is 0; 2 after an error of the user, or of a file that cannot be read or written, which is reported in
    one sentence; 130 after Ctrl-C, SIGTERM or SIGHUP; or 141 if the command only prints, and the reader of its output
    has ended. Every other command does its work to the end without a reader or a terminal.

    Args:
        name: name of the command.
        arguments: its arguments; by default those of the process.
        usage: how it was called, for ``--help``; by default the name of the program.
    """
    arguments = sys.argv[1:] if arguments is None else arguments
    usage = os.path.basename(sys.argv[0]) if usage is None else usage  # noqa: PTH119 (argv need not be a path)
    command = COMMANDS.get(name)

    def run() -> None:
        if command is None:
            raise UserError(_unknown(name, COMMANDS, "mindvit"))
        command.start(arguments, usage)

    _run(run, prints_result=command is not None and command.prints_result)


def _run(action: Callable[[], None], prints_result: bool) -> NoReturn:
    prepare_streams()
    warnings.formatwarning = lambda message, *where: _fit(f"note: {printable(str(message))}") + "\n"
    received: list[str] = []
    try:
        try:
            with _stopped_by_signals(received):
                action()
        except SystemExit as end:  # After --help, or with the exit code of a job.
            if end.code:
                raise
            prints_result = True
        except Exception:
            if received:  # Raised where C++ called Python, KeyboardInterrupt becomes another exception.
                raise KeyboardInterrupt(received[-1]) from None
            raise
        sys.exit(_OUTPUT_LOST if is_output_lost() and prints_result else 0)
    except UserError as error:
        print(_fit(f"error: {printable(str(error))}"), file=sys.stderr)
        sys.exit(2)
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            print(f"error: the disk is full: {error}", file=sys.stderr)
        elif error.filename is not None:
            print(f"error: {os_error_message(error, 'access')}", file=sys.stderr)
        else:
            raise
        sys.exit(2)
    except KeyboardInterrupt as stop:
        print(_fit(str(stop) or "stopped"), file=sys.stderr)
        (_leave if received else sys.exit)(STOPPED_BY_USER)


def _fit(message: str) -> str:
    return fit_text(message, terminal_columns(sys.stderr), indent=2)


def _leave(code: int) -> NoReturn:
    """Ends the process without Python's finalization: the threads of MindSpore that are at work would crash in it."""
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


@contextmanager
def _stopped_by_signals(received: list[str]) -> Iterator[None]:
    """Lets SIGTERM and SIGHUP raise ``KeyboardInterrupt``, as Ctrl-C does. An ignored signal stays ignored (nohup).

    A rank of a job keeps the default, which ends it at once: while it waits for the other ranks, MindSpore runs no
    Python code, and its launcher reports the stop.

    Args:
        received: gets a sentence for each signal that has stopped the work wherever it was.
    """

    def stop(number: int, frame: FrameType | None) -> None:
        received.append(f"stopped by {signal.Signals(number).name}")
        raise KeyboardInterrupt(received[-1])

    defaults = {
        signal.SIGINT: signal.default_int_handler,
        signal.SIGTERM: signal.SIG_DFL,
        signal.SIGHUP: signal.SIG_DFL,
    }
    if "MS_ROLE" in os.environ:
        defaults = {}
    handled = [number for number, default in defaults.items() if signal.getsignal(number) == default]
    for number in handled:
        signal.signal(number, stop)
    try:
        yield
    finally:
        for number in handled:
            signal.signal(number, defaults[number])


def _unknown(name: str, commands: Iterable[str], usage: str) -> str:
    import difflib

    nearest = difflib.get_close_matches(name, list(commands), n=1, cutoff=0.0)
    return f"there is no command {name!r}; the nearest is {nearest[0]!r}, and {usage} --help lists all"


def _overview(usage: str, commands: dict[str, Command], examples: dict[str, str], description: str = "") -> str:
    margin = max(20, 4 + max(map(len, commands)))
    rows = [
        textwrap.fill(command.help, 79, initial_indent=f"  {name:<{margin - 2}}", subsequent_indent=" " * margin)
        for name, command in commands.items()
    ]
    lines = [line for task, command in examples.items() for line in (f"  {task}:", f"    {command}")]
    return "\n".join(
        [
            f"usage: {usage} COMMAND [options]",
            *(("", textwrap.fill(description, 79)) if description else ()),
            *("", "commands:", *rows),
            *(("", "examples:", *lines) if examples else ()),
            *("", f"{usage} COMMAND --help explains the options of a command."),
        ]
    )


def _call(
    settings: str,
    action: str,
    flags: dict[str, tuple[str, str]] | None = None,
    positional: tuple[str, ...] = (),
) -> Callable:
    """The ``run`` of a command that parses settings and calls a function with them.

    Args:
        settings: the dataclass of its settings, as ``module:name``; imported when the command runs.
        action: the function, likewise.
        flags: options without a value: the keyword argument of the function that each sets to True, and its help.
        positional: settings whose values are given without their names, in this order.
    """
    flags = flags or {}

    def run(arguments: list[str], usage: str, command: Command) -> None:
        from mindvit.parsing import parse

        helps = {name: text for name, (_, text) in flags.items()}
        kind = _import(settings)
        parsed, given = parse(kind, command.help, arguments, helps, usage, command.examples, positional)
        _import(action)(parsed, **{flags[name][0]: True for name in given})

    return run


def _import(place: str) -> Any:
    module, name = place.split(":")
    return getattr(import_module(module), name)


def _launch(arguments: list[str], usage: str, command: Command) -> None:
    from mindvit.launch.launcher import launch

    launch(arguments, usage)


COMMANDS = {
    "check-data": Command(
        "Check a data set before training: counts, corrupt and equal images, leaks between splits.",
        "--data.source folder --data.path IMAGES --output check.json",
        _call("mindvit.data.check.check_data:CheckDataSettings", "mindvit.data.check.check_data:check_data"),
        prints_result=True,
    ),
    "train": Command(
        "Train a Vision Transformer.",
        {
            "Train on handwritten digits, in minutes on any computer": "--config configs/digits.yaml",
            "Fine-tune on your images, train/CLASS/ and val/CLASS/ in a folder": "--config "
            "configs/finetune_own_images.yaml --data.path IMAGES",
            "Change settings of a recipe": "--config configs/digits.yaml --train.epochs 30 --optimizer.lr 1e-3",
            "Resume an interrupted run": "--config configs/digits.yaml --resume auto",
            "Check that a recipe compiles for Ascend and fits, on any machine": "--config configs/deit_b_16.yaml "
            "--dry_run true",
        },
        _call("mindvit.training.recipe:Recipe", "mindvit.training.trainer:train"),
    ),
    "eval": Command(
        "Evaluate a checkpoint.",
        "--ckpt output/digits/best.ckpt",
        _call("mindvit.evaluation.evaluator:EvalSettings", "mindvit.evaluation.evaluator:evaluate_checkpoint"),
        prints_result=True,
    ),
    "infer": Command(
        "Classify images, folders of images, and videos.",
        {
            "Classify an image, and draw the classes below it": "--ckpt output/digits/best.ckpt --image IMAGE --output "
            "annotated.jpg",
            "Classify folders, several files or a quoted pattern": "--ckpt output/digits/best.ckpt --image IMAGES "
            "'*.png' --predictions predictions.csv",
            "Draw an overview of many images": "--ckpt output/digits/best.ckpt --image IMAGES --contact_sheet "
            "sheet.png",
            "Classify two frames of each second of a video": "--ckpt output/digits/best.ckpt --image clip.mp4 --every "
            "0.5s --output FRAMES",
            "Print JSON for another program": "--ckpt output/digits/best.ckpt --image IMAGE --json",
        },
        _call(
            "mindvit.inference.infer_command:InferSettings",
            "mindvit.inference.infer_command:run_infer",
            {"json": ("as_json", "Print the predictions as JSON.")},
        ),
        prints_result=True,
    ),
    "report": Command(
        "Report on a run, or on two runs side by side, as one HTML page.",
        {
            "A run, finished or not": "output/digits",
            "Two runs side by side": "output/digits output/digits_ema --output compare.html",
            "Images that are in another place now": "output/digits --data.path IMAGES",
        },
        _call(
            "mindvit.report.report_command:ReportSettings",
            "mindvit.report.report_command:make_report",
            positional=("run", "compare"),
        ),
    ),
    "visualize": Command(
        "Draw the attention in an image, or what a network has learned.",
        commands={
            "attention": Command(
                "Draw the attention rollout over an image, and the heads of a block.",
                "--ckpt output/digits/best.ckpt --image IMAGE --output attention.png",
                _call(
                    "mindvit.visualize.attention_figure:AttentionSettings",
                    "mindvit.visualize.attention_figure:visualize_attention",
                ),
            ),
            "positions": Command(
                "Draw the similarity of the position embeddings.",
                "--ckpt output/digits/best.ckpt --output positions.png",
                _call(
                    "mindvit.visualize.position_similarity:PositionSettings",
                    "mindvit.visualize.position_similarity:visualize_positions",
                ),
            ),
            "filters": Command(
                "Draw the principal components of the filters of the patch embedding.",
                "--ckpt output/digits/best.ckpt --output filters.png",
                _call(
                    "mindvit.visualize.patch_filters:FilterSettings",
                    "mindvit.visualize.patch_filters:visualize_filters",
                ),
            ),
        },
    ),
    "demo": Command(
        "Serve a page that classifies images in a browser.",
        {
            "On this machine": "--ckpt output/digits/best.ckpt",
            "With examples of a folder, for other machines too": "--ckpt output/digits/best.ckpt --examples IMAGES "
            "--host 0.0.0.0 --port 8080",
        },
        _call("mindvit.demo.demo_command:DemoSettings", "mindvit.demo.demo_command:demo"),
    ),
    "export": Command(
        "Export a checkpoint as ONNX, MINDIR or AIR for deployment.",
        {
            "ONNX, for any batch size": "--ckpt output/digits/best.ckpt --output digits.onnx",
            "RGB pixels in, probabilities out": (
                "--ckpt output/digits/best.ckpt --output digits.onnx --pixel_input true --probabilities true"
            ),
            "int8, with a folder of calibration images": (
                "--ckpt output/digits/best.ckpt --output digits_int8.onnx --int8 true --calibration IMAGES"
            ),
            "MINDIR, for MindSpore Lite": (
                "--ckpt output/digits/best.ckpt --format MINDIR --batch_size 8 --output digits.mindir"
            ),
        },
        _call("mindvit.export.export_command:ExportSettings", "mindvit.export.export_command:export"),
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
    "dry-run": Command(
        "Compile a recipe for Ascend on any machine, and report kernels, memory and collectives.",
        "--config configs/deit_b_16.yaml --ranks 8 --output dry_run.json",
        _call("mindvit.dry_run_command:DryRunSettings", "mindvit.dry_run_command:dry_run"),
        prints_result=True,
    ),
    "launch": Command("Run train or eval on several devices or nodes.", "train --config configs/digits.yaml", _launch),
}

_EXAMPLES = {
    "Train on handwritten digits, in minutes on any computer": "mindvit train --config configs/digits.yaml "
    "--output_dir output/digits",
    "Train on all NPUs of this machine": "mindvit launch train --config configs/deit_b_16.yaml",
    "Evaluate the best weights": "mindvit eval --ckpt output/digits/best.ckpt",
    "Classify an image": "mindvit infer --ckpt output/digits/best.ckpt --image IMAGE",
    "Bring weights of another library": "mindvit convert --source FILE --model vit_b_16_224 --output ckpt/mine.ckpt",
}
"""Commands by what they do, for ``mindvit --help``."""
