"""What a recipe's settings come to in the parts of a run."""

from dataclasses import replace
from types import SimpleNamespace

import mindspore as ms
import numpy as np
import pytest
from mindspore import Tensor, amp

from mindvit.data.augment.draw_mixup import draw_mixup
from mindvit.data.settings import AugmentSettings, DataSettings
from mindvit.data.sampling import SamplingPlan
from mindvit.errors import UserError
from mindvit.losses import BinaryCrossEntropySmooth, CrossEntropySmooth, LossSettings
from mindvit.models import ViT, ViTConfig
from mindvit.runtime import Runtime, RuntimeSettings
from mindvit.training.setup import build
from mindvit.training.averaged_model import AverageSettings
from mindvit.training.distillation import DistillationLoss, DistillationSettings, LossOfMean
from mindvit.training.optimizers import SGD, AdamW, OptimizerSettings
from mindvit.training.param_groups import ParamRule
from mindvit.training.recipe import Recipe, TrainSettings
from mindvit.training.run import resolve
from mindvit.training.lr_schedule import ScheduleSettings, learning_rates
from tests import numpy_vit

CONFIG = ViTConfig(image_size=8, patch_size=4, num_classes=3, embed_dim=16, depth=1, num_heads=2, mlp_dim=32)
CPU = Runtime("CPU", "O0")
COURSE = SamplingPlan(num_images=80, batch_size=8, seed=0)
STEPS = 20

# MindSpore compiles a cell again where another one was freed in the meantime.
alive = []


def vit(config=CONFIG):
    rng, network = np.random.default_rng(5), ViT(config)
    for parameter in network.get_parameters():
        values = 0.1 * rng.standard_normal(parameter.shape) + parameter.name.endswith("gamma")
        parameter.set_data(Tensor(values.astype(np.float32)))
    return network


def engine_of(runtime=CPU, course=COURSE, **groups):
    network = vit()
    engine = build(Recipe(**groups), runtime, network, course, STEPS)
    alive.append(engine)
    return engine, network


def run(engine, batches):
    engine.step.set_train()
    return [[output.asnumpy().item() for output in engine.step(*batch)] for batch in batches]


@pytest.fixture
def batches(rng):
    """Three batches and how each is mixed."""
    return [
        (
            Tensor(rng.standard_normal((8, 3, 8, 8)).astype(np.float32)),
            Tensor(rng.integers(0, 3, 8).astype(np.int32)),
            Tensor(rng.integers(-(2**31), 2**31, 8).astype(np.int32)),
            Tensor(draw_mixup(AugmentSettings(mixup=0.8), (8, 8), rng)),
        )
        for _ in range(3)
    ]


def values_of(network):
    return {parameter.name: parameter.asnumpy().copy() for parameter in network.get_parameters()}


def test_the_rates_are_those_of_the_schedule_at_the_peak_for_all_workers_images():
    schedule = ScheduleSettings("linear", warmup_epochs=1)
    optimizer = OptimizerSettings(lr=0.1, lr_base_batch_size=16)
    course = replace(COURSE, world_size=4)
    engine, _ = engine_of(course=course, schedule=schedule, optimizer=optimizer)
    expected = learning_rates(schedule, 0.1 * 32 / 16, STEPS, course.steps_per_epoch)
    np.testing.assert_array_equal(engine.step.learning_rates.asnumpy(), expected)


def test_nothing_is_on_that_was_not_asked_for():
    engine, network = engine_of()
    step = engine.step
    assert step.parts == 1
    assert [step.clip_norm, step.scaler, step.mixing, step.ema, engine.swa] == [None] * 5
    assert engine.averages == []
    assert engine.models.keys() == {""}
    assert isinstance(step.optimizer, AdamW)
    assert isinstance(step.loss, CrossEntropySmooth)
    assert step.network is network
    assert (step.teacher, engine.teacher) == (None, None)


@pytest.mark.parametrize("distilled", [False, True], ids=["one head", "two heads"])
def test_a_teacher_and_the_settings_of_learning_from_it_reach_the_step(distilled):
    student, teacher = vit(replace(CONFIG, distilled=distilled)), vit(replace(CONFIG, depth=2))
    recipe = Recipe(distill=DistillationSettings("t.ckpt", "soft", 0.3, 2.0), loss=LossSettings("bce", 0.2))
    engine = build(recipe, CPU, student, COURSE, STEPS, teacher)
    alive.append(engine)
    loss = engine.step.loss
    assert isinstance(loss, DistillationLoss)
    assert (loss.is_hard, loss.alpha, loss.temperature) == (False, 0.3, 2.0)
    assert isinstance(loss.loss, BinaryCrossEntropySmooth)
    assert engine.step.teacher.network is teacher
    assert engine.teacher == teacher.config
    assert engine.models.keys() == {""}
    assert {parameter.name for parameter in engine.step.weights} == {item.name for item in student.get_parameters()}


def test_two_heads_without_a_teacher_have_the_loss_of_their_mean():
    student = vit(replace(CONFIG, distilled=True))
    engine = build(Recipe(loss=LossSettings("bce", 0.2)), CPU, student, COURSE, STEPS)
    alive.append(engine)
    assert isinstance(engine.step.loss, LossOfMean)
    assert isinstance(engine.step.loss.loss, BinaryCrossEntropySmooth)


