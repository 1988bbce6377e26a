"""Formulas of memory and communication, compared with hand calculation, the parameters of a step and the literature."""

import runpy
from dataclasses import replace

import numpy as np
import pytest

from mindvit.analysis.counting import parameter_count
from mindvit.analysis.memory import (
    StepConfig,
    block_activations,
    communication_bytes,
    communication_seconds,
    estimate_memory,
)
from mindvit.losses import CrossEntropySmooth
from mindvit.models import ViT, ViTConfig
from mindvit.models.variants import model_config
from mindvit.training.ema import ExponentialMovingAverage
from mindvit.training.optimizers import OptimizerSettings, make_optimizer
from mindvit.training.param_groups import make_rules, resolve_param_groups
from mindvit.training.step import TrainStep
from tests.conftest import ROOT

# 4 patches and a class token: T = 5, D = 8, M = 16, H = 2.
SMALL = ViTConfig(image_size=8, patch_size=4, embed_dim=8, depth=2, num_heads=2, mlp_dim=16, num_classes=3)
# Patches 3*16*8 + 8, class token 8, position embeddings 5*8; two blocks of norms 4*8, qkv 9*24, out 9*8, dense 9*16 and
# 17*8; norm 2*8; head 9*3.
WEIGHTS = 392 + 8 + 40 + 2 * (32 + 216 + 72 + 144 + 136) + 16 + 27
# A token has 8 numbers, and each norm stores two more. Per block: inputs and outputs of the norms, query, key and
# value, softmax, output of the heads, hidden layer before and after GELU.
BLOCK = 4 * (2 * 5 * 10 + 2 * 40 + 3 * 40 + 2 * 25 + 40 + 2 * 80)
# At O2, mean and deviation of the norms are float32, and fused attention has 16 float32 numbers per token and head.
BLOCK_O2 = 2 * (2 * 40 + 2 * 40 + 3 * 40 + 40 + 2 * 80) + 4 * (2 * 2 * 5 + 16 * 2 * 5)
PIXELS = 3 * 8 * 8
# The gradients of a hidden layer and of its input.
BACKWARD = 80 + 40


def test_every_term_matches_hand_calculation():
    estimate = estimate_memory(SMALL, StepConfig(batch_size=3, ema=True, accumulate_steps=2))
    assert estimate.weights == 4 * WEIGHTS
    assert estimate.optimizer_states == 2 * 4 * WEIGHTS
    assert estimate.ema == 4 * WEIGHTS
    assert estimate.amp_copies == 0
    assert estimate.gradient_sums == 4 * WEIGHTS
    assert estimate.gradients == 12 * WEIGHTS
    assert estimate.images == 2 * 3 * 4 * PIXELS
    assert estimate.activations == 3 * (4 * PIXELS + 2 * BLOCK + 4 * BACKWARD)
    assert estimate.total == 5 * 4 * WEIGHTS + estimate.images + max(estimate.activations, estimate.gradients)
    assert estimate.communication == 0

    at_o2 = estimate_memory(SMALL, StepConfig(batch_size=1, optimizer="sgd", amp_level="O2", recompute=True))
    assert at_o2.optimizer_states == 4 * WEIGHTS
    assert at_o2.ema == at_o2.gradient_sums == 0
    assert at_o2.amp_copies == 2 * WEIGHTS
    assert at_o2.activations == 2 * PIXELS + (2 * 2 * 40 + BLOCK_O2) + 2 * BACKWARD
    assert at_o2.total == (4 + 4 + 2) * WEIGHTS + 4 * PIXELS + 12 * WEIGHTS, "the gradients exceed the activations"


def test_clipping_frees_the_squares_before_it_scales_the_gradients():
    assert estimate_memory(SMALL, StepConfig(1, clips=True)).gradients == 8 * WEIGHTS


