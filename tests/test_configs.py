"""Every recipe is built: its model and learning rate at its own size, one step of training with a small network."""

import json
import re
import shlex
from dataclasses import asdict, dataclass, fields, replace

import mindspore as ms
import numpy as np
import pytest
import yaml

from mindvit.analysis.counting import forward_flops
from mindvit.config import plain
from mindvit.data.pipeline import train_pipeline
from mindvit.data.sampling import SamplingPlan
from mindvit.data.settings import AugmentSettings
from mindvit.data.sources import open_source
from mindvit.factory import ModelSettings, create_model
from mindvit.losses import BinaryCrossEntropySmooth, CrossEntropySmooth
from mindvit.models.variants import model_config, override
from mindvit.models.vit import ViT
from mindvit.parsing import parse
from mindvit.run_metrics import WeightsKind
from mindvit.runtime import Runtime
from mindvit.training import setup
from mindvit.training.distillation import DistillationLoss
from mindvit.training.lr_schedule import ScheduleSettings, learning_rates
from mindvit.training.optimizers import SGD, AdamW, Lamb
from mindvit.training.param_groups import make_rules, resolve_param_groups
from mindvit.training.recipe import Recipe
from mindvit.training.run import TrainComponents
from mindvit.weights.layouts.timm import timm_key_map
from tests.conftest import ROOT
from tests.recipe_graphs import graph_of, kind_of

FOLDER = ROOT / "configs"
NAMES = sorted(path.name for path in FOLDER.glob("*.yaml"))
every_recipe = pytest.mark.parametrize("name", NAMES)


@dataclass(frozen=True)
class Run:
    """What a recipe comes to with the images and the ranks of its command, worked out by hand."""

    images: int
    ranks: int
    batch: int
    """Images of a step."""
    steps: int
    gmacs: float = 17.5
    """Multiply-adds of an image's forward pass, 10^9; most are published with the networks."""


IMAGENET, CIFAR, EXAMPLE = 1_281_167, 50_000, 2_000
DIGITS = {"digits.yaml": 1_437, "pretrain_digits.yaml": 720, "finetune_digits.yaml": 50}
"""Training images of the recipes that were trained here, whose headers have what they came to."""
DEIT = Run(IMAGENET, 8, 1024, 375_300)
RUNS = {
    "article_cifar10_swa.yaml": Run(CIFAR, 1, 32, 31_240, gmacs=1.25),
    "article_finetune.yaml": Run(EXAMPLE, 1, 16, 10_000),
    "augreg_b_16.yaml": Run(IMAGENET, 8, 4096, 93_600),
    "cifar10_from_scratch.yaml": Run(CIFAR, 1, 128, 78_000, gmacs=0.428),
    "deit3_finetune_b_16.yaml": Run(IMAGENET, 8, 512, 50_040),
    "deit3_b_16.yaml": Run(IMAGENET, 8, 2048, 500_000, gmacs=12.8),
    "deit3_s_16.yaml": Run(IMAGENET, 8, 2048, 500_000, gmacs=4.6),
    "deit_b_16.yaml": DEIT,
    "deit_b_distilled_16.yaml": replace(DEIT, gmacs=17.7),
    "deit_s_16.yaml": replace(DEIT, gmacs=4.6),
    "deit_s_distilled_16.yaml": replace(DEIT, gmacs=4.6),
    "deit_ti_16.yaml": replace(DEIT, gmacs=1.25),
    "deit_ti_distilled_16.yaml": replace(DEIT, gmacs=1.26),
    "finetune_own_images.yaml": Run(EXAMPLE, 1, 32, 1_240),
    "own_images_small.yaml": Run(EXAMPLE, 1, 16, 5_000, gmacs=0.06),
    "plain_vit_s_16.yaml": Run(IMAGENET, 8, 1024, 112_590, gmacs=4.6),
    "vit_b_16_224_tutorial.yaml": Run(EXAMPLE, 1, 16, 1_250),
    "vit_finetune_cifar10.yaml": Run(CIFAR, 8, 512, 10_000, gmacs=55.5),
    "vit_finetune_cifar100.yaml": Run(CIFAR, 8, 512, 10_000, gmacs=55.5),
    "vit_finetune_imagenet.yaml": Run(IMAGENET, 8, 512, 20_000, gmacs=55.5),
}
REFERENCES = json.loads((ROOT / "tests/references/recipes.json").read_text())
"""Learning rates and parameter groups by the programs that the recipes name: see make_recipe_references.py."""
OF_WEIGHTS = {"name", "checkpoint", "resize_pos_embed"}
"""Settings of the group model that say where a network comes from."""
IMAGES = 12
SMALL = {"image_size": 16, "patch_size": 8, "embed_dim": 32, "depth": 2, "num_heads": 2, "mlp_dim": 64}


