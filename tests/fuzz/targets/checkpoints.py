"""Checkpoints of this project: the metadata of weights, and the state in training checkpoints."""

import json
import math
from dataclasses import asdict

import mindspore as ms
import numpy as np

from mindvit.classes import Classes
from mindvit.config import plain
from mindvit.factory import create_model, load_trained
from mindvit.strict_json import dump_json
from mindvit.training.recipe import Recipe
from mindvit.training.resume import read_train_checkpoint
from mindvit.training.resume_checks import config_changes
from mindvit.training.run_state import RunState
from mindvit.training.train_checkpoint import checkpoint_name, write_train_checkpoint
from mindvit.weights.checkpoint import write_checkpoint
from mindvit.weights.metadata import OLD_METADATA_KEY, CheckpointMetadata
from tests.fuzz.mutations import mutated_json
from tests.fuzz.target import FileTarget, mutate_a_file
from tests.weights.formats.crafted_ckpt import read_texts, without_checksum

SMALL = {"image_size": 8, "embed_dim": 8, "depth": 1, "num_heads": 2, "mlp_dim": 8}
"""Sizes of a network that is made in milliseconds."""
_OLD_MODEL = {"pos_embed": "positions", "block_dropout": "layer_dropout", "window_size": "window"}


def write_small_checkpoint(path):
    """A checkpoint with metadata: a tiny network for two classes."""
    network = create_model("vit_mini_4_32", num_classes=2, **SMALL)
    metadata = CheckpointMetadata(
        "vit_mini_4_32",
        network.config,
        Classes(("n1", "n2"), ("Katze", "狗")),
        data_path="dataset",
        epoch=3,
        metrics={"top1": 75.25, "val_loss": 1.5},
    )
    write_checkpoint(path, network, metadata)


def _in_format(stored, version):
    """Metadata in the names of an earlier format."""
    stored = {**stored, "format": version}
    if version < 3:
        del stored["model"]["preprocessing"]["resize"], stored["former_resize"]
    if version == 1:
        stored["is_part"] = stored.pop("is_class_subset")
        stored["model"] = {_OLD_MODEL.get(name, name): value for name, value in stored["model"].items()}
        stored["model"]["prefix_positions"] = stored["model"].pop("prefix_pos_embed")
    return stored


def _make_metadata(folder):
    for version in (1, 2, 3):
        place = folder / f"format {version}"
        place.mkdir()
        write_small_checkpoint(place / "x.ckpt")
        ((key, text),) = read_texts(place / "x.ckpt").items()
        stored = _in_format(json.loads(text), version)
        key = OLD_METADATA_KEY if version == 1 else key
        without_checksum(place / "x.ckpt", lambda _, key=key, stored=stored: {key: json.dumps(stored)})


def _mutate_texts(folder, rng):
    if rng.random() < 0.1:
        mutate_a_file(folder, rng)
        return

    def change(texts):
        key = rng.choice(sorted(texts))
        return {**texts, key: json.dumps(mutated_json(json.loads(texts[key]), rng))}

    without_checksum(_file(folder), change)


def _check_metadata(folder):
    found = load_trained(str(_file(folder)))
    metadata = found.metadata
    if metadata.former_resize or metadata.origin is not None or metadata.model_name:
        assert CheckpointMetadata.from_json(metadata.to_json()) == metadata
    assert np.isfinite([metadata.model.norm_eps, *metadata.metrics.values()]).all()
    assert metadata.classes is None or len(metadata.classes) == metadata.model.num_classes
    assert all(np.isfinite(parameter.asnumpy()).all() for parameter in found.network.get_parameters())


def write_small_train_checkpoint(folder):
    """A training checkpoint with few tensors."""
    from tests.training.checkpoint_builders import DATA

    best = {"weights": "raw", "epoch": 1, "step": 5, "train_loss": 1.5, "num_images": 9, "top1": 50.0, "top5": 100.0}
    state = RunState.from_json(
        {
            **RunState(
                steps_per_epoch=5, total_steps=20, step=7, lr=0.1, losses=[2.0, 1.5], norms=[1.0, 3.0]
            ).to_json(),
            "best": [{**best, "val_loss": 1.25, "file": "checkpoints/a.ckpt"}],
            "best_score": [50.0, -1.25],
        }
    )
    tensors = {"dense.weight": ms.Tensor(np.ones((2, 3), np.float32)), "optimizer.step": ms.Tensor(7, ms.int32)}
    path = folder / checkpoint_name(state, None)
    write_train_checkpoint(path, tensors, state, plain(Recipe()), DATA)
    return path


def _make_train_checkpoints(folder):
    (folder / "run").mkdir()
    path = write_small_train_checkpoint(folder / "run")
    without_checksum(path, lambda texts: texts)


def _check_train_checkpoint(folder):
    loaded = read_train_checkpoint(_file(folder))
    state = loaded.state
    assert state.epoch >= 1
    assert state.step >= 0
    assert state.at_epoch_end in (True, False)
    assert state.has_waited(3) in (True, False)
    assert all(map(math.isfinite, (state.lr, state.seconds)))
    assert all(isinstance(number, float) for number in (*state.losses, *state.norms))
    assert all(np.isfinite(tensor.asnumpy()).all() for tensor in loaded.tensors.values())
    checkpoint_name(state, None).encode()
    config_changes(loaded.settings, plain(Recipe()))
    dump_json([state.to_json(), asdict(loaded.data) if loaded.data else None])
    assert RunState.from_json(json.loads(dump_json(state.to_json()))) == state


def _file(folder):
    return next(path for path in sorted(folder.iterdir()) if path.is_file())


METADATA = FileTarget("metadata", _check_metadata, _make_metadata, _mutate_texts, blocks=1)
TRAIN_CHECKPOINTS = FileTarget(
    "train_checkpoints", _check_train_checkpoint, _make_train_checkpoints, _mutate_texts, blocks=2
)
