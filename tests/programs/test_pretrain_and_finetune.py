"""The recipes for digits with a small model: pretrain on some classes, fine-tune on others at a higher resolution."""

import json

import numpy as np
import pytest
import yaml

from mindvit.weights.checkpoint import read_checkpoint
from tests.conftest import ROOT

SMALL = ["--model.depth", 1, "--model.embed_dim", 32, "--model.num_heads", 2, "--model.mlp_dim", 64]


def test_the_recipes_fit_together():
    texts = [(ROOT / f"configs/{name}_digits.yaml").read_text() for name in ("pretrain", "finetune")]
    first, second = map(yaml.safe_load, texts)
    assert second["model"]["checkpoint"] == f"{first['output_dir']}/best.ckpt"
    assert first["model"]["name"] == second["model"]["name"]
    assert first["model"]["image_size"] < second["model"]["image_size"]
    assert not set(first["data"]["classes"]) & set(second["data"]["classes"])


@pytest.mark.slow
def test_pretraining_and_fine_tuning(run_program, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    quick = [*SMALL, "--train.epochs", 1, "--train.steps", 4, "--data.num_workers", 1, "--runtime.peak_tflops", 0.1]
    quick += ["--runtime.mode", "pynative"]
    code, out, err = run_program("train.py", "--config", ROOT / "configs/pretrain_digits.yaml", *quick)
    assert code == 0, err
    assert "720 training images, 181 for validation" in out

    # With a learning rate this small, the saved weights are the loaded ones.
    constant = [*quick, "--optimizer.lr", 1e-12, "--data.samples_per_class", 4]
    with (
        pytest.warns(match=r"position embeddings are resized from 4x4 to 6x6 patches \(bicubic\)"),
        pytest.warns(match="head has other classes than the model's; dense is newly initialized"),
    ):
        code, out, err = run_program("train.py", "--config", ROOT / "configs/finetune_digits.yaml", *constant)
    assert code == 0, err
    assert "24x24 px, patch size 4" in out
    assert "20 training images, 179 for validation" in out
    assert "classes    5: 5, 6, 7, 8, 9\n" in out
    # After one epoch, rounding decides whether the raw weights or their average are the best.
    pretrained = read_checkpoint("output/pretrain_digits/best.ckpt")
    finetuned = read_checkpoint("output/finetune_digits/last.ckpt")
    assert pretrained.metadata.classes.ids == ("0", "1", "2", "3", "4")
    assert finetuned.metadata.classes.ids == ("5", "6", "7", "8", "9")
    for name, value in pretrained.tensors.items():
        if name not in ("pos_embedding", "dense.weight", "dense.bias"):
            np.testing.assert_allclose(finetuned.tensors[name], value, atol=1e-6, err_msg=name)
    np.testing.assert_allclose(finetuned.tensors["dense.weight"], 0, atol=1e-6)

    code, out, err = run_program("eval.py", "--ckpt", "output/finetune_digits/best.ckpt", "--output", "result.json")
    assert code == 0, err
    assert "images   179" in out
    assert "omitted  181 of other classes: 0, 1, 2, 3, 4" in out
    trained = json.loads((tmp_path / "output/finetune_digits/summary.json").read_text())
    assert json.loads((tmp_path / "result.json").read_text())["top1"] == pytest.approx(trained["top1"])