def read(name, *options):
    return parse(Recipe, "", ["--config", str(FOLDER / name), *options])[0]


def header(name):
    """The text of each part of a recipe's header, by its title."""
    lines = [line[1:] for line in (FOLDER / name).read_text().splitlines() if line.startswith("#")]
    assert lines[0].strip(), f"{name} does not begin with what it is"
    parts, title = {}, None
    for line in lines[1:]:
        if found := re.match(r" ([A-Z][a-z]+):\s+(.*)", line):
            title, line = found.groups()
            parts[title] = []
        if title:
            parts[title].append(line.strip())
    return {title: "\n".join(text) for title, text in parts.items()}


def commands(name):
    """Each command of a recipe's header: its number of ranks, and its words."""
    text = header(name)["Command"].replace("\\\n", " ")
    found = re.findall(r"^.*?(?:NPROC=(\d+) )?((?:python|bash) \S.*)$", text, re.MULTILINE)
    return [(int(ranks or 1), shlex.split(command)) for ranks, command in found]


def written(name):
    """The settings that stand in a recipe, by their dotted names."""
    flat = {}
    for group, content in yaml.safe_load((FOLDER / name).read_text()).items():
        flat |= {f"{group}.{key}": value for key, value in content.items()} if isinstance(content, dict) else {}
    return flat


