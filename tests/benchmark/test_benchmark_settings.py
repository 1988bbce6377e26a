"""Settings of the command benchmark."""

import pytest

from mindvit.benchmark.benchmark_settings import (
    ForwardSettings,
    InferenceSettings,
    OperatorSettings,
    PipelineSettings,
    StepSettings,
    usable_cores,
)
from mindvit.data.settings import DataSettings
from mindvit.factory import ModelSettings


def test_cases_are_all_models_image_sizes_and_batch_sizes():
    settings = ForwardSettings(models=("vit_ti_16_224", "vit_s_16_224"), batch_sizes=(1, 8), image_sizes=(224, 384))
    found = [(one.model.name, one.model.image_size, one.data.batch_size) for one in settings.cases()]
    assert found[:3] == [("vit_ti_16_224", 224, 1), ("vit_ti_16_224", 224, 8), ("vit_ti_16_224", 384, 1)]
    assert len(set(found)) == 8


def test_a_step_is_that_of_the_recipe_with_clipping_by_default():
    (case,) = StepSettings(model=ModelSettings(name="vit_s_16_224"), data=DataSettings(batch_size=3)).cases()
    assert (case.model.name, case.data.batch_size, case.optimizer.clip_norm) == ("vit_s_16_224", 3, 1.0)


def test_cases_of_a_pipeline_differ_in_workers():
    assert [one.data.num_workers for one in PipelineSettings(workers=(1, 2)).cases()] == [1, 2]
    assert len(PipelineSettings().cases()) == 1


@pytest.mark.parametrize(
    ("kind", "settings", "words"),
    [
        (ForwardSettings, {"rounds": 0}, "rounds must be at least 1"),
        (ForwardSettings, {"threads": usable_cores() + 1}, "threads must be at most"),
        (ForwardSettings, {"round_seconds": -1.0}, "round_seconds must not be negative"),
        (ForwardSettings, {"batch_sizes": (8, 0)}, "batch_sizes must be numbers of at least 1"),
        (ForwardSettings, {"models": ()}, "models must not be an empty list"),
        (ForwardSettings, {"output": "speed.txt"}, "output must end in .json"),
        (ForwardSettings, {"chart": "speed.txt"}, "output must end in .png"),
        (StepSettings, {"num_classes": 0}, "num_classes must be at least 1"),
        (PipelineSettings, {"workers": (0,)}, "num_workers"),
        (PipelineSettings, {"pass_images": 0}, "pass_images must be at least 1"),
        (InferenceSettings, {"batch_sizes": (0,)}, "batch_size"),
        (OperatorSettings, {"operator": "local_attention"}, "needs --model.window_size"),
        (OperatorSettings, {"operator": "optimizer", "backward": True}, "has no gradient"),
    ],
)
def test_a_setting_out_of_range_is_refused(kind, settings, words):
    with pytest.raises(ValueError, match=words):
        kind(**settings)
