"""Compiler levels, ranks, recomputation, accumulation, sharding and precision compile for Ascend.

Optimizers, SWA, and accumulation on one rank are among the recipes: see test_recipes.py.
"""

from dataclasses import replace

import pytest

from mindvit.dry_run.compile_jobs import checked, compile_jobs
from mindvit.errors import UserError
from tests.ascend.compiling import MARKS, assert_runs_on_ascend, names, small_job

pytestmark = MARKS
PLAIN, DEIT = "vit_b_16_224_tutorial.yaml", "deit_b_16.yaml"
ONE_RANK = {
    "plain": (PLAIN, {}),
    "O1": (PLAIN, {"jit_level": "O1"}),
    "recompute in bfloat16": (PLAIN, {"train__recompute": True, "runtime__amp_dtype": "bfloat16"}),
    "float32": (PLAIN, {"runtime__amp_level": "O0"}),
}
EIGHT_RANKS = {
    "sharded": (DEIT, {"optimizer__shard_states": True}),
    "sharded at O1": (PLAIN, {"optimizer__shard_states": True, "jit_level": "O1"}),
    "accumulation, unfused attention": (PLAIN, {"train__accumulate_steps": 2, "runtime__fused_attention": False}),
}
# Networks with an operator that Ascend does not have. A CPU has the first.
CONTROLS = {"Cholesky": "train", "FloatStatus": "eval"}
MAX_ALL_REDUCES = 4


def jobs_of(cases):
    return [small_job(recipe, **{"model__depth": 1, **settings}) for recipe, settings in cases.values()]


@pytest.fixture(scope="module")
def one_rank():
    controls = [replace(small_job(PLAIN, step), network="stock") for step in CONTROLS.values()]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("mindvit.dry_run.compile_jobs._WORKER", "tests.ascend.control_worker")
        return dict(zip([*ONE_RANK, *CONTROLS], compile_jobs([*jobs_of(ONE_RANK), *controls]), strict=True))


@pytest.fixture(scope="module")
def eight_ranks():
    return dict(zip(EIGHT_RANKS, compile_jobs(jobs_of(EIGHT_RANKS), 8), strict=True))


@pytest.mark.parametrize("name", ONE_RANK)
def test_one_rank_uses_kernels_of_ascend_alone(name, one_rank):
    assert_runs_on_ascend(one_rank[name])
    assert "hccl_kernel" not in {kind for _, kind in one_rank[name].log.kernels}


@pytest.mark.parametrize("name", EIGHT_RANKS)
def test_eight_ranks_use_kernels_of_ascend_alone(name, eight_ranks):
    assert_runs_on_ascend(eight_ranks[name])


@pytest.mark.parametrize("name", EIGHT_RANKS)
def test_gradients_are_reduced_in_a_few_collectives(name, eight_ranks):
    collectives = [name for name, kind in eight_ranks[name].log.kernels if kind == "hccl_kernel"]
    # Sharded states are on single tensors, and each of their gradients is reduced alone.
    assert collectives.count("AllReduce") >= 1
    assert ("sharded" in name) or collectives.count("AllReduce") <= MAX_ALL_REDUCES
    assert ("AllGather" in collectives) == ("sharded" in name)


def test_the_compiler_fuses_at_o1_and_not_at_o0(one_rank):
    kinds = {name: {kind for _, kind in one_rank[name].log.kernels} for name in ("plain", "O1")}
    assert "akg_kernel" in kinds["O1"] - kinds["plain"]
    assert len(names(one_rank["O1"])) < len(names(one_rank["plain"]))


def test_recomputation_launches_the_forward_pass_twice(one_rank):
    cases = ("plain", "recompute in bfloat16")
    assert [names(one_rank[name]).count("FlashAttentionScore") for name in cases] == [1, 2]


def test_fused_attention_takes_the_place_of_the_products(one_rank, eight_ranks):
    assert "FlashAttentionScore" not in names(eight_ranks["accumulation, unfused attention"])
    assert "BatchMatMul" not in names(one_rank["plain"])


def test_float32_is_not_fused_and_casts_nothing_to_16_bits(one_rank):
    dtypes = {tensor.dtype for node in one_rank["float32"].nodes for tensor in node.outputs}
    assert not dtypes & {"Float16", "BFloat16"}


def test_bfloat16_leaves_no_float16(one_rank):
    dtypes = {tensor.dtype for node in one_rank["recompute in bfloat16"].nodes for tensor in node.outputs}
    assert "BFloat16" in dtypes
    assert "Float16" not in dtypes


def test_an_operator_without_ascend_kernel_is_found_as_a_fallback(one_rank):
    assert one_rank["Cholesky"].error is None
    assert [node.rpartition("/")[2] for node in one_rank["Cholesky"].log.cpu_fallbacks] == ["Cholesky-op0"]


def test_an_operator_that_no_device_has_is_refused_with_its_cell_and_line(one_rank):
    with pytest.raises(UserError, match=r"operator FloatStatus, cell status, \S*control_worker\.py:\d+ `return"):
        checked(one_rank["FloatStatus"])
