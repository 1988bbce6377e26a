"""``config.json`` and ``preprocessor_config.json`` beside weights."""

import json

from mindvit.weights.published_architecture import read_published_architecture
from mindvit.weights.sidecar_config import read_sidecar_config
from tests.fuzz.mutations import mutated_json
from tests.fuzz.target import FileTarget, mutate_a_file
from tests.weights.published import FOLDER, write_json

_NAMES = ("config.json", "preprocessor_config.json")
_TIMM = {
    "architecture": "vit_base_patch16_224",
    "global_pool": "avg",
    "label_names": ["a", "b"],
    "label_descriptions": {"a": "a cat"},
    "model_args": {"embed_dim": 24, "img_size": [16, 64], "mlp_ratio": 2.0, "act_layer": "gelu", "fc_norm": False},
    "pretrained_cfg": {"input_size": [3, 32, 32], "mean": [0.5] * 3, "crop_pct": 0.9, "crop_mode": "center"},
}


def _make_seeds(folder):
    published = [json.loads((FOLDER / "huggingface_vit" / name).read_text()) for name in _NAMES]
    for kind, config in (("huggingface", published[0]), ("timm", _TIMM)):
        (folder / kind).mkdir()
        for name, content in zip(_NAMES, (config, published[1]), strict=True):
            write_json(folder / kind / name, content)


def _mutate(folder, rng):
    if rng.random() < 0.2:
        mutate_a_file(folder, rng)
        return
    path = folder / rng.choice(_NAMES)
    write_json(path, mutated_json(json.loads(path.read_text()), rng))


def _check(folder):
    path = folder / "model.safetensors"
    read_published_architecture(path)
    settings, classes = read_sidecar_config(path)
    assert isinstance(settings, dict)
    assert classes is None or len(set(classes.ids)) == len(classes.names)


SIDECARS = FileTarget("sidecars", _check, _make_seeds, _mutate, blocks=4)
