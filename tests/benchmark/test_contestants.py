"""What is compared, and what cannot be."""

import importlib.util

import pytest

from mindvit.benchmark.contestants import check_comparable, check_installed, contestants, timm_arguments, torch_step
from mindvit.data.settings import AugmentSettings, DataSettings
from mindvit.errors import UserError
from mindvit.models.variants import model_config, override
from mindvit.runtime import RuntimeSettings
from mindvit.training.ema import EMASettings
from mindvit.training.optimizer_settings import OptimizerSettings
from mindvit.training.recipe import Recipe, TrainSettings

PLAIN = model_config("vit_s_16_224")


def names(task, compare):
    return [one.name for one in contestants(task, compare)]


def test_this_project_comes_first_and_the_others_once():
    assert names("forward", ("onnx", "torch", "onnx")) == ["mindvit", "onnxruntime", "torch_eager", "torch_compile"]
    assert names("data", ("torch",)) == ["mindvit", "torchvision"]
    assert names("run", ("torch",)) == ["mindvit", "step", "pipeline", "torch_eager", "torch_compile"]
    assert names("inference", ()) == ["mindvit", "network"]


def test_a_missing_package_is_named_with_the_command_that_installs_it(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "timm" else object())
    check_installed(("stock", "onnx"), None)
    check_installed(("torch",), "/other/python")
    with pytest.raises(
        UserError, match=r"--compare torch needs timm: pip install torch timm torchvision, or .*--torch_p"
    ):
        check_installed(("torch",), None)


@pytest.mark.parametrize(
    ("task", "compare", "settings", "words"),
    [
        ("forward", "torch", {"window_size": 7}, "no network with model.window_size 7"),
        ("forward", "torch", {"drop_path": 0.1, "drop_path_mode": "constant"}, "model.drop_path_mode constant"),
        ("forward", "stock", {"layer_scale": 1e-5}, "no network with model.layer_scale"),
        ("train", "onnx", {}, "an ONNX file neither reads data nor trains"),
        ("run", "stock", {}, "compare its parts"),
    ],
)
def test_a_network_that_others_do_not_have_is_refused(task, compare, settings, words):
    with pytest.raises(UserError, match=words):
        check_comparable(task, (compare,), override(PLAIN, **settings), Recipe())


@pytest.mark.parametrize(
    ("task", "groups", "name"),
    [
        ("train", {"optimizer": OptimizerSettings("lamb")}, "optimizer.name"),
        ("train", {"augment": AugmentSettings(mixup=0.8)}, "augment.mixup"),
        ("data", {"augment": AugmentSettings(random_erasing=0.25)}, "augment.random_erasing"),
        ("run", {"data": DataSettings(source="digits")}, "data.source"),
        ("forward", {"runtime": RuntimeSettings(amp_level="O2")}, "runtime.amp_level"),
    ],
)
def test_a_recipe_that_others_do_not_have_is_refused(task, groups, name):
    with pytest.raises(UserError, match=name):
        check_comparable(task, ("torch",), PLAIN, Recipe(**groups))
    check_comparable(task, (), PLAIN, Recipe(**groups))


def test_what_others_have_is_accepted():
    config = override(PLAIN, layer_scale=1e-5, pool="mean", register_tokens=4, drop_path=0.1, qk_norm=True)
    for task in ("forward", "train", "data", "run"):
        check_comparable(task, ("torch",), config, Recipe(train=TrainSettings(accumulate_steps=2)))


def test_timm_gets_the_sizes_and_numerics_of_the_network():
    found = timm_arguments(override(PLAIN, pool="mean_norm", register_tokens=4, gelu="exact", norm_eps=1e-6))
    expected = {"embed_dim": 384, "depth": 12, "num_heads": 6, "mlp_ratio": 4.0, "global_pool": "avg", "fc_norm": True}
    expected |= {"class_token": False, "reg_tokens": 4, "gelu": "exact", "norm_eps": 1e-6, "img_size": [224, 224]}
    assert expected.items() <= found.items()


def test_pytorch_takes_the_step_of_the_recipe():
    recipe = Recipe(
        optimizer=OptimizerSettings(lr=0.1, clip_norm=1.0),
        ema=EMASettings(decay=0.9),
        train=TrainSettings(recompute=True),
    )
    found = torch_step(recipe)
    assert {
        "lr": 0.1,
        "clip_norm": 1.0,
        "ema_decay": 0.9,
        "recompute": True,
        "accumulate_steps": 1,
    }.items() <= found.items()
