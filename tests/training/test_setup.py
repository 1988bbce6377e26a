"""What the settings of a recipe become in the components of a run."""

from dataclasses import replace
from types import SimpleNamespace

import mindspore as ms
import numpy as np
import pytest
from mindspore import Tensor, amp

from mindvit.data.augment.draw_mixup import draw_mixup
from mindvit.data.settings import AugmentSettings, DataSettings
from mindvit.errors import UserError
from mindvit.losses import BinaryCrossEntropySmooth, CrossEntropySmooth, LossSettings
from mindvit.run_metrics import WeightsKind
from mindvit.runtime import Runtime, RuntimeSettings
from mindvit.training.distillation import DistillationLoss, DistillationSettings, LossOfMean
from mindvit.training.ema import EMASettings
from mindvit.training.lr_schedule import ScheduleSettings, learning_rates
from mindvit.training.optimizer_settings import OptimizerSettings, ParamRule
from mindvit.training.optimizers import SGD, AdamW
from mindvit.training.recipe import Recipe, TrainSettings
from mindvit.training.setup import resolve
from mindvit.training.swa import SWASettings
from tests import numpy_vit
from tests.training.builders import PLAN, SIZES, STEPS, build_components, random_vit, values_of

pytestmark = pytest.mark.eager


def take_steps(components, batches):
    components.step.set_train()
    return [[output.asnumpy().item() for output in components.step(*batch)] for batch in batches]


@pytest.fixture
def batches(rng):
    """Three batches, with the parameters of their mixup."""
    return [
        (
            Tensor(rng.standard_normal((8, 3, 8, 8)).astype(np.float32)),
            Tensor(rng.integers(0, 3, 8).astype(np.int32)),
            Tensor(rng.integers(-(2**31), 2**31, 8).astype(np.int32)),
            Tensor(draw_mixup(AugmentSettings(mixup=0.8), (8, 8), rng)),
        )
        for _ in range(3)
    ]


def test_the_learning_rates_follow_the_schedule_at_the_peak_for_the_images_of_all_ranks():
    schedule = ScheduleSettings("linear", warmup_epochs=1)
    optimizer = OptimizerSettings(lr=0.1, lr_base_batch_size=16)
    plan = replace(PLAN, world_size=4)
    components = build_components(random_vit(), plan=plan, schedule=schedule, optimizer=optimizer)
    expected = learning_rates(schedule, 0.1 * 32 / 16, STEPS, plan.steps_per_epoch)
    np.testing.assert_array_equal(components.step.learning_rates.asnumpy(), expected)


def test_what_a_run_is_too_short_for_is_noted_at_its_start():
    too_late = {"schedule": ScheduleSettings(warmup_epochs=9), "swa": SWASettings(start_epoch=9)}
    with pytest.warns(UserWarning) as notes:
        build_components(random_vit(), **too_late)
    late, short = (str(note.message) for note in notes)
    assert "swa.start_epoch 9 is after the last epoch" in late
    assert "the whole run lies in the warmup" in short


@pytest.mark.parametrize(("pool", "factor"), [("mean", 0.5), ("mean_norm", 1.0)])
def test_only_a_norm_before_the_pooling_is_in_the_layer_of_the_last_block(pool, factor):
    network = random_vit(pool=pool)
    components = build_components(network, optimizer=OptimizerSettings(layer_decay=0.5, layer_decay_norm="last_block"))
    optimizer = components.step.optimizer
    scales = dict(zip((item.name for item in optimizer.parameters), optimizer.lr_scales, strict=True))
    assert (scales["norm.gamma"], scales["dense.weight"]) == (factor, 1.0)


def test_optional_parts_are_off_by_default():
    network = random_vit()
    components = build_components(network)
    step = components.step
    assert step.micro_batches == 1
    assert [step.clip_norm, step.scaler, step.mixup, step.ema, components.swa] == [None] * 5
    assert components.averages == []
    assert components.models.keys() == {WeightsKind.RAW}
    assert isinstance(step.optimizer, AdamW)
    assert isinstance(step.loss, CrossEntropySmooth)
    assert step.network is network
    assert (step.teacher, components.teacher) == (None, None)


