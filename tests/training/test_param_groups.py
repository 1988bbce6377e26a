import json
from fnmatch import fnmatchcase

import numpy as np
import pytest
from mindspore import Parameter
from mindspore.common.initializer import initializer

from mindvit import create_model
from mindvit.errors import UserError
from mindvit.models.vit import ViT
from mindvit.models.vit_config import ViTConfig
from mindvit.training.optimizer_settings import OptimizerSettings, ParamRule
from mindvit.training.param_groups import (
    ParamOptions,
    describe,
    freeze,
    make_rules,
    resolve_param_groups,
)
from mindvit.weights.layouts.timm import timm_key_map
from tests.conftest import ROOT

DEPTH = 12
BLOCK = "transformer.layers.{}"


def make_network(**overrides):
    return create_model("vit_mini_4_32", **{"image_size": 8, "embed_dim": 8, "depth": DEPTH, "mlp_dim": 16} | overrides)


@pytest.fixture(scope="module")
def network():
    return make_network()


def resolved(network, *rules, **settings):
    """The options of each parameter by name, from the settings and rules of the user."""
    rules = make_rules(OptimizerSettings(rules=list(rules), **settings), network.config.depth)
    return {item.name: item for item in resolve_param_groups(network.trainable_params(), rules)}


def test_only_matrices_and_kernels_have_weight_decay():
    network = make_network(depth=1)
    decayed = {item.name for item in resolved(network, weight_decay=0.3).values() if item.weight_decay == 0.3}
    assert decayed == {
        "patch_embedding.conv.weight",
        *(f"{BLOCK.format(0)}.{name}.weight" for name in ("0.cell.1.qkv", "0.cell.1.out")),
        *(f"{BLOCK.format(0)}.{name}.weight" for name in ("1.cell.1.dense1", "1.cell.1.dense2")),
        "dense.weight",
    }
    assert all(item.weight_decay == 0 for name, item in resolved(network).items() if name not in decayed)


@pytest.mark.parametrize("overrides", [{}, {"pool": "mean", "layer_scale": 1e-4, "pre_logits_dim": 8}], ids=str)
def test_no_vector_of_any_network_has_weight_decay(overrides):
    network = make_network(depth=2, **overrides)
    settings = resolved(network, weight_decay=0.3)
    for parameter in network.trainable_params():
        decays = parameter.ndim > 1 and parameter.name not in ("cls", "pos_embedding")
        assert settings[parameter.name].weight_decay == (0.3 if decays else 0.0), parameter.name


KINDS = {
    "learned2d": ({"pos_embed": "learned2d"}, {"pos_rows", "pos_columns"}),
    "relative": ({"pos_embed": "relative"}, {f"{BLOCK.format(i)}.0.cell.1.relative_bias.table" for i in (0, 1)}),
    "distilled": ({"distilled": True, "register_tokens": 2}, {"distillation", "registers"}),
    "map": ({"pool": "map", "qk_norm": True}, {"pool.probe"}),
}


@pytest.mark.parametrize(("overrides", "learned"), KINDS.values(), ids=KINDS)
def test_learned_tokens_and_position_embeddings_have_no_weight_decay(overrides, learned):
    """They are tables and vectors, not matrices that multiply tokens."""
    network = make_network(depth=2, **overrides)
    settings = resolved(network, weight_decay=0.3)
    assert learned < settings.keys()
    for parameter in network.trainable_params():
        decays = parameter.ndim > 1 and parameter.name not in learned | {"cls", "pos_embedding"}
        assert settings[parameter.name].weight_decay == (0.3 if decays else 0.0), parameter.name


def test_the_matrices_of_the_second_head_and_of_pooling_have_weight_decay():
    second = resolved(make_network(depth=1, distilled=True), weight_decay=0.3)
    assert [second[f"dense_distillation.{part}"].weight_decay for part in ("weight", "bias")] == [0.3, 0]
    pool = resolved(make_network(depth=1, pool="map"), weight_decay=0.3)
    matrices = {name for name in pool if name.startswith("pool.") and pool[name].weight_decay == 0.3}
    layers = ("query", "keys_and_values", "out", "feed_forward.dense1", "feed_forward.dense2")
    assert matrices == {f"pool.{layer}.weight" for layer in layers}


