"""Memory and communication by formula: beside hand arithmetic, the step's own parameters, and published formulas."""

import re
import runpy
import shlex
from dataclasses import replace

import numpy as np
import pytest

from mindvit.losses import CrossEntropySmooth
from mindvit.models import ViT, ViTConfig
from mindvit.analysis.counting import parameter_count
from mindvit.models.variants import model_config
from mindvit.training.averaged_model import ExponentialMovingAverage
from mindvit.analysis.memory import Job, block_activations, communication_bytes, communication_seconds, footprint
from mindvit.training.optimizers import OptimizerSettings, make_optimizer
from mindvit.training.param_groups import make_rules, resolve_param_groups
from mindvit.training.step import TrainStep
from tests.conftest import ROOT

# 4 patches and a class token: T = 5, D = 8, M = 16, H = 2.
SMALL = ViTConfig(image_size=8, patch_size=4, embed_dim=8, depth=2, num_heads=2, mlp_dim=16, num_classes=3)
# Patches 3*16*8 + 8, class token 8, positions 5*8; two blocks of norms 4*8, qkv 9*24, out 9*8, dense 9*16 and 17*8;
# norm 2*8; head 9*3.
WEIGHTS = 392 + 8 + 40 + 2 * (32 + 216 + 72 + 144 + 136) + 16 + 27
# Each token's row has 8 numbers, and each norm keeps two more. Of a block: norms in, norms out, q, k and v, softmax,
# heads' output, hidden layer before and after GELU.
BLOCK = 4 * (2 * 5 * 10 + 2 * 40 + 3 * 40 + 2 * 25 + 40 + 2 * 80)
BLOCK_O2 = 4 * 2 * 5 * 10 + 2 * (2 * 40 + 3 * 40 + 2 * 25 + 40 + 2 * 80)
PIXELS = 3 * 8 * 8
LAST_NORM = 4 * 5 * 10


def test_every_term_is_that_of_hand_arithmetic():
    taken = footprint(SMALL, Job(batch_size=3, ema=True, accumulate_steps=2))
    assert taken.weights == 4 * WEIGHTS
    assert taken.gradients == 2 * 4 * WEIGHTS
    assert taken.optimizer == 2 * 4 * WEIGHTS
    assert taken.ema == 4 * WEIGHTS
    assert taken.half_copies == 0
    assert taken.activations == 3 * (4 * PIXELS + 4 * PIXELS + 2 * BLOCK + LAST_NORM)
    assert taken.total == 6 * 4 * WEIGHTS + taken.activations
    assert taken.communication == 0

    half = footprint(SMALL, Job(batch_size=1, optimizer="sgd", precision="O2", recompute=True))
    assert half.gradients == half.optimizer == 4 * WEIGHTS
    assert half.ema == 0
    assert half.half_copies == 2 * WEIGHTS
    assert half.activations == 4 * PIXELS + 2 * PIXELS + (2 * 2 * 40 + BLOCK_O2) + LAST_NORM
    assert half.total == (4 + 4 + 4 + 2) * WEIGHTS + half.activations


