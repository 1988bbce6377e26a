"""Run folders: metrics, summary, settings and training checkpoints of a run that is looked at or resumed."""

import json

import matplotlib.font_manager  # noqa: F401 (its first import writes a cache)

from mindvit.run_metrics import EpochMetrics, EvalMetrics, WeightsKind, read_epochs
from mindvit.training.resume import find_checkpoint_to_resume
from mindvit.training.run_folder import RunFolder
from mindvit.visualize.curves import draw_curves
from tests.fuzz.mutations import mutated_bytes, mutated_json
from tests.fuzz.target import FileTarget
from tests.fuzz.targets.checkpoints import write_small_train_checkpoint


def _make_seeds(folder):
    run = folder / "run" / "run"
    (run / "train_checkpoints").mkdir(parents=True)
    (run / "checkpoints").mkdir()
    write_small_train_checkpoint(run / "train_checkpoints")
    step = {"event": "step", "epoch": 1, "step": 1, "train_loss": 2.0, "lr": 0.1, "grad_norm": 1.0, "mfu": 0.1}
    scores = {kind: EvalMetrics(50.0, 100.0, 1.5) for kind in (WeightsKind.RAW, WeightsKind.EMA)}
    epochs = [EpochMetrics(n, 5 * n, 2.0 / n, 0.1, 1.0, 10.0, 0.1, 1.0, evaluations=scores).to_json() for n in (1, 2)]
    (run / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in (step, *epochs)))
    (run / "config.yaml").write_text("train:\n  epochs: 2\n")
    (run / "summary.json").write_text("{}\n")


def _mutate(folder, rng):
    run = folder / "run"
    path = rng.choice(sorted(path for path in run.rglob("*") if path.is_file()))
    if path.name == "metrics.jsonl" and rng.random() < 0.6:
        lines = [json.loads(line) for line in path.read_text().splitlines()]
        index = rng.randrange(len(lines))
        lines[index] = mutated_json(lines[index], rng)
        path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    else:
        path.write_bytes(mutated_bytes(path.read_bytes(), rng))
    if rng.random() < 0.1:
        path.rename(path.with_name(rng.choice(("epoch9-step99.ckpt", "epoch1-step" + "9" * 4500 + ".ckpt")[:1])))


def _check(folder):
    run = RunFolder(folder / "run")
    found = find_checkpoint_to_resume(run, "auto")
    assert found is None or found.state.step >= 0
    run.last_checkpoint()
    run.resume_hint()
    if run.metrics.exists():
        read_epochs(run.metrics)
        draw_curves(run.metrics, folder / "curves.png")
        assert (folder / "curves.png").stat().st_size > 1000


RUN_FOLDERS = FileTarget("run_folders", _check, _make_seeds, _mutate, cases=10, blocks=1)