def test_adam_has_no_weight_decay(network):
    assert all(item.weight_decay == 0 for item in resolved(network, name="adam", weight_decay=0.3).values())
    rule = ParamRule("dense.*", weight_decay=0.1)
    words = r"optimizer\.rules set a weight_decay for 'dense\.\*', but .*adam has no weight decay"
    with pytest.raises(ValueError, match=words):
        OptimizerSettings("adam", rules=[rule])
    assert resolved(network, rule)["dense.weight"].weight_decay == 0.1


def test_learning_rates_decay_layer_by_layer_from_the_head_to_the_embeddings(network):
    settings = resolved(network, layer_decay=0.5)
    layers = {"cls": 0, "pos_embedding": 0, "patch_embedding.": 0, "norm.": 13, "dense.": 13}
    layers |= {f"transformer.layers.{index}.": index + 1 for index in range(12)}
    for name, item in settings.items():
        (layer,) = (layer for start, layer in layers.items() if name.startswith(start))
        assert item.lr_scale == 0.5 ** (13 - layer), name
    assert settings[f"{BLOCK.format(11)}.1.cell.1.dense2.bias"].lr_scale == 0.5
    assert settings[f"{BLOCK.format(1)}.1.cell.1.dense2.bias"].lr_scale == 0.5**11


LAYERS = {
    "learned2d": ({"pos_embed": "learned2d"}, {"pos_rows": 0, "pos_columns": 0}),
    "relative": ({"pos_embed": "relative"}, {f"{BLOCK.format(i)}.0.cell.1.relative_bias.table": i + 1 for i in (0, 1)}),
    "distilled": (
        {"distilled": True, "register_tokens": 2},
        {"distillation": 0, "registers": 0, "dense_distillation.weight": 3, "dense_distillation.bias": 3},
    ),
    "map": ({"pool": "map"}, {"pool.probe": 3, "pool.query.weight": 3}),
}


@pytest.mark.parametrize(("overrides", "layers"), LAYERS.values(), ids=LAYERS)
def test_the_embeddings_are_layer_0_and_all_after_the_blocks_is_the_last_layer(overrides, layers):
    settings = resolved(make_network(depth=2, **overrides), layer_decay=0.5)
    assert {name: settings[name].lr_scale for name in layers} == {n: 0.5 ** (3 - layer) for n, layer in layers.items()}
    assert settings["patch_embedding.conv.weight"].lr_scale == 0.5**3


REFERENCES = json.loads((ROOT / "tests/references/recipes.json").read_text())["groups"]


@pytest.mark.parametrize(
    ("case", "pool"), [("timm, norm before pooling", "cls"), ("timm, norm after pooling", "mean_norm")]
)
def test_the_norm_of_the_last_block_is_where_timm_has_it(case, pool):
    config = ViTConfig(32, 16, num_classes=2, embed_dim=8, depth=3, num_heads=2, mlp_dim=16, pool=pool)
    parameters = ViT(config).trainable_params()
    settings = OptimizerSettings(layer_decay=0.75, weight_decay=0.05, layer_decay_norm="last_block")
    rules = make_rules(settings, config.depth, norm_after_pool=pool == "mean_norm")
    found = {
        their_name(config, item.name): (item.lr_scale, item.weight_decay)
        for item in resolve_param_groups(parameters, rules)
    }
    expected = {key: (scale, decay) for scale, decay, keys in REFERENCES[case] for key in keys}
    assert found == {key: (pytest.approx(scale), decay) for key, (scale, decay) in expected.items()}


def their_name(config, name):
    """timm's name of a parameter."""
    (theirs,) = timm_key_map(config).to_theirs({name: np.zeros(1)})
    return theirs


