from functools import cache

import mindspore as ms
import numpy as np
import pytest
from mindspore import Parameter, Tensor, nn, ops

from mindvit.data.sampling import SamplingPlan
from mindvit.factory import create_model
from mindvit.graph_cache import graph_fingerprint as module
from mindvit.graph_cache.graph_fingerprint import NotIdentifiableError, fingerprint, process_fingerprint
from mindvit.parsing import parse
from mindvit.runtime import Runtime
from mindvit.training.recipe import Recipe
from mindvit.training.setup import build
from tests.conftest import ROOT, TINY

INPUTS = (Tensor(np.zeros((4, 3, 8, 8), np.float32)), Tensor(np.zeros(4, np.int32)))


def step_fingerprint(class_weights=None, world_size=1, **changes):
    """The fingerprint of the training step of a small network."""
    settings = {f"model.{name}": value for name, value in TINY.items()} | changes
    options = [part for name, value in settings.items() for part in (f"--{name.replace('__', '.')}", str(value))]
    recipe = parse(Recipe, "", ["--config", str(ROOT / "configs/digits.yaml"), *options])[0]
    network = create_model(recipe.model.name, num_classes=10, **recipe.model.overrides())
    runtime = Runtime("CPU", recipe.runtime.amp_level, world_size=world_size)
    components = build(recipe, runtime, network, SamplingPlan(100, 4, recipe.train.seed), 20, None, class_weights)
    return fingerprint(components.step.set_train(True), INPUTS)


@cache
def first_fingerprint():
    return step_fingerprint()


@pytest.fixture
def first(seeded):
    return first_fingerprint()


CHANGES = {
    "optimizer__lr": 1e-2,
    "optimizer__weight_decay": 0.3,
    "optimizer__clip_norm": 0.1,
    "optimizer__eps": 1e-5,
    "optimizer__betas": "[0.8, 0.999]",
    "optimizer__layer_decay": 0.5,
    "optimizer__name": "sgd",
    "schedule__warmup_epochs": 0,
    "loss__label_smoothing": 0.3,
    "loss__focal_gamma": 2,
    "model__drop_path": 0.5,
    "model__dropout": 0.3,
    "model__layer_scale": 0.1,
    "model__norm_eps": 1e-5,
    "model__depth": 2,
    "model__pool": "mean",
    "ema__decay": 0.5,
    "train__accumulate_steps": 2,
    "runtime__amp_level": "O2",
}


@pytest.mark.parametrize("name", CHANGES)
def test_a_setting_that_acts_on_the_graph_changes_the_fingerprint(first, name):
    assert step_fingerprint(**{name: CHANGES[name]}) != first


def test_recomputation_changes_the_fingerprint(first):
    assert step_fingerprint(train__recompute="true") != first


def test_class_weights_and_the_number_of_ranks_change_the_fingerprint(first):
    weights = [np.full(10, 1, np.float32), np.full(10, 2, np.float32)]
    assert len({first, *(step_fingerprint(weight) for weight in weights), step_fingerprint(world_size=2)}) == 4


@pytest.mark.parametrize("changes", [{}, {"output_dir": "elsewhere"}, {"train__log_steps": 3}])
def test_the_same_graph_has_the_same_fingerprint_in_another_run(first, changes):
    assert step_fingerprint(**changes) == first


class Scale(nn.Cell):
    def __init__(self, held):
        super().__init__()
        self.held = held

    def construct(self, x):
        return x * self.held


Scale.__module__ = "mindvit.scale"


def of(held, inputs=INPUTS):
    return fingerprint(Scale(held), inputs)