@pytest.mark.parametrize("distilled", [False, True], ids=["one head", "two heads"])
def test_a_teacher_and_the_distillation_settings_reach_the_step(distilled):
    student, teacher = random_vit(distilled=distilled), random_vit(depth=2)
    groups = {"distill": DistillationSettings("t.ckpt", "soft", 0.3, 2.0), "loss": LossSettings("bce", 0.2)}
    components = build_components(student, teacher=teacher, **groups)
    loss = components.step.loss
    assert isinstance(loss, DistillationLoss)
    assert (loss.is_hard, loss.alpha, loss.temperature) == (False, 0.3, 2.0)
    assert isinstance(loss.loss, BinaryCrossEntropySmooth)
    assert components.step.teacher.network is teacher
    assert components.teacher == teacher.config
    assert components.models.keys() == {WeightsKind.RAW}
    weights = {parameter.name for parameter in components.step.weights}
    assert weights == {parameter.name for parameter in student.get_parameters()}


def test_two_heads_without_a_teacher_have_the_loss_of_their_mean():
    components = build_components(random_vit(distilled=True), loss=LossSettings("bce", 0.2))
    assert isinstance(components.step.loss, LossOfMean)
    assert isinstance(components.step.loss.loss, BinaryCrossEntropySmooth)


def test_every_setting_reaches_its_component():
    components = build_components(
        random_vit(),
        Runtime("CPU", "O2", world_size=1),
        optimizer=OptimizerSettings("sgd", clip_norm=0.7, momentum=0.6),
        loss=LossSettings("bce", 0.2),
        ema=EMASettings(decay=0.9, warmup=True),
        swa=SWASettings(start_epoch=2),
        augment=AugmentSettings(cutmix=1.0),
        train=TrainSettings(accumulate_steps=4),
    )
    step = components.step
    assert (step.micro_batches, step.clip_norm) == (4, 0.7)
    assert isinstance(step.scaler, amp.DynamicLossScaler)
    assert isinstance(step.optimizer, SGD)
    assert step.optimizer.momentum_factor.asnumpy() == np.float32(0.6)
    assert isinstance(step.loss, BinaryCrossEntropySmooth)
    assert step.loss.on_value == 0.8
    assert step.mixup is not None
    assert step.ema is components.ema
    assert components.ema.warmup and components.ema.decay.asnumpy() == np.float32(0.9)
    assert components.averages == [components.ema, components.swa]
    assert components.models.keys() == {WeightsKind.RAW, WeightsKind.EMA, WeightsKind.SWA}


@pytest.mark.parametrize(("settings", "mixes"), [({"mixup": 0.2}, True), ({"cutmix": 0.2}, True), ({}, False)])
def test_batches_are_mixed_if_mixup_or_cutmix_is_on(settings, mixes):
    components = build_components(random_vit(), augment=AugmentSettings(**settings))
    assert (components.step.mixup is not None) is mixes


def test_linear_probing_trains_the_head_only_and_has_no_optimizer_states_of_the_rest(batches):
    network = random_vit()
    components = build_components(network, optimizer=OptimizerSettings(linear_probing=True, clip_norm=1.0))
    before = values_of(network)
    outputs = take_steps(components, batches)
    after = values_of(network)
    assert {name for name in before if (before[name] != after[name]).any()} == {"dense.weight", "dense.bias"}
    states = [item.name for item in components.step.get_parameters() if item.name not in before]
    slots = [f"optimizer.{slot}.dense.{part}" for slot in ("exp_avg", "exp_avg_sq") for part in ("weight", "bias")]
    assert sorted(states) == sorted(["optimizer.step", *slots])
    assert "frozen" in components.groups
    assert all(finite for *_, finite in outputs)