def test_only_the_norm_after_the_last_block_moves_with_layer_decay_norm(network):
    before = resolved(network, layer_decay=0.75)
    after = resolved(network, layer_decay=0.75, layer_decay_norm="last_block")
    assert {name for name in before if before[name] != after[name]} == {"norm.gamma", "norm.beta"}
    assert (before["norm.gamma"].lr_scale, after["norm.gamma"].lr_scale) == (1.0, 0.75)


def test_weight_decay_of_all_parameters_is_that_of_pytorchs_optimizers(network):
    settings = resolved(network, weight_decay=0.3, weight_decay_params="all")
    assert {item.weight_decay for item in settings.values()} == {0.3}


def test_a_stem_has_the_learning_rate_of_the_embeddings_and_its_kernels_have_weight_decay():
    """Only the start of the name counts: a block may have a parameter with that word."""
    shapes = {
        "stem.stages.0.conv.weight": (8, 3, 3, 3),
        "stem.norm.gamma": (8,),
        "transformer.layers.1.stem.weight": (8, 8),
    }
    parameters = [Parameter(initializer("zeros", shape), name=name) for name, shape in shapes.items()]
    settings = resolve_param_groups(
        parameters, make_rules(OptimizerSettings(layer_decay=0.5, weight_decay=0.3), depth=2)
    )
    assert [item.lr_scale for item in settings] == [0.5**3, 0.5**3, 0.5]
    assert [item.weight_decay for item in settings] == [0.3, 0.0, 0.3]
    frozen = resolve_param_groups(
        [*parameters, Parameter(initializer("zeros", (2,)), name="dense.bias")], probing(depth=2)
    )
    assert [item.frozen for item in frozen] == [True, True, True, False]


def probing(depth):
    return make_rules(OptimizerSettings(linear_probing=True), depth)


def test_without_layer_decay_all_learning_rates_are_equal(network):
    assert {item.lr_scale for item in resolved(network).values()} == {1.0}


def test_linear_probing_trains_the_head_only():
    network = make_network(depth=2)
    settings = resolved(network, linear_probing=True)
    assert {name for name, item in settings.items() if not item.frozen} == {"dense.weight", "dense.bias"}
    freeze(network.get_parameters(), list(settings.values()))
    assert [parameter.name for parameter in network.trainable_params()] == ["dense.weight", "dense.bias"]


def test_linear_probing_of_a_distilled_network_trains_both_heads():
    settings = resolved(make_network(depth=1, distilled=True), linear_probing=True)
    heads = {f"{head}.{part}" for head in ("dense", "dense_distillation") for part in ("weight", "bias")}
    assert {name for name, item in settings.items() if not item.frozen} == heads


def test_freezing_does_not_unfreeze_other_parameters():
    network = make_network(depth=1)
    network.norm.gamma.requires_grad = False
    freeze(network.get_parameters(), list(resolved(network, ParamRule("cls", frozen=True)).values()))
    assert {p.name for p in network.get_parameters() if not p.requires_grad} == {"cls", "norm.gamma"}


def test_lr_scales_of_several_rules_multiply_and_the_last_weight_decay_and_freezing_win(network):
    settings = resolved(
        network,
        ParamRule("dense.*", lr_scale=10.0, weight_decay=0.2, frozen=True),
        ParamRule("*.weight", lr_scale=0.5),
        ParamRule("dense.weight", weight_decay=0.4),
        ParamRule("dense.bias", frozen=False),
        ParamRule("patch_embedding.*", lr_scale=0.1),
        layer_decay=0.5,
        weight_decay=0.3,
    )
    assert settings["dense.weight"] == ParamOptions("dense.weight", 5.0, 0.4, True)
    assert settings["dense.bias"] == ParamOptions("dense.bias", 10.0, 0.2, False)
    patches = settings["patch_embedding.conv.weight"]
    assert (patches.lr_scale, patches.weight_decay) == (pytest.approx(0.5**13 * 0.5 * 0.1), 0.3)
    assert settings["norm.gamma"] == ParamOptions("norm.gamma", 1.0, 0.0, False)


def test_a_rule_of_the_user_overrides_linear_probing(network):
    settings = resolved(network, ParamRule("norm.*", frozen=False), linear_probing=True)
    assert {name for name, item in settings.items() if not item.frozen} == {
        *("norm.gamma", "norm.beta"),
        *("dense.weight", "dense.bias"),
    }


