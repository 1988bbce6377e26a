"""What is fuzzed: readers of untrusted content, intact content, and how it is changed."""

import random
import shutil
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis.strategies import SearchStrategy

from tests.fuzz.mutations import mutated_bytes


def mutate_a_file(folder, rng):
    """Changes the bytes of a random file of a case."""
    path = rng.choice(sorted(path for path in folder.rglob("*") if path.is_file()))
    path.write_bytes(mutated_bytes(path.read_bytes(), rng))


def copy_folder(source, target):
    shutil.copytree(source, target, dirs_exist_ok=True)


@dataclass
class FileTarget:
    """Files that are changed at random."""

    name: str
    check: Callable[[Path], None]
    """Reads the files in a folder. Raises a UserError if they are refused, and an AssertionError for a wrong result."""
    make_seeds: Callable[[Path], None]
    """Writes intact cases into a folder, each into a folder of its own."""
    mutate: Callable[[Path, random.Random], None] = mutate_a_file
    """Changes the files in the folder of a case."""
    copy: Callable[[Path, Path], None] = copy_folder
    """Copies the folder of an intact case into an existing one."""
    cases: int = 100
    """Cases in a block."""
    blocks: int = 2
    """Blocks that the tests run."""
    _seeds: list[Path] = field(default_factory=list)

    def prepare(self, folder):
        """Writes the intact cases, and returns the folder of each by name."""
        self.make_seeds(folder)
        self._seeds = sorted(folder.iterdir())
        return {path.name: path for path in self._seeds}

    def run(self, block_seed, attempt):
        """Runs the cases of a block.

        Args:
            block_seed: text that determines the cases.
            attempt: runs a case, given what writes it into an empty folder.
        """
        for number in range(self.cases):
            rng = random.Random(f"{block_seed} {number}")

            def write(folder, rng=rng):
                self.copy(rng.choice(self._seeds), folder)
                self.mutate(folder, rng)

            attempt(write)


@dataclass
class TextTarget:
    """Texts that hypothesis generates, and shrinks if one is a finding."""

    name: str
    check: Callable[[Path], None]
    """As ``FileTarget.check``."""
    file: str
    """File name of the text in the folder of a case."""
    strategy: SearchStrategy[str]
    intact: str
    """A text that is accepted."""
    examples: int = 10
    """Cases in a block."""
    blocks: int = 2
    """As ``FileTarget.blocks``."""

    def prepare(self, folder):
        """As ``FileTarget.prepare``."""
        (folder / "intact").mkdir()
        self._write(self.intact, folder / "intact")
        return {"intact": folder / "intact"}

    def run(self, block_seed, attempt):
        """As ``FileTarget.run``."""

        @seed(block_seed)
        @settings(
            max_examples=self.examples,
            database=None,
            deadline=None,
            report_multiple_bugs=False,
            phases=(Phase.generate, Phase.shrink),
            suppress_health_check=list(HealthCheck),
        )
        @given(self.strategy)
        def run(text):
            attempt(lambda folder: self._write(text, folder), is_raised=True)

        run()

    def _write(self, text, folder):
        (folder / self.file).write_bytes(text.encode("utf-8", "surrogatepass"))