def test_fused_attention_stores_no_attention_weights():
    plain, fused = (estimate_memory(SMALL, StepConfig(1, "adamw", "O2", fused_attention=value)) for value in (0, 1))
    assert plain.activations - fused.activations == 2 * (2 * 2 * 25 - 4 * 16 * 2 * 5)
    assert estimate_memory(SMALL, StepConfig(1, "adamw", "O2")) == fused
    assert block_activations(SMALL, "O0") == BLOCK and block_activations(SMALL, "O2", True) == BLOCK_O2


def test_sharded_optimizer_states_are_a_shard_of_the_moments_and_of_the_weights():
    shard = 4 * -(-WEIGHTS // 8)
    sharded = StepConfig(batch_size=1, world_size=8, shard_states=True)
    assert estimate_memory(SMALL, sharded).optimizer_states == 3 * shard
    assert estimate_memory(SMALL, replace(sharded, optimizer="sgd")).optimizer_states == 2 * shard
    assert estimate_memory(SMALL, replace(sharded, shard_states=False)).optimizer_states == 2 * 4 * WEIGHTS
    one_rank = StepConfig(batch_size=1)
    with_sharding = estimate_memory(SMALL, replace(one_rank, shard_states=True))
    assert with_sharding == estimate_memory(SMALL, one_rank), "no effect with one rank"


@pytest.mark.parametrize(
    ("change", "numbers"),
    [
        # Numbers of 4 bytes: T D = 40, T M = 80, H T^2 = 50, and two per token of each head for a norm.
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
def test_each_setting_adds_the_activations_of_its_gradient(change, numbers):
    assert block_activations(replace(SMALL, **change)) - BLOCK == 4 * numbers


@pytest.mark.parametrize(
    ("change", "numbers"),
    [
        ({"pool": "mean", "class_token": True}, 0),
        ({"image_size": 12}, 5 * 48 + 2 * ((2 * 10 + 6 * 8 + 2 * 16) * 5 + 2 * (100 - 25)) + 5 * (8 + 16)),
        ({"dropout": 0.1}, 2 * (2 * 40 + 80)),
    ],
)
def test_activations_outside_the_blocks_are_counted(change, numbers):
    before, after = (estimate_memory(config, StepConfig(batch_size=1)) for config in (SMALL, replace(SMALL, **change)))
    assert after.activations - before.activations == 4 * numbers


@pytest.mark.parametrize("change", [{"stem": "r26", "patch_size": 32, "image_size": 32}, {"window_size": 3}])
def test_activations_of_hybrids_and_local_attention_are_none(change):
    estimate = estimate_memory(replace(SMALL, **change), StepConfig(batch_size=1))
    assert estimate.activations is None and estimate.total is None
    assert estimate.weights == 4 * parameter_count(replace(SMALL, **change))


@pytest.mark.parametrize("optimizer", ["adamw", "adam", "lamb", "sgd"])
@pytest.mark.parametrize("accumulate_steps", [1, 2])
@pytest.mark.parametrize("has_ema", [False, True])
def test_the_permanent_memory_equals_the_parameters_of_the_step(optimizer, accumulate_steps, has_ema):
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
    estimate = estimate_memory(SMALL, StepConfig(1, optimizer, accumulate_steps=accumulate_steps, ema=has_ema))
    expected = estimate.weights + estimate.optimizer_states + estimate.ema + estimate.gradient_sums
    assert sum(held.values()) == expected


@pytest.mark.parametrize("name", ["vit_ti_16_224", "vit_b_16_224", "vit_h_14_224"])
def test_the_activations_of_a_block_match_the_literature(name):
    # Korthikanti et al. (2022), eq. 1: s b h (34 + 5 a s / h) bytes, all in 16 bits and with three dropouts.
    config = model_config(name)
    s, h, a = 1 + config.num_patches, config.embed_dim, config.num_heads
    published = s * h * (34 + 5 * a * s / h)
    masks = 2 * s * h + a * s * s
    dropped_weights = 2 * a * s * s
    statistics = 2 * 8 * s  # Mean and deviation of the norms, float32.
    assert block_activations(config, "O2") == published - masks - dropped_weights + statistics


def ring(world_size, numbers, rounds):
    """Numbers that rank 0 sends: in each round it passes on a chunk for each other rank."""
    chunk, sent = numbers // world_size, 0
    for _ in range(rounds):
        for _ in range(world_size - 1):
            sent += chunk
    return sent


@pytest.mark.parametrize("world_size", [1, 2, 8, 64])
def test_communication_equals_that_of_ring_collectives(world_size):
    numbers = 64 * 1000
    # An all-reduce is a reduce-scatter and an all-gather; sharded optimizer states add an all-gather of the weights.
    assert communication_bytes(numbers, world_size) == 4 * ring(world_size, numbers, rounds=2)
    assert communication_bytes(numbers, world_size, shard_states=True) == 4 * ring(world_size, numbers, rounds=3)
    sent = estimate_memory(SMALL, StepConfig(1, world_size=world_size, shard_states=True)).communication
    assert sent == 12 * WEIGHTS * (world_size - 1) // world_size


def test_seconds_are_bytes_divided_by_bandwidth():
    assert communication_seconds(346_270_624, 25e9) == pytest.approx(0.013850825)


def test_more_ranks_store_less_and_send_more_up_to_a_limit():
    config = model_config("vit_b_16_224")
    steps = [StepConfig(8, world_size=world_size, shard_states=True) for world_size in (1, 2, 8, 64, 1024, 10**6)]
    estimates = [estimate_memory(config, step) for step in steps]
    totals, sent = [item.total for item in estimates], [item.communication for item in estimates]
    assert totals == sorted(totals, reverse=True) and sent == sorted(sent)
    limit = estimates[0].weights + estimates[0].images + max(estimates[0].gradients, estimates[0].activations)
    assert totals[-1] == pytest.approx(limit, rel=1e-5) and totals[-1] > limit
    assert sent[-1] == pytest.approx(12 * parameter_count(config), rel=1e-5)
    assert sent[-1] < 12 * parameter_count(config)


@pytest.mark.parametrize(
    "change",
    [{"batch_size": 0}, {"world_size": 0}, {"accumulate_steps": 0}, {"optimizer": "rmsprop"}, {"amp_level": "O9"}],
)
def test_an_invalid_setting_is_an_error_that_names_it(change):
    with pytest.raises(ValueError, match=next(iter(change))):
        StepConfig(**{"batch_size": 1, **change})


@pytest.mark.slow
def test_the_script_lists_every_model_and_number_of_npus(capsys):
    main = runpy.run_path(str(ROOT / "scripts/list_memory.py"))["main"]
    main(["vit_b_16_*", "--batch_size", "2", "--amp_level", "O0", "--optimizer", "sgd", "--ema", "--recompute"])
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in capsys.readouterr().out.splitlines()[2:]]
    assert [row[:2] for row in rows[:4]] == [["`vit_b_16_224`", count] for count in ("1", "8", "64", "1,024")]
    assert len(rows) == 8
    config = model_config("vit_b_16_224")
    estimate = estimate_memory(config, StepConfig(2, "sgd", "O0", world_size=8, ema=True, recompute=True))
    memory = (estimate.weights, estimate.optimizer_states, estimate.ema, 0, estimate.gradients)
    columns = (*memory, estimate.images + estimate.activations, estimate.total, estimate.communication)
    assert rows[1][2:] == [f"{value / 1e6:,.0f}" for value in columns]
    main(["vit_r50_l_32_224"])
    assert "|  |  | 0 |" in capsys.readouterr().out, "the activations of a hybrid are empty"


def test_the_script_reports_an_invalid_setting(capsys):
    main = runpy.run_path(str(ROOT / "scripts/list_memory.py"))["main"]
    with pytest.raises(SystemExit):
        main(["--batch_size", "0"])
    assert "batch_size must be at least 1, not 0" in capsys.readouterr().err