def test_every_setting_reaches_its_part():
    engine, _ = engine_of(
        Runtime("CPU", "O2", world_size=1),
        optimizer=OptimizerSettings("sgd", clip_norm=0.7, momentum=0.6),
        loss=LossSettings("bce", 0.2),
        average=AverageSettings(ema_decay=0.9, ema_warmup=True, swa_start_epoch=2),
        augment=AugmentSettings(cutmix=1.0),
        train=TrainSettings(accumulate_steps=4),
    )
    step = engine.step
    assert (step.parts, step.clip_norm) == (4, 0.7)
    assert isinstance(step.scaler, amp.DynamicLossScaler)
    assert isinstance(step.optimizer, SGD)
    assert step.optimizer.share.asnumpy() == np.float32(0.6)
    assert isinstance(step.loss, BinaryCrossEntropySmooth)
    assert step.loss.on_value == 0.8
    assert step.mixing is not None
    assert step.ema is engine.ema
    assert engine.ema.warmup and engine.ema.decay.asnumpy() == np.float32(0.9)
    assert engine.averages == [engine.ema, engine.swa]
    assert engine.models.keys() == {"", "ema", "swa"}


@pytest.mark.parametrize(("settings", "mixes"), [({"mixup": 0.2}, True), ({"cutmix": 0.2}, True), ({}, False)])
def test_batches_are_mixed_where_a_setting_says_so(settings, mixes):
    assert (engine_of(augment=AugmentSettings(**settings))[0].step.mixing is not None) is mixes


def test_linear_probing_trains_the_head_alone_and_keeps_no_state_of_the_rest(batches):
    engine, network = engine_of(optimizer=OptimizerSettings(linear_probing=True, clip_norm=1.0))
    before = values_of(network)
    outputs = run(engine, batches)
    after = values_of(network)
    assert {name for name in before if (before[name] != after[name]).any()} == {"dense.weight", "dense.bias"}
    states = [item.name for item in engine.step.get_parameters() if item.name not in before]
    slots = [f"optimizer.{slot}.dense.{part}" for slot in ("exp_avg", "exp_avg_sq") for part in ("weight", "bias")]
    assert sorted(states) == sorted(["optimizer.step", *slots])
    assert "frozen" in engine.groups
    assert all(finite for *_, finite in outputs)


def test_the_recipe_that_is_written_tells_what_the_runtime_came_to():
    source = SimpleNamespace(train=SimpleNamespace(flip=True))
    asked = Recipe(data=DataSettings(path="images"), runtime=RuntimeSettings(half="bfloat16"))
    chosen = Runtime("Ascend", "O2", half="bfloat16", fused_attention=True, data_sink=True)
    written = resolve(asked, chosen, source, vit()).runtime
    assert written == RuntimeSettings("Ascend", "O2", "bfloat16", fused_attention=True, data_sink=True)


def test_rules_that_fit_nothing_are_refused():
    with pytest.raises(UserError, match="matches no parameter"):
        engine_of(optimizer=OptimizerSettings(rules=[ParamRule("headd.*", frozen=True)]))


@pytest.fixture
def at_both_precisions(batches):
    """At float32 and at O2: the engine, the network, and what steps returned of which the third one has no gradient."""
    results = []
    images, *rest = batches[2]
    broken = [*batches[:2], (images * float("nan"), *rest), batches[2]]
    for precision in ("O0", "O2"):
        engine, network = engine_of(
            Runtime("CPU", precision),
            optimizer=OptimizerSettings(lr=0.01, clip_norm=1.0),
            schedule=ScheduleSettings("linear"),
            average=AverageSettings(ema_decay=0.5, swa_start_epoch=1),
            augment=AugmentSettings(mixup=0.8),
        )
        outputs = run(engine, broken)
        engine.swa()
        results.append((engine, network, np.array(outputs)))
    return results


def test_a_run_at_o2_scales_its_loss_and_keeps_to_the_one_in_float32(at_both_precisions, rng):
    (*_, outputs), (engine, halved, at_o2) = at_both_precisions
    for columns in (outputs, at_o2):
        assert columns[:, 3].tolist() == [1, 1, 0, 1]
        np.testing.assert_allclose(columns[:, 2], [0.01, 0.0095, 0.009, 0.009], rtol=1e-6)
    good = outputs[:, 3] == 1
    np.testing.assert_allclose(at_o2[good, :2], outputs[good, :2], rtol=0.02)
    assert (at_o2[good, :2] != outputs[good, :2]).any(), "float16 rounds"
    assert engine.step.loss_scale.asnumpy() == 2**15
    assert {parameter.dtype for parameter in halved.get_parameters()} == {ms.float32}

    # An average is evaluated at the run's precision, with its own weights.
    images = rng.standard_normal((8, 3, 8, 8)).astype(np.float32)
    own = {"": values_of(halved)}
    for kind, average in (("ema", engine.ema), ("swa", engine.swa)):
        own[kind] = {name: tensor.asnumpy() for name, tensor in average.tensors().items()}
    in_float64 = {kind: numpy_vit.vit(images, weights, CONFIG.num_heads) for kind, weights in own.items()}
    for kind, expected in in_float64.items():
        cell = engine.models[kind].eval_network.set_train(False)
        logits, labels = (output.asnumpy() for output in cell(Tensor(images), Tensor(np.arange(8, dtype=np.int32))))
        assert logits.dtype == np.float32
        assert 1e-5 < np.abs(logits - expected).max() < 0.01
        np.testing.assert_array_equal(labels, np.arange(8))
    assert np.abs(in_float64["ema"] - in_float64[""]).max() > 0.02
    np.testing.assert_allclose(in_float64["swa"], in_float64[""], atol=1e-5, err_msg="it took the weights once")
