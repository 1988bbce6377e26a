"""Forms of operators compute the same."""

import numpy as np
import pytest

from mindvit.benchmark.contestants import contestants
from mindvit.benchmark_worker.operator_cells import make_operator
from mindvit.data.settings import DataSettings
from mindvit.factory import ModelSettings
from mindvit.training.recipe import Recipe

pytestmark = pytest.mark.eager
SIZES = {"name": "vit_mini_4_32", "depth": 1, "embed_dim": 32, "num_heads": 2, "mlp_dim": 64}


def recipe(**settings):
    return Recipe(model=ModelSettings(**{**SIZES, **settings}), data=DataSettings(batch_size=2))


def computed(operator, form, backward=False, **settings):
    cell, inputs, images = make_operator(operator, form, recipe(**settings), backward)
    assert images == 2
    outputs = cell(*inputs)
    return (outputs[0] if isinstance(outputs, tuple) else outputs).asnumpy()


@pytest.mark.parametrize("backward", [False, True])
def test_forms_of_gelu_agree(backward):
    own, *others = (computed("gelu", one.name, backward) for one in contestants("gelu", ()))
    assert own.shape == (2, 65, 64)
    for other in others:
        np.testing.assert_allclose(other, own, atol=2e-3)
    assert np.abs(own).max() > 1


def test_local_attention_with_a_window_over_the_whole_grid_is_full_attention():
    local, full = (computed("local_attention", form, window_size=15) for form in ("local", "full"))
    np.testing.assert_allclose(local, full, atol=1e-5)


def test_every_optimizer_changes_the_weights():
    for one in contestants("optimizer", ()):
        # The head is zero at the start.
        assert np.abs(computed("optimizer", one.name, image_size=8)).max() > 0, one.name