def test_the_resolved_recipe_has_the_actual_runtime_settings():
    source = SimpleNamespace(train=SimpleNamespace(flip=True))
    recipe = Recipe(data=DataSettings(path="images"), runtime=RuntimeSettings(amp_dtype="bfloat16"))
    runtime = Runtime("Ascend", "O2", amp_dtype="bfloat16", fused_attention=True, data_sink=True)
    resolved = resolve(recipe, runtime, source, random_vit()).runtime
    actual = {"fused_attention": True, "flat_weights": False, "jit_level": "O0", "data_sink": True}
    assert resolved == RuntimeSettings("Ascend", "O2", "bfloat16", **actual)


def test_a_rule_that_matches_no_parameter_is_an_error():
    with pytest.raises(UserError, match="matches no trainable parameter"):
        build_components(random_vit(), optimizer=OptimizerSettings(rules=[ParamRule("headd.*", frozen=True)]))


@pytest.fixture
def at_both_levels(batches):
    """At O0 and at O2: the components, the network, and the outputs of four steps. The third gradient is not finite."""
    results = []
    images, *rest = batches[2]
    with_nan = [*batches[:2], (images * float("nan"), *rest), batches[2]]
    for amp_level in ("O0", "O2"):
        network = random_vit()
        components = build_components(
            network,
            Runtime("CPU", amp_level),
            optimizer=OptimizerSettings(lr=0.01, clip_norm=1.0),
            schedule=ScheduleSettings("linear"),
            ema=EMASettings(decay=0.5),
            swa=SWASettings(start_epoch=1),
            augment=AugmentSettings(mixup=0.8),
        )
        outputs = take_steps(components, with_nan)
        components.swa()
        results.append((components, network, np.array(outputs)))
    return results


@pytest.mark.slow
def test_a_run_at_o2_scales_its_loss_and_agrees_with_the_run_in_float32(at_both_levels, rng):
    (*_, outputs), (components, network, at_o2) = at_both_levels
    for columns in (outputs, at_o2):
        assert columns[:, 3].tolist() == [1, 1, 0, 1]
        np.testing.assert_allclose(columns[:, 2], [0.01, 0.0095, 0.009, 0.009], rtol=1e-6)
    finite = outputs[:, 3] == 1
    np.testing.assert_allclose(at_o2[finite, :2], outputs[finite, :2], rtol=0.02)
    assert (at_o2[finite, :2] != outputs[finite, :2]).any(), "float16 rounds"
    assert components.step.loss_scale.asnumpy() == 2**15
    assert {parameter.dtype for parameter in network.get_parameters()} == {ms.float32}

    # An average is evaluated at the precision of the run, with its own weights.
    images = rng.standard_normal((8, 3, 8, 8)).astype(np.float32)
    weights = {WeightsKind.RAW: values_of(network)}
    for kind, average in ((WeightsKind.EMA, components.ema), (WeightsKind.SWA, components.swa)):
        weights[kind] = {name: tensor.asnumpy() for name, tensor in average.tensors().items()}
    in_float64 = {kind: numpy_vit.vit(images, values, SIZES["num_heads"]) for kind, values in weights.items()}
    for kind, expected in in_float64.items():
        cell = components.models[kind].eval_network.set_train(False)
        logits, labels = (output.asnumpy() for output in cell(Tensor(images), Tensor(np.arange(8, dtype=np.int32))))
        assert logits.dtype == np.float32
        assert 1e-5 < np.abs(logits - expected).max() < 0.01
        np.testing.assert_array_equal(labels, np.arange(8))
    raw = in_float64[WeightsKind.RAW]
    assert np.abs(in_float64[WeightsKind.EMA] - raw).max() > 0.02
    np.testing.assert_allclose(in_float64[WeightsKind.SWA], raw, atol=1e-5, err_msg="it averaged the weights once")
