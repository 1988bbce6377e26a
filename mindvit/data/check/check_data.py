"""The command check-data: looks at all images of a data set, and says what is wrong and which settings help."""

from dataclasses import asdict, dataclass, field
from pathlib import Path
from textwrap import fill

from tqdm import tqdm

from mindvit.data.check.advice import advise
from mindvit.data.check.data_report import DataReport
from mindvit.data.check.image_scan import scan_images
from mindvit.data.settings import CORES, SourceSettings, check_classes, check_hold_out, check_loading
from mindvit.data.sources import DEFAULT_PATHS, open_source
from mindvit.errors import UserError
from mindvit.files import make_folder, write_text
from mindvit.models.setting_checks import check_values
from mindvit.printable import printable
from mindvit.strict_json import dump_json

_WIDTH = 100
"""Characters of a line of advice."""


@dataclass(frozen=True)
class CheckedData(SourceSettings):
    """The data to check, with the settings of train.py."""

    classes: tuple[str, ...] | None = None
    """Ids (folder names) of the classes to check. null checks all classes."""
    num_workers: int = CORES
    """Threads that decode images."""

    def __post_init__(self) -> None:
        check_values(self, "data.")
        check_loading(1, self.num_workers)
        check_classes(self.classes)
        check_hold_out(self.val_fraction, self.split_seed)


@dataclass(frozen=True)
class CheckDataSettings:
    """A check of a data set."""

    data: CheckedData = field(default_factory=CheckedData)
    decode: bool = True
    """Decode every image, to find corrupt and equal ones. false only counts."""
    output: str | None = None
    """JSON file to write the result to, with all file names. null writes none."""
    download: bool = False
    """Download published data that are missing."""


def check_data(settings: CheckDataSettings) -> DataReport:
    """Checks a data set, prints a table and advice, and writes JSON if asked to.

    The JSON has the images of each class and split, their imbalance ratio (images of the largest class per image of the
    smallest), the minimum, median and maximum of the image sizes in pixels, the corrupt images, the groups of images
    with equal pixels, and the advice.

    Returns:
        What was found.

    Raises:
        UserError: if a run could not train on the data: they are missing or have another layout, there is no train
            split, or none of its images can be decoded. The last two are raised after the table and the JSON.
    """
    if settings.output:
        make_folder(Path(settings.output).parent)
    report = _examine(settings)
    advice = list(advise(report))
    failure = _why_not_trainable(report)
    print(report.table())
    for sentence in advice:
        print(fill(sentence, _WIDTH, initial_indent="advice     ", subsequent_indent=" " * 11))
    if settings.output:
        content = {"data": asdict(settings.data), **report.to_json(), "advice": advice, "can_train": failure is None}
        write_text(Path(settings.output), dump_json(content, indent=2) + "\n")
        print(f"{'output':<10} {printable(settings.output)}")
    if failure:
        raise UserError(failure)
    return report


def _examine(settings: CheckDataSettings) -> DataReport:
    data = settings.data
    source = open_source(data.source, data.path, settings.download, data.labels, data.val_fraction, data.split_seed)
    source = source.subset(data.classes, None)
    named = {"train": source.train, "val": None if source.is_unsplit else source.val, "test": source.test}
    splits = {name: split for name, split in named.items() if split is not None}
    folder = data.path or str(DEFAULT_PATHS[data.source])
    if not settings.decode:
        return DataReport(splits, folder)
    total = sum(map(len, splits.values()))
    with tqdm(total=total, unit="image", desc="decoding", leave=False) as bar:
        scans = {name: scan_images(split, data.num_workers, bar) for name, split in splits.items()}
    return DataReport(splits, folder, scans)


def _why_not_trainable(report: DataReport) -> str | None:
    train = report.splits.get("train")
    if train is None:
        return "the data have no train split, so no run can train on them"
    scan = report.scans.get("train")
    if scan and all(image.error is not None for image in scan):
        return f"no training image of {train.origin} can be decoded; the first error is: {scan[0].error}"
    return None