def test_divided_states_are_a_share_of_the_moments_and_of_the_weights():
    share = 4 * -(-WEIGHTS // 8)
    divided = Job(batch_size=1, workers=8, shard_states=True)
    assert footprint(SMALL, divided).optimizer == 3 * share
    assert footprint(SMALL, replace(divided, optimizer="sgd")).optimizer == 2 * share
    assert footprint(SMALL, replace(divided, shard_states=False)).optimizer == 2 * 4 * WEIGHTS
    alone = Job(batch_size=1)
    assert footprint(SMALL, replace(alone, shard_states=True)) == footprint(SMALL, alone), "nothing to divide"


@pytest.mark.parametrize(
    ("change", "numbers"),
    [
        # Of 4 bytes each: T D = 40, T M = 80, H T^2 = 50, and two of each head's token for a norm.
        ({"layer_scale": 1e-4}, 2 * 40),
        ({"qk_norm": True}, 2 * (40 + 2 * 2 * 5)),
        ({"dropout": 0.1}, 2 * 40 + 80),
        ({"attention_dropout": 0.1}, 2 * 50),
        ({"block_dropout": 0.1}, 40),
        ({"drop_path": 0.1}, 0),
        ({"pos_embed": "relative"}, 0),
        ({"register_tokens": 1}, (2 * 10 + 6 * 8 + 2 * 16) + 2 * (36 - 25)),
        ({"patch_dropout": 0.5}, -2 * (2 * 10 + 6 * 8 + 2 * 16) - 2 * (25 - 9)),
    ],
)
def test_a_construction_adds_what_its_gradient_needs(change, numbers):
    assert block_activations(replace(SMALL, **change)) - BLOCK == 4 * numbers


@pytest.mark.parametrize(
    ("change", "numbers"),
    [
        ({"pool": "mean", "class_token": True}, 0),
        ({"pool": "mean_norm", "class_token": True}, -5 * 10),
        ({"pool": "map", "class_token": True}, 3 * 40 + 2 * 5),
        ({"dropout": 0.1}, 40 + 2 * (2 * 40 + 80)),
    ],
)
def test_what_is_kept_of_all_tokens_beside_the_blocks_is_counted(change, numbers):
    before, after = (footprint(config, Job(batch_size=1)) for config in (SMALL, replace(SMALL, **change)))
    assert after.activations - before.activations == 4 * numbers


@pytest.mark.parametrize("change", [{"stem": "r26", "patch_size": 32, "image_size": 32}, {"window_size": 3}])
def test_what_is_not_derived_is_not_counted(change):
    taken = footprint(replace(SMALL, **change), Job(batch_size=1))
    assert taken.activations is None and taken.total is None
    assert taken.weights == 4 * parameter_count(replace(SMALL, **change))


@pytest.mark.parametrize("optimizer", ["adamw", "adam", "lamb", "sgd"])
@pytest.mark.parametrize("accumulate_steps", [1, 2])
@pytest.mark.parametrize("has_ema", [False, True])
def test_what_lasts_is_what_the_step_cell_holds(optimizer, accumulate_steps, has_ema):
    network = ViT(SMALL)
    parameters = network.trainable_params()
    settings = OptimizerSettings(optimizer)
    rules = resolve_param_groups(parameters, make_rules(settings, SMALL.depth))
    step = TrainStep(
        network,
        CrossEntropySmooth(3),
        make_optimizer(settings, parameters, rules),
        np.float32([1e-3]),
        accumulate_steps=accumulate_steps,
        ema=ExponentialMovingAverage(network, 0.9) if has_ema else None,
    )
    held = {item.name: item.asnumpy().nbytes for item in step.get_parameters() if item.shape}
    taken = footprint(SMALL, Job(1, optimizer, accumulate_steps=accumulate_steps, ema=has_ema))
    passing = taken.weights  # The gradient itself is no parameter; the sum of the parts' is.
    assert sum(held.values()) == taken.weights + taken.gradients - passing + taken.optimizer + taken.ema


@pytest.mark.parametrize("name", ["vit_ti_16_224", "vit_b_16_224", "vit_h_14_224"])
def test_a_block_keeps_what_the_literature_says(name):
    # Korthikanti et al. (2022), eq. 1: s b h (34 + 5 a s / h) bytes, all in 16 bit and with three dropouts.
    config = model_config(name)
    s, h, a = 1 + config.num_patches, config.embed_dim, config.num_heads
    published = s * h * (34 + 5 * a * s / h)
    masks = 2 * s * h + a * s * s
    dropped_weights = 2 * a * s * s
    wide_norms = 2 * (2 * s * h + 8 * s)  # Ours are float32 under O2, and keep mean and deviation.
    assert block_activations(config, "O2") == published - masks - dropped_weights + wide_norms


def ring(workers, numbers, passes):
    """Numbers that worker 0 sends when each of so many passes hands every chunk on once less than there are workers."""
    chunk, sent = numbers // workers, 0
    for _ in range(passes):
        for _ in range(workers - 1):
            sent += chunk
    return sent


@pytest.mark.parametrize("workers", [1, 2, 8, 64])
def test_communication_is_what_goes_round_a_ring(workers):
    numbers = 64 * 1000
    # A reduction round the ring and the spreading of its results; then, of divided states, that of the new weights.
    assert communication_bytes(numbers, workers) == 4 * ring(workers, numbers, passes=2)
    assert communication_bytes(numbers, workers, shard_states=True) == 4 * ring(workers, numbers, passes=3)
    sent = footprint(SMALL, Job(1, workers=workers, shard_states=True)).communication
    assert sent == 12 * WEIGHTS * (workers - 1) // workers


def test_seconds_are_bytes_by_bandwidth():
    assert communication_seconds(346_270_624, 25e9) == pytest.approx(0.013850825)


def test_more_workers_keep_less_and_send_more_towards_a_limit():
    config = model_config("vit_b_16_224")
    taken = [footprint(config, Job(8, workers=count, shard_states=True)) for count in (1, 2, 8, 64, 1024, 10**6)]
    sums, sent = [item.total for item in taken], [item.communication for item in taken]
    assert sums == sorted(sums, reverse=True) and sent == sorted(sent)
    least = taken[0].weights + taken[0].gradients + taken[0].activations
    assert sums[-1] == pytest.approx(least, rel=1e-5) and sums[-1] > least
    assert sent[-1] == pytest.approx(12 * parameter_count(config), rel=1e-5)
    assert sent[-1] < 12 * parameter_count(config)


@pytest.mark.parametrize(
    "change",
    [{"batch_size": 0}, {"workers": 0}, {"accumulate_steps": 0}, {"optimizer": "rmsprop"}, {"precision": "O9"}],
)
def test_a_job_that_cannot_be_is_refused_by_name(change):
    with pytest.raises(ValueError, match=next(iter(change))):
        Job(**{"batch_size": 1, **change})


def test_the_documents_tables_are_what_the_script_prints(capsys):
    text = "".join((ROOT / "docs" / name).read_text() for name in ("distributed.md", "footprints.md"))
    tables = re.findall(r"`python scripts/list_footprints\.py ([^`]+)`[^|`]*?\n\n((?:\|.*\n)+)", text)
    assert len(tables) == 3
    main = runpy.run_path(str(ROOT / "scripts/list_memory.py"))["main"]
    for arguments, table in tables:
        main(shlex.split(arguments))
        assert capsys.readouterr().out == table, arguments


def test_the_script_lists_every_model_for_every_number_of_npus(capsys):
    main = runpy.run_path(str(ROOT / "scripts/list_memory.py"))["main"]
    main(["vit_b_16_*", "--batch_size", "2", "--precision", "O0", "--optimizer", "sgd", "--ema", "--recompute"])
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in capsys.readouterr().out.splitlines()[2:]]
    assert [row[:2] for row in rows[:4]] == [["`vit_b_16_224`", count] for count in ("1", "8", "64", "1,024")]
    assert len(rows) == 8
    config = model_config("vit_b_16_224")
    taken = footprint(config, Job(2, "sgd", "O0", workers=8, ema=True, recompute=True))
    megabytes = (taken.weights, taken.gradients, taken.optimizer, taken.ema, 0, taken.activations, taken.total)
    assert rows[1][2:] == [f"{value / 1e6:,.0f}" for value in (*megabytes, taken.communication)]
    main(["vit_r50_l_32_224"])
    assert "|  |  | 0 |" in capsys.readouterr().out, "the activations of a hybrid are left open"


def test_the_script_refuses_an_impossible_job_in_a_sentence(capsys):
    main = runpy.run_path(str(ROOT / "scripts/list_memory.py"))["main"]
    with pytest.raises(SystemExit):
        main(["--batch_size", "0"])
    assert "batch_size must be at least 1, not 0" in capsys.readouterr().err