def test_patterns_match_full_names_and_are_case_sensitive(network):
    for pattern in ("dense", "Dense.*", "layers.0.*"):
        with pytest.raises(UserError, match="matches no trainable parameter"):
            resolved(network, ParamRule(pattern, frozen=True))


def test_a_pattern_that_matches_nothing_is_reported_with_the_nearest_name(network):
    words = (
        r"optimizer\.rules: the pattern 'dense\.wieght' matches no trainable parameter; the nearest name is 'dense\."
    )
    with pytest.raises(UserError, match=words):
        resolved(network, ParamRule("*", lr_scale=2.0), ParamRule("dense.wieght", frozen=True))


def test_freezing_every_parameter_is_an_error(network):
    with pytest.raises(UserError, match=r"optimizer\.rules freeze every parameter"):
        resolved(network, ParamRule("*", frozen=True))


def test_every_parameter_has_options_in_the_same_order(network):
    names = [parameter.name for parameter in network.trainable_params()]
    assert list(resolved(network, layer_decay=0.7)) == names
    with pytest.raises(AssertionError, match="the same name"):
        resolve_param_groups([*network.trainable_params(), network.cls], [])


def test_the_table_counts_every_parameter_in_one_group():
    network = make_network(depth=2)
    settings = resolved(network, ParamRule("pos_embedding", frozen=True), weight_decay=0.3, layer_decay=0.5)
    lines = describe(list(settings.values()), network.trainable_params()).splitlines()
    assert lines[0].split("  ")[0] == "lr scale"
    rows = {tuple(line.split()[:2]): line.split()[2:] for line in lines[1:-1] if "frozen" not in line}
    width, hidden = 8, 16
    block_weights = 3 * width * width + width * width + 2 * width * hidden
    block_vectors = 2 * 2 * width + width + hidden + width
    qkv_bias = sum(p.size for p in network.trainable_params() if fnmatchcase(p.name, "*.layers.0.*qkv.bias"))
    tensors = sum(fnmatchcase(p.name, "*.layers.0.*") for p in network.trainable_params()) - 4
    expected = {
        ("0.125", "0.3"): (1, width * 3 * 4 * 4),
        ("0.125", "0"): (2, width + width),  # the class token, the bias of the patches
        ("0.25", "0.3"): (4, block_weights),
        ("0.25", "0"): (tensors, block_vectors + qkv_bias),
        ("0.5", "0.3"): (4, block_weights),
        ("0.5", "0"): (tensors, block_vectors + qkv_bias),
        ("1", "0.3"): (1, 1000 * width),
        ("1", "0"): (3, 1000 + 2 * width),
    }
    assert {key: (int(row[0]), int(row[1].replace(",", ""))) for key, row in rows.items()} == expected
    (frozen,) = (line.split() for line in lines if "frozen" in line)
    assert frozen == ["frozen", "1", f"{5 * width}", "pos_embedding"]
    total = sum(parameter.size for parameter in network.trainable_params())
    assert lines[-1].split() == ["all", f"{len(settings)}", f"{total:,}"]
    assert sum(values for _, values in expected.values()) + 5 * width == total


def test_the_table_shows_one_name_for_the_same_parameter_of_several_blocks(network):
    table = describe(list(resolved(network).values()), network.trainable_params())
    assert "patch_embedding.conv.weight, transformer.layers.0-11.0.cell.1.qkv.weight, …" in table
    assert len(table.splitlines()) == 4


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({}, r"the rule for 'cls' sets nothing; give it lr_scale, weight_decay or frozen"),
        ({"lr_scale": 0.0}, "the rule for 'cls' has lr_scale 0.0, which must be above 0; to freeze, set frozen: true"),
        ({"weight_decay": -1.0}, "the rule for 'cls' has weight_decay -1.0, which must not be negative"),
    ],
)
def test_a_mistake_in_a_rule_is_an_error(settings, words):
    with pytest.raises(ValueError, match=words):
        ParamRule("cls", **settings)
