"""All targets, by name."""

from tests.fuzz.targets.archives import ARCHIVES
from tests.fuzz.targets.checkpoints import METADATA, TRAIN_CHECKPOINTS
from tests.fuzz.targets.cifar import CIFAR
from tests.fuzz.targets.images import IMAGES
from tests.fuzz.targets.layouts import LAYOUTS
from tests.fuzz.targets.mindrecord import MINDRECORD
from tests.fuzz.targets.run_folders import RUN_FOLDERS
from tests.fuzz.targets.settings import COMMAND_LINES, RECIPES
from tests.fuzz.targets.sidecars import SIDECARS
from tests.fuzz.targets.texts import NAMES
from tests.fuzz.targets.weights_files import WEIGHTS_FILES

TARGETS = {
    target.name: target
    for target in (
        *(WEIGHTS_FILES, LAYOUTS, SIDECARS, METADATA, TRAIN_CHECKPOINTS, IMAGES, MINDRECORD, CIFAR),
        *(ARCHIVES, RUN_FOLDERS, RECIPES, COMMAND_LINES, NAMES),
    )
}
