"""What two real workers do together; test_two_workers.py starts it, and looks at what it writes.

The first argument is the folder to write to; the others are options of train.py.
"""

import json
import os
import sys
from pathlib import Path

os.environ.setdefault("GLOG_v", "3")
sys.path.insert(0, str(Path(__file__).parents[2]))

import mindspore as ms
import numpy as np
from mindspore import Tensor, amp

from mindvit import create_model, workers
from mindvit.parsing import parse
from mindvit.errors import UserError
from mindvit.losses import CrossEntropySmooth
from mindvit.training import preparation, trainer
from mindvit.training.averaged_model import ExponentialMovingAverage
from mindvit.training.optimizers import OptimizerSettings, make_optimizer
from mindvit.training.param_groups import make_rules, resolve_param_groups
from mindvit.training.recipe import Recipe
from mindvit.training.zero import ShardedOptimizer
from mindvit.training.train_checkpoint import (
    RunState,
    LoadedCheckpoint,
    load_train_checkpoint,
    broadcast_checkpoint,
    train_state_tensors,
)
from mindvit.training.step import TrainStep

STEPS = 4
SIZES = {"image_size": 8, "embed_dim": 32, "depth": 1, "num_heads": 2, "mlp_dim": 64, "num_classes": 3}


def train(folder: Path, arguments: list[str]) -> int:
    """Trains by the options, and keeps this worker's weights. Returns its number."""
    made, courses = [], []
    make_model, make_pipeline = preparation.create_model, trainer.train_pipeline
    preparation.create_model = lambda *a, **k: made.append(make_model(*a, **k)) or made[-1]
    trainer.train_pipeline = lambda *a, **k: courses.append(a[3]) or make_pipeline(*a, **k)
    trainer.train(parse(Recipe, "", arguments)[0])
    weights = {parameter.name: parameter.asnumpy() for parameter in made[0].get_parameters()}
    np.savez(folder / f"trained{courses[0].rank}of{courses[0].world_size}.npz", **weights)
    return courses[0].rank


def talk(rank: int) -> dict:
    """What the functions of ``mindvit.distributed`` give on this worker."""

    def fails(action) -> str:
        try:
            action()
        except UserError as error:
            return str(error)
        return "nothing failed"

    def in_common(sentence: str | None) -> None:
        with workers.together():
            if sentence is not None:
                raise UserError(sentence)

    def breaks() -> None:
        with workers.together():
            if rank == 1:
                raise ValueError("broken")

    arrays = {"scalar": np.float32(7), "table": np.arange(6, dtype=np.int32).reshape(2, 3)} if rank == 0 else None
    shared = workers.broadcast_arrays(arrays)
    parameter = ms.Parameter(Tensor(np.full((2, 2), float(rank), np.float32)))
    workers.broadcast_parameters([parameter])
    order = []
    workers.local_rank_zero_first(lambda: order.append(len(workers.__file__)))
    facts = {"optimizer.lr": 0.1 * (1 + rank), "model.depth": 2, **({"extra": 1} if rank else {})}
    return {
        "gathered": workers.gather({"rank": rank, "text": "ü" * (rank + 1)}),
        "shared": workers.share(["worker", rank]),
        "sum": workers.all_reduce_sum(np.array([2.0**24 + 1, float(rank)])).tolist(),
        "scalar": [shared["scalar"].shape == (), float(shared["scalar"])],
        "table": shared["table"].tolist(),
        "parameter": parameter.asnumpy().tolist(),
        "calls": len(order),
        "same": fails(lambda: workers.check_same_on_all_ranks({"a": 1})),
        "different": fails(lambda: workers.check_same_on_all_ranks(facts)),
        "one failed": fails(lambda: in_common("no data here" if rank == 1 else None)),
        "all failed": fails(lambda: in_common("no data anywhere")),
        "none failed": fails(lambda: in_common(None)),
        "broke": "ValueError" if rank == 1 and _raises(breaks, ValueError) else fails(breaks) if rank == 0 else "",
    }


def _raises(action, kind) -> bool:
    try:
        action()
    except kind:
        return True
    return False