DIFFERENT = [
    Tensor([1.0, 2.0], ms.float32),
    Tensor([1.0, 3.0], ms.float32),
    Tensor([1.0, 2.0], ms.float16),
    Tensor([[1.0], [2.0]], ms.float32),
    np.array([1.0, 2.0]),
    np.array([1.0, 2.5]),
    1,
    1.0,
    True,
    "1",
    (1,),
    (1, 2),
    ((1,), 2),
    {"a": 1},
    {"b": 1},
    {"a", "b"},
    ms.float16,
    ms.float32,
    ops.MatMul(),
    ops.MatMul(transpose_b=True),
    ops.ReLU(),
    nn.ReLU(),
    nn.GELU(),
    nn.GELU(approximate=False),
    np.sum,
    Parameter(Tensor([1.0]), name="a"),
    Parameter(Tensor([1.0]), name="b"),
    Parameter(Tensor([1.0]), name="a", requires_grad=False),
    Parameter(Tensor([1.0, 2.0]), name="a"),
]


def test_every_constant_of_a_cell_counts():
    found = [of(held) for held in DIFFERENT]
    assert len(set(found)) == len(DIFFERENT)
    assert [of(held) for held in DIFFERENT] == found


def test_the_value_of_a_parameter_does_not_count():
    assert of(Parameter(Tensor([1.0]), name="a")) == of(Parameter(Tensor([2.0]), name="a"))


def test_sharing_counts():
    shared = nn.ReLU()
    assert of(nn.CellList([shared, shared])) != of(nn.CellList([nn.ReLU(), nn.ReLU()]))


def test_shape_and_dtype_of_inputs_count_but_not_their_values():
    ones = (Tensor(np.ones((4, 3, 8, 8), np.float32)), INPUTS[1])
    assert of(1, ones) == of(1)
    assert of(1, (INPUTS[0][:2], INPUTS[1])) != of(1)
    assert of(1, (INPUTS[0].astype(ms.float16), INPUTS[1])) != of(1)
    assert of(1, (*INPUTS, None)) != of(1)


def test_training_and_evaluation_have_graphs_of_their_own():
    cell = Scale(1)
    assert fingerprint(cell.set_train(True), INPUTS) != fingerprint(cell.set_train(False), INPUTS)


@pytest.mark.parametrize("held", [object(), {object()}, np.array([object()]), pytest.raises])
def test_what_cannot_be_identified_is_an_error(held):
    with pytest.raises(NotIdentifiableError):
        of(held)


def test_a_cell_of_another_package_cannot_be_identified():
    class Foreign(nn.Cell):
        pass

    with pytest.raises(NotIdentifiableError, match=r"Foreign is not part of this project"):
        of(Foreign())


def test_a_parameter_outside_the_cell_is_an_error():
    cell = Scale(1)
    object.__setattr__(cell, "held", Parameter(Tensor([1.0]), name="outside"))
    with pytest.raises(NotIdentifiableError, match="the parameter outside does not belong to the cell"):
        fingerprint(cell, INPUTS)


def test_the_process_counts(monkeypatch, tmp_path):
    plain = process_fingerprint({})
    assert process_fingerprint({"HOME": "a", "MS_SCHED_PORT": "8118"}) == plain
    assert process_fingerprint({"MS_DEV_JIT_SYNTAX_LEVEL": "0"}) != plain
    assert process_fingerprint({"RANK_ID": "0"}) != process_fingerprint({"RANK_ID": "1"})
    ms.set_context(max_call_depth=2000)
    try:
        assert process_fingerprint({}) != plain
    finally:
        ms.set_context(max_call_depth=1000)
    assert process_fingerprint({}) == plain


@pytest.mark.parametrize("changed", ["source", "mindspore", "processor"])
def test_software_and_processor_count(monkeypatch, tmp_path, changed):
    (tmp_path / "__init__.py").write_text("a = 1")
    monkeypatch.setattr(module.mindvit, "__file__", str(tmp_path / "__init__.py"))
    monkeypatch.setattr(module, "processor_identity", lambda: "one")
    before = module._software.__wrapped__()
    assert module._software.__wrapped__() == before
    if changed == "source":
        (tmp_path / "__init__.py").write_text("a = 2")
    elif changed == "mindspore":
        monkeypatch.setattr(ms, "__version__", "2.99.0")
    else:
        monkeypatch.setattr(module, "processor_identity", lambda: "another")
    assert module._software.__wrapped__() != before
