from dataclasses import fields

import pytest

from mindvit.conversion import ConvertSettings
from mindvit.data.mindrecord.converter import MindRecordSettings
from mindvit.evaluation.evaluator import EvalSettings
from mindvit.extraction import ExtractSettings
from mindvit.inference import InferSettings
from mindvit.models.setting_names import nearest_setting
from mindvit.models.vit_config import Preprocessing, ViTConfig
from mindvit.option_names import OPTION_NAMES
from mindvit.parsing import make_parser
from mindvit.training.recipe import Recipe

KINDS = (Recipe, EvalSettings, InferSettings, ConvertSettings, ExtractSettings, MindRecordSettings)


@pytest.fixture(scope="module")
def settings():
    """The names of the settings of each command."""

    def names(kind):
        actions = make_parser(kind, "")._actions
        options = [option[2:] for action in actions for option in action.option_strings if option.startswith("--")]
        groups = {option.rpartition(".")[0] for option in options}
        return [name for name in options if name not in groups and not name.endswith(("help", "print_config", "+"))]

    of_models = [item.name for kind in (ViTConfig, Preprocessing) for item in fields(kind)]
    return {**{kind: names(kind) for kind in KINDS}, "create_model": [*of_models, "checkpoint"]}


def test_every_name_leads_to_what_it_means_in_some_command(settings):
    """So a setting that is renamed, or that takes the name of another library, is renamed in the table too."""
    for name, meant in OPTION_NAMES.items():
        for other in meant:

            def is_meant(setting, last=f".{other}"):
                return f".{setting}".endswith(last)

            commands = [names for names in settings.values() if name not in names and any(map(is_meant, names))]
            suggested = {nearest_setting(name, names, OPTION_NAMES) for names in commands}
            assert any(map(is_meant, suggested)), (name, other, suggested)


@pytest.mark.parametrize(
    ("kind", "name", "setting"),
    [
        (Recipe, "lr", "optimizer.lr"),
        (Recipe, "batch-size", "data.batch_size"),
        (Recipe, "epochs", "train.epochs"),
        (Recipe, "model", "model.name"),
        (Recipe, "wd", "optimizer.weight_decay"),
        (Recipe, "weight-decay", "optimizer.weight_decay"),
        (Recipe, "seed", "train.seed"),
        (Recipe, "data", "data.path"),
        (Recipe, "data-dir", "data.path"),
        (Recipe, "num-classes", "data.classes"),
        (Recipe, "pretrained", "model.checkpoint"),
        (Recipe, "workers", "data.num_workers"),
        (Recipe, "output", "output_dir"),
        (Recipe, "drop-path", "model.drop_path"),
        (Recipe, "smoothing", "loss.label_smoothing"),
        (Recipe, "warmup-epochs", "schedule.warmup_epochs"),
        (Recipe, "opt", "optimizer.name"),
        (Recipe, "sched", "schedule.name"),
        (Recipe, "clip-grad", "optimizer.clip_norm"),
        (Recipe, "aa", "augment.auto_augment"),
        (Recipe, "mixup", "augment.mixup"),
        (Recipe, "amp", "runtime.amp_level"),
        (Recipe, "runtime.half", "runtime.amp_level"),
        (Recipe, "device", "runtime.device"),
        (EvalSettings, "checkpoint", "ckpt"),
        (EvalSettings, "pretrained", "ckpt"),
        (EvalSettings, "batch-size", "data.batch_size"),
        (InferSettings, "topk", "top_k"),
        (ConvertSettings, "img-size", "network.image_size"),
        (ExtractSettings, "data-path", "folder"),
    ],
)
def test_options_of_other_programs_lead_to_the_setting(settings, kind, name, setting):
    assert nearest_setting(name, settings[kind], OPTION_NAMES) == setting