@pytest.fixture
def images(make_folder):
    return make_folder(counts=IMAGES // 2)


@dataclass(frozen=True)
class Built:
    recipe: Recipe
    components: TrainComponents
    plan: SamplingPlan
    """At the recipe's own size."""
    batches: list
    """Of a few small images, an epoch of them."""

    @property
    def rates(self):
        return self.components.step.learning_rates.asnumpy()


@pytest.fixture
def build(images):
    """Puts a recipe's parts together as the trainer does, with a small network and images but its own schedule."""

    def make(name):
        recipe = read(name)
        micro_batches, repeats = recipe.train.accumulate_steps, recipe.augment.repeated_aug
        plan, total_steps = full_size(name, recipe)
        teacher = small_network(read("digits.yaml")) if recipe.distill.teacher else None
        components = setup.build(recipe, Runtime("CPU", "O0"), small_network(recipe), plan, total_steps, teacher)
        few = SamplingPlan(IMAGES, 2 * micro_batches if micro_batches > 1 else 4, 0, repeats)
        return Built(recipe, components, plan, batches(recipe, recipe.augment, images, few))

    return make


def full_size(name, recipe):
    """The sampling plan of a recipe with the images and the ranks of its command, and the steps of the run."""
    num_images, ranks = (RUNS[name].images, RUNS[name].ranks) if name in RUNS else (DIGITS[name], 1)
    batch_size = recipe.data.batch_size * recipe.train.accumulate_steps
    plan = SamplingPlan(num_images, batch_size, 0, recipe.augment.repeated_aug, 0, ranks)
    return plan, recipe.train.steps or recipe.train.epochs * plan.steps_per_epoch


def small_network(recipe):
    """The network without the weights to start from, at a small size."""
    has_pre_logits = settings_of(recipe).pre_logits_dim is not None
    sizes = {**SMALL, "pre_logits_dim": SMALL["embed_dim"]} if has_pre_logits else SMALL
    return create_model(recipe.model.name, num_classes=2, **{**recipe.model.overrides(), **sizes})


def settings_of(recipe):
    return override(model_config(recipe.model.name), **recipe.model.overrides())


def batches(recipe, augment, images, plan):
    split = open_source("folder", str(images)).train
    augment = replace(augment, flip=split.flip if augment.flip is None else augment.flip)
    config = override(settings_of(recipe), **SMALL)
    pipeline = train_pipeline(split, config, augment, plan, 1)
    return list(pipeline.create_tuple_iterator(num_epochs=1))


@every_recipe
def test_the_header_says_command_cost_accuracy_and_source(name):
    parts = header(name)
    assert {"Command", "Cost", "Source"} <= parts.keys()
    assert ("Expected" in parts) != ("Published" in parts)
    if "Published" in parts:
        assert "not reproduced by this project" in parts["Published"].replace("\n", " ").lower()


@every_recipe
def test_the_commands_are_of_this_recipe_and_can_be_given(name):
    found = commands(name)
    assert found
    for _, words in found:
        assert words[1] == "train.py" or (ROOT / words[1]).is_file()
        options = [word for word in words[2:] if word != "--config"]
        assert options[0] == f"configs/{name}"
        read(name, *options[1:])


def test_the_table_of_recipes_is_whole():
    listed = re.findall(r"`([\w.]+\.yaml)`", (FOLDER / "README.md").read_text())
    assert sorted(listed) == NAMES
    assert sorted([*RUNS, *DIGITS]) == NAMES


@pytest.mark.slow
@pytest.mark.parametrize("name", RUNS)
def test_batch_and_steps_are_those_of_the_source(name, build):
    run, built = RUNS[name], build(name)
    assert commands(name)[0][0] == run.ranks
    assert built.plan.samples_per_step == run.batch
    assert len(built.rates) == run.steps
    if run.images != EXAMPLE:
        assert header(name)["Cost"].startswith(f"{run.steps:,} steps of {run.batch:,} images")


def source_rates(name):
    found = REFERENCES["rates"][name]
    return REFERENCES["rates"][found] if isinstance(found, str) else found


def assert_rates(recipe, plan, total_steps, expected):
    assert (plan.steps_per_epoch, total_steps) == (expected["steps_per_epoch"], expected["total_steps"])
    rates = learning_rates(
        recipe.schedule, recipe.optimizer.peak_lr(plan.samples_per_step), total_steps, plan.steps_per_epoch
    )
    steps, values = zip(*expected["rates"], strict=True)
    np.testing.assert_allclose(rates[list(steps)], values, rtol=1e-6, atol=1e-12)


@every_recipe
def test_the_learning_rate_of_each_step_is_that_of_the_source(name):
    recipe = read(name)
    assert_rates(recipe, *full_size(name, recipe), source_rates(name))


def test_the_articles_other_schedule_is_that_of_pytorch():
    name = "article_finetune.yaml"
    recipe = read(name, *commands(name)[1][1][4:])
    assert_rates(recipe, *full_size(name, recipe), source_rates(f"{name}, second command"))


@every_recipe
def test_weight_decay_and_learning_rate_factor_of_each_parameter_are_those_of_the_source(name):
    recipe = read(name)
    sizes = {"depth": 3, "embed_dim": 32, "num_heads": 2, "mlp_dim": 64}
    sizes |= {"pre_logits_dim": 32} if settings_of(recipe).pre_logits_dim else {}
    config = override(settings_of(recipe), num_classes=2, **sizes)
    parameters = ViT(config).trainable_params()
    rules = make_rules(recipe.optimizer, config.depth, config.pool == "mean_norm")
    theirs = {item.name: their_name(config, item.name) for item in parameters}
    options = {theirs[item.name]: item for item in resolve_param_groups(parameters, rules)}
    expected = {key: (scale, decay) for scale, decay, names in REFERENCES["groups"][name] for key in names}
    # The bias of the keys is a part of qkv.bias in both.
    assert {key: (item.lr_scale, item.weight_decay) for key, item in options.items()} == {
        key: (pytest.approx(scale, rel=1e-12), decay) for key, (scale, decay) in expected.items()
    }


def their_name(config, name):
    """timm's name of a parameter."""
    (theirs,) = timm_key_map(config).to_theirs({name: np.zeros(1)})
    return theirs


@pytest.mark.slow
@every_recipe
def test_the_network_at_its_own_size_is_what_the_recipe_says(name):
    recipe = read(name)
    config = settings_of(recipe)
    settled = {**asdict(config), **asdict(config.preprocessing)}
    for key, value in written(name).items():
        group, _, field = key.partition(".")
        if group == "model" and field not in OF_WEIGHTS:
            assert settled[field] == (tuple(value) if isinstance(value, list) else as_number(value)), key
    if name in RUNS:
        assert forward_flops(config) / 2e9 == pytest.approx(RUNS[name].gmacs, rel=0.015)


def as_number(value):
    """YAML takes 1e-6, which has no point, for text."""
    return float(value) if isinstance(value, str) and re.fullmatch(r"[\d.]+e-?\d+", value) else value


LOSSES = {CrossEntropySmooth: "cross_entropy", BinaryCrossEntropySmooth: "bce"}


def loss_of(built):
    """The loss of the labels."""
    loss = built.components.step.loss
    return loss.loss if isinstance(loss, DistillationLoss) else loss


def optimizer_name(built):
    optimizer = built.components.step.optimizer
    decays = any(optimizer.weight_decays)
    return {SGD: "sgd", Lamb: "lamb", AdamW: "adamw" if decays else "adam"}[type(optimizer)]


# Where a setting is found in what was built. What stands in no table must be looked for by another test.
FOUND = {
    "loss.name": lambda built: LOSSES[type(loss_of(built))],
    "loss.label_smoothing": lambda built: loss_of(built).off_value * smoothed_classes(built),
    "loss.smoothing": lambda built: "all" if smoothed_classes(built) == loss_of(built).num_classes else "others",
    "loss.target_threshold": lambda built: loss_of(built).target_threshold,
    "optimizer.name": optimizer_name,
    "optimizer.momentum": lambda built: built.components.step.optimizer.momentum_factor.asnumpy().item(),
    "optimizer.weight_decay": lambda built: max(built.components.step.optimizer.weight_decays),
    "optimizer.weight_decay_params": lambda built: "all" if all(built.components.step.optimizer.weight_decays) else "",
    # The embeddings are three layers below the head of a network of two blocks.
    "optimizer.layer_decay": lambda built: min(built.components.step.optimizer.lr_scales) ** (1 / 3),
    "optimizer.clip_norm": lambda built: built.components.step.clip_norm,
    "ema.decay": lambda built: built.components.ema.decay.asnumpy().item(),
    "swa.start_epoch": lambda built: built.components.swa and built.recipe.swa.start_epoch,
    "distill.kind": lambda built: "hard" if built.components.step.loss.is_hard else "soft",
    "distill.alpha": lambda built: built.components.step.loss.alpha,
    "train.accumulate_steps": lambda built: built.components.step.micro_batches,
    "train.steps": lambda built: len(built.rates),
    "train.epochs": lambda built: len(built.rates) / built.plan.steps_per_epoch,
    "data.batch_size": lambda built: built.plan.batch_size / built.components.step.micro_batches,
    # These are the trainer's: they name files, images and the better of two epochs.
    "model.name": lambda built: built.recipe.model.name,
    "model.checkpoint": lambda built: built.recipe.model.checkpoint,
    "model.resize_pos_embed": lambda built: built.recipe.model.resize_pos_embed,
    "data.source": lambda built: built.recipe.data.source,
    "data.classes": lambda built: list(built.recipe.data.classes),
    "data.val_fraction": lambda built: built.recipe.data.val_fraction,
    "data.balanced_sampling": lambda built: built.recipe.data.balanced_sampling,
    "data.samples_per_class": lambda built: built.recipe.data.samples_per_class,
    "distill.teacher": lambda built: built.components.teacher and built.recipe.distill.teacher,
    "data.path": lambda built: built.recipe.data.path,
    "checkpoint.metric": lambda built: built.recipe.checkpoint.metric,
}
RATES = {f"schedule.{field.name}" for field in fields(ScheduleSettings)}
RATES |= {"optimizer.lr", "optimizer.lr_base_batch_size", "optimizer.rules"}
"""What the learning rates and the parameter groups of the sources stand for."""


def smoothed_classes(built):
    """The number of classes that label smoothing spreads over."""
    taken_from_true_class = 1 - loss_of(built).on_value
    keeps_its_share = taken_from_true_class < built.recipe.loss.label_smoothing * 0.999
    return loss_of(built).num_classes - (not keeps_its_share)


@pytest.mark.slow
@every_recipe
def test_every_setting_reaches_what_is_built(name, build):
    built, settings = build(name), written(name)
    network = {f"model.{field.name}" for field in fields(ModelSettings)}
    augment = {f"augment.{field.name}" for field in fields(AugmentSettings)}
    assert settings.keys() <= FOUND.keys() | network | augment | RATES
    for key in settings.keys() & FOUND.keys():
        value = as_number(settings[key])
        assert FOUND[key](built) == (pytest.approx(value, rel=1e-5) if isinstance(value, float) else value), key

    components, recipe = built.components, built.recipe
    step = components.step
    config = step.network.config
    small = {**asdict(config), **asdict(config.preprocessing)}
    for key, value in recipe.model.overrides().items():
        assert key in {*SMALL, "pre_logits_dim"} or small[key] == value, key
    assert config.distilled == isinstance(step.loss, DistillationLoss) == ("distill.teacher" in settings)
    assert (step.mixup is not None) == bool({"augment.mixup", "augment.cutmix"} & settings.keys())
    assert (step.clip_norm is not None) == ("optimizer.clip_norm" in settings)
    assert (min(step.optimizer.lr_scales) < 1) == ("optimizer.layer_decay" in settings)
    averages = {kind for kind in WeightsKind if any(key.startswith(f"{kind.value}.") for key in settings)}
    assert components.models.keys() == {WeightsKind.RAW, *averages}


@pytest.mark.slow
@every_recipe
def test_every_augmentation_changes_the_images(name, images):
    recipe, default = read(name), AugmentSettings()
    plan = SamplingPlan(IMAGES, 2, 0)

    def inputs(augment):
        own = replace(plan, repeated_aug=augment.repeated_aug)
        return [
            np.concatenate([batch[i].asnumpy().ravel() for batch in batches(recipe, augment, images, own)])
            for i in (0, 3)
        ]

    with_all = inputs(recipe.augment)
    for field in fields(AugmentSettings):
        if getattr(recipe.augment, field.name) != getattr(default, field.name):
            without = inputs(replace(recipe.augment, **{field.name: getattr(default, field.name)}))
            assert any((a != b).any() for a, b in zip(with_all, without, strict=True)), field.name


def distinct_graphs():
    """One recipe of each graph, with the small network."""
    found = {}
    for name in NAMES:
        recipe = read(name)
        small = {**plain(recipe), "model": {**plain(recipe.model), **SMALL}}
        config = asdict(settings_of(recipe)).items()
        own = [(key, kind_of(value)) for key, value in config if key not in (*SMALL, "preprocessing", "num_classes")]
        found.setdefault(repr((graph_of(small), own)), name)
    return list(found.values())


# ascend/test_recipes.py compiles the graph of every recipe.
@pytest.mark.slow
@pytest.mark.eager
@pytest.mark.parametrize("name", distinct_graphs())
def test_one_step_at_the_peak_trains_every_weight(name, build):
    built = build(name)
    step, ema, network = built.components.step, built.components.ema, built.components.step.network
    # A head of zeros, as fresh ones are, would pass no gradient on.
    values = np.random.default_rng(0).standard_normal(network.dense.weight.shape)
    network.dense.weight.set_data(ms.Tensor(values.astype(np.float32)))
    peak = int(built.rates.argmax())
    step.optimizer.step.set_data(ms.Tensor(peak, ms.int32))
    before, average = values_of(network.get_parameters()), values_of(ema.averages if ema else ())

    loss, norm, rate, updated = (value.asnumpy() for value in step.set_train(True)(*built.batches[0]))

    assert updated
    assert np.isfinite([loss, norm]).all()
    assert rate == built.rates[peak]
    assert step.optimizer.step.asnumpy() == peak + 1
    after, kept = values_of(network.get_parameters()), np.float32(built.recipe.ema.decay or 0)
    assert [name for name in before if (before[name] == after[name]).all()] == []
    for name, value in values_of(ema.averages if ema else ()).items():
        expected = kept * average[name] + (1 - kept) * after[name.removeprefix("ema.")]
        np.testing.assert_allclose(value, expected, rtol=1e-5, atol=1e-8)
        assert (value != average[name]).any()


def values_of(parameters):
    return {parameter.name: parameter.asnumpy().copy() for parameter in parameters}
