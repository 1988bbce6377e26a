"""What test_two_ranks.py runs on two real ranks: it trains, communicates, and shards optimizer states.

The first argument is the folder to write the results to; the others are options of train.py.
"""

import json
import os
import sys
from pathlib import Path

os.environ.setdefault("GLOG_v", "3")
sys.path.insert(0, str(Path(__file__).parents[2]))

import mindspore as ms
import numpy as np
import pytest
from mindspore import Tensor, amp

from mindvit import create_model, distributed
from mindvit.errors import UserError
from mindvit.losses import CrossEntropySmooth
from mindvit.native_kernels import shared_sums
from mindvit.parsing import parse
from mindvit.training import gradient_sum, setup, trainer
from mindvit.training.ema import ExponentialMovingAverage
from mindvit.training.flat_weights import FlatOptimizer, FlatWeights
from mindvit.training.optimizer_settings import OptimizerSettings
from mindvit.training.optimizers import make_optimizer
from mindvit.training.param_groups import make_rules, resolve_param_groups
from mindvit.training.recipe import Recipe
from mindvit.training.resume import LoadedCheckpoint, broadcast_checkpoint, load_train_checkpoint
from mindvit.training.run import TrainComponents
from mindvit.training.run_state import RunState
from mindvit.training.step import TrainStep
from mindvit.training.train_checkpoint import train_state_tensors
from mindvit.training.zero import ShardedOptimizer

STEPS = 4
SIZES = {"image_size": 8, "embed_dim": 32, "depth": 1, "num_heads": 2, "mlp_dim": 64, "num_classes": 3}


def train(folder: Path, arguments: list[str]) -> int:
    """Trains with the options, and writes the weights of this rank. Returns the rank."""
    networks, plans = [], []
    make_model, make_pipeline = setup.create_model, trainer.train_pipeline
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(setup, "create_model", lambda *a, **k: networks.append(make_model(*a, **k)) or networks[-1])
        patch.setattr(trainer, "train_pipeline", lambda *a, **k: plans.append(a[3]) or make_pipeline(*a, **k))
        trainer.train(parse(Recipe, "", arguments)[0])
    weights = {parameter.name: parameter.asnumpy() for parameter in networks[0].get_parameters()}
    np.savez(folder / f"trained{plans[0].rank}of{plans[0].world_size}.npz", **weights)
    return plans[0].rank


def communicate(rank: int) -> dict:
    """The results of the functions of ``mindvit.distributed`` on this rank."""

    def message_of(action) -> str:
        try:
            action()
        except UserError as error:
            return str(error)
        return "no error"

    def fail_with(message: str | None) -> None:
        with distributed.raise_on_any_rank():
            if message is not None:
                raise UserError(message)

    def fail_on_rank_1() -> None:
        with distributed.raise_on_any_rank():
            if rank == 1:
                raise ValueError("broken")

    arrays = {"scalar": np.float32(7), "table": np.arange(6, dtype=np.int32).reshape(2, 3)} if rank == 0 else None
    broadcast = distributed.broadcast_arrays(arrays)
    parameter = ms.Parameter(Tensor(np.full((2, 2), float(rank), np.float32)))
    distributed.broadcast_parameters([parameter])
    calls = []
    distributed.local_rank_zero_first(lambda: calls.append(rank))
    settings = {"optimizer.lr": 0.1 * (1 + rank), "model.depth": 2, **({"extra": 1} if rank else {})}
    return {
        "all_gather_object": distributed.all_gather_object({"rank": rank, "text": "ü" * (rank + 1)}),
        "broadcast_object": distributed.broadcast_object(["rank", rank]),
        "sum": distributed.all_reduce_sum(np.array([2.0**24 + 1, float(rank)])).tolist(),
        "scalar": [broadcast["scalar"].shape == (), float(broadcast["scalar"])],
        "table": broadcast["table"].tolist(),
        "parameter": parameter.asnumpy().tolist(),
        "calls": len(calls),
        "same settings": message_of(lambda: distributed.check_same_on_all_ranks({"a": 1})),
        "different settings": message_of(lambda: distributed.check_same_on_all_ranks(settings)),
        "error on one rank": message_of(lambda: fail_with("no data here" if rank == 1 else None)),
        "error on all ranks": message_of(lambda: fail_with("no data anywhere")),
        "no error": message_of(lambda: fail_with(None)),
        "exception": type_of_exception(fail_on_rank_1) if rank == 1 else message_of(fail_on_rank_1),
    }


def type_of_exception(action) -> str:
    """The name of the type of the exception that an action raises."""
    try:
        action()
    except Exception as error:
        return type(error).__name__
    return "no error"