class Side:
    """A small network and its step, of both workers together.

    Args:
        name: of the optimizer.
        rank: this worker's number.
        sharded: whether the optimizer's state is divided.
        scaled: whether the loss is scaled, which lets a step overflow.
    """

    def __init__(self, name: str, rank: int, sharded: bool, scaled: bool = False) -> None:
        ms.set_seed(1)
        self.network = create_model("vit_mini_4_32", **SIZES)
        rng = np.random.default_rng(0)
        for weight in self.network.get_parameters():
            weight.set_data(Tensor(rng.normal(0, 0.1, weight.shape).astype(np.float32)))
        parameters = list(self.network.trainable_params())
        # With a large epsilon a step is in proportion to the gradient, so that mistakes in its size show.
        chosen = OptimizerSettings(name, eps=0.1, weight_decay=0.1, layer_decay=0.8, shard_states=sharded)
        settings = resolve_param_groups(parameters, make_rules(chosen, SIZES["depth"]))
        if sharded:
            optimizer = ShardedOptimizer(chosen, parameters, settings, rank, 2)
        else:
            optimizer = make_optimizer(chosen, parameters, settings)
        self.ema = ExponentialMovingAverage(self.network, 0.5)
        scaler = amp.DynamicLossScaler(2.0**10, 2, 100) if scaled else None
        rates = np.full(STEPS, 0.5, np.float32)
        self.step = TrainStep(
            self.network,
            CrossEntropySmooth(SIZES["num_classes"], 0.1),
            optimizer,
            rates,
            2,
            1.0,
            scaler,
            world_size=2,
            ema=self.ema,
        ).set_train()

    def run(self, rank: int, steps: range, stop_at: int | None = None, broken: int | None = None) -> list[list[float]]:
        """Makes steps, and returns their outputs."""
        outputs = []
        for step in steps:
            if step == stop_at and rank == 1:
                self.step.ask_to_stop()
            rng = np.random.default_rng([step, rank])
            images = rng.normal(0, 1, (4, 3, 8, 8)).astype(np.float32)
            if step == broken and rank == 1:
                images[0] = np.inf
            batch = (images, rng.integers(0, 3, 4).astype(np.int32), rng.integers(0, 99, 4).astype(np.int32))
            made = self.step(*map(Tensor, batch), Tensor(np.zeros(6, np.float32)))
            outputs.append([output.asnumpy().item() for output in made])
        return outputs

    def state(self) -> dict[str, np.ndarray]:
        """All that going on needs."""
        return {name: value.asnumpy() for name, value in train_state_tensors(self.step, [self.ema]).items()}


def divide(folder: Path, rank: int) -> dict:
    """Trains with whole and with divided optimizer states, and keeps what they come to."""
    facts = {}
    for name in ("sgd", "lamb"):
        sides = {label: Side(name, rank, label == "divided", scaled=name == "lamb") for label in ("whole", "divided")}
        facts[name] = [side.run(rank, range(STEPS), broken=1 if name == "lamb" else None) for side in sides.values()]
        for label, side in sides.items():
            np.savez(folder / f"{name}_{label}{rank}.npz", **side.state())

    sides = {label: Side("adamw", rank, label == "divided") for label in ("whole", "divided")}
    for side in sides.values():
        side.run(rank, range(2))
    slots = (slot for slot in sides["divided"].step.get_parameters() if slot.name.startswith("optimizer."))
    facts["held"] = {slot.name: slot.size for slot in slots}
    # From here the other way round: what was divided goes on whole, what was whole goes on divided.
    states = [side.state() for side in sides.values()]
    facts["adamw"] = []
    for label, state in zip(("divided", "whole"), states, strict=True):
        side = Side("adamw", rank, label == "divided")
        saved = LoadedCheckpoint(
            Path("state"), {name: Tensor(value) for name, value in state.items()}, RunState(1, 1), {}
        )
        load_train_checkpoint(broadcast_checkpoint(saved if rank == 0 else None), side.step, [side.ema])
        facts["adamw"].append(side.run(rank, range(2, STEPS), stop_at=3))
        np.savez(folder / f"adamw_{label}{rank}.npz", **side.state())
    return facts


def main() -> None:
    folder = Path(sys.argv[1])
    rank = train(folder, sys.argv[2:])
    if len(workers.gather(rank)) == 1:
        return
    (folder / f"talk{rank}.json").write_text(json.dumps(talk(rank)))
    (folder / f"divide{rank}.json").write_text(json.dumps(divide(folder, rank)))


if __name__ == "__main__":
    main()