class SmallRun:
    """A small network and its training step, on both ranks.

    Args:
        name: name of the optimizer.
        rank: rank of this process.
        sharded: whether the optimizer states are sharded.
        scaled: whether the loss is scaled, so that a step can overflow.
        is_flat: whether the weights are in flat buffers.
        compiled: whether the step is compiled, which takes seconds; otherwise it is computed operator by operator.
    """

    def __init__(
        self,
        name: str,
        rank: int,
        sharded: bool = False,
        scaled: bool = False,
        is_flat: bool = False,
        compiled: bool = False,
    ) -> None:
        self.mode = ms.GRAPH_MODE if compiled else ms.PYNATIVE_MODE
        ms.set_seed(1)
        self.rank = rank
        network = create_model("vit_mini_4_32", **SIZES)
        rng = np.random.default_rng(0)
        for weight in network.get_parameters():
            weight.set_data(Tensor(rng.normal(0, 0.1, weight.shape).astype(np.float32)))
        if name == "lamb":
            # Compiling a step of LAMB takes long with many weights.
            for weight in network.transformer.trainable_params():
                weight.requires_grad = "qkv" in weight.name
        parameters = list(network.trainable_params())
        # With a large epsilon a step is proportional to the gradient, so errors in the size of the gradient show.
        settings = OptimizerSettings(name, eps=0.1, weight_decay=0.1, layer_decay=0.8, shard_states=sharded)
        options = resolve_param_groups(parameters, make_rules(settings, SIZES["depth"]))
        flat = None
        if is_flat:
            flat = FlatWeights(network, options, ms.float32)
            parameters, options = list(flat.masters), flat.options
        if sharded:
            optimizer = ShardedOptimizer(settings, parameters, options, rank, 2)
        else:
            optimizer = make_optimizer(settings, parameters, options)
        optimizer = optimizer if flat is None else FlatOptimizer(flat, optimizer)
        self.ema = ExponentialMovingAverage(network, 0.5, flat=flat)
        scaler = amp.DynamicLossScaler(2.0**10, 2, 100) if scaled else None
        rates = np.full(STEPS, 0.5, np.float32)
        loss = CrossEntropySmooth(SIZES["num_classes"], 0.1)
        self.step = TrainStep(
            network, loss, optimizer, rates, 2, 1.0, scaler, world_size=2, ema=self.ema, flat=flat
        ).set_train()

    def run(self, steps: range, stop_at: int | None = None, overflow_at: int | None = None) -> list[list[float]]:
        """Trains some steps, and returns their outputs. Rank 1 asks to stop, or overflows, at the given step."""
        outputs = []
        ms.set_context(mode=self.mode)
        for step in steps:
            if step == stop_at and self.rank == 1:
                self.step.ask_to_stop()
            rng = np.random.default_rng([step, self.rank])
            images = rng.normal(0, 1, (4, 3, 8, 8)).astype(np.float32)
            if step == overflow_at and self.rank == 1:
                images[0] = np.inf
            batch = (images, rng.integers(0, 3, 4).astype(np.int32), rng.integers(0, 99, 4).astype(np.int32))
            results = self.step(*map(Tensor, batch), Tensor(np.zeros(6, np.float32)))
            outputs.append([result.asnumpy().item() for result in results])
        return outputs

    def tensors(self) -> dict[str, np.ndarray]:
        """The tensors of a training checkpoint."""
        return {name: value.asnumpy().copy() for name, value in train_state_tensors(self.step, [self.ema]).items()}

    def load(self, tensors: dict[str, np.ndarray]) -> None:
        """Loads the tensors of a training checkpoint, which rank 0 sends to both ranks."""
        checkpoint = None
        if self.rank == 0:
            parameters = {name: Tensor(value) for name, value in tensors.items()}
            checkpoint = LoadedCheckpoint(Path("checkpoint"), parameters, RunState(1, 1), {})
        components = TrainComponents(self.step, self.ema, None, {}, "")
        load_train_checkpoint(broadcast_checkpoint(checkpoint), components)


def shard(folder: Path, rank: int) -> dict:
    """Trains with full and with sharded optimizer states, and with flat weights, and writes the tensors of all."""
    results = {"sgd": [], "lamb": [], "shares_memory": shared_sums.ranks_share_memory()}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(gradient_sum, "ranks_share_memory", lambda: False)  # Here the ranks sum by collectives.
        for label in ("full", "flat"):
            run = SmallRun("sgd", rank, is_flat=label == "flat", compiled=label == "flat")
            results["sgd"].append(run.run(range(STEPS)))
            np.savez(folder / f"sgd_{label}{rank}.npz", **run.tensors())

    # LAMB has the states of AdamW, and needs norms of whole tensors.
    runs = {label: SmallRun("lamb", rank, label == "sharded", scaled=True) for label in ("full", "sharded")}
    outputs = {label: run.run(range(2)) for label, run in runs.items()}
    states = (slot for slot in runs["sharded"].step.get_parameters() if slot.name.startswith("optimizer."))
    results["sizes"] = {slot.name: slot.size for slot in states}
    # A full optimizer resumes from the sharded states, and a sharded optimizer from the full states.
    saved = [run.tensors() for run in runs.values()]
    for label, tensors in zip(("sharded", "full"), saved, strict=True):
        run = SmallRun("lamb", rank, label == "sharded", scaled=True, compiled=label == "sharded")
        run.load(tensors)
        results["lamb"].append(outputs[label] + run.run(range(2, STEPS), overflow_at=2, stop_at=3))
        np.savez(folder / f"lamb_{label}{rank}.npz", **run.tensors())
    return results


def main() -> None:
    folder = Path(sys.argv[1])
    rank = train(folder, sys.argv[2:])
    if len(distributed.all_gather_object(rank)) == 1:
        return
    (folder / f"communication{rank}.json").write_text(json.dumps(communicate(rank)))
    (folder / f"sharding{rank}.json").write_text(json.dumps(shard(folder, rank)))


if __name__ == "__main__":
    main()
