"""Makes weights/checkpoint_v1.ckpt, a checkpoint with metadata of format 1, and the logits that it gives.

The script needs the code of mindvit 0.1: commit 29eccec, the last one before format 2. Run it from the folder of the
project, with the path of a copy of that commit:
    git archive --prefix=mindvit-0.1/ 29eccec | tar -x -C /tmp
    PYTHONPATH=/tmp/mindvit-0.1 python tests/references/make_checkpoint_v1.py
The committed files were made by MindSpore 2.10.0 (CPU, graph mode) with Python 3.11 on x86-64.

All settings of the model whose names changed have values other than their defaults. Arrays of checkpoint_v1.npz:
    images    (2, 3, 16, 16) float32
    logits    (2, 2) float32, of these images
"""

from pathlib import Path

import mindspore as ms
import numpy as np
from mindvit.weights.passport import Passport

from mindvit.data.split import Classes
from mindvit.factory import create_model
from mindvit.weights.checkpoint import write_checkpoint

TARGET = Path(__file__).with_name("weights") / "checkpoint_v1.ckpt"


def main():
    ms.set_context(mode=ms.GRAPH_MODE)
    network = create_model(
        "vit_mini_4_32",
        num_classes=2,
        image_size=16,
        embed_dim=32,
        depth=2,
        num_heads=2,
        mlp_dim=64,
        positions="learned2d",
        prefix_positions=False,
        layer_dropout=0.1,
        window=3,
        norm_eps=1e-5,
        gelu="exact",
        crop_pct=0.8,
    )
    rng = np.random.default_rng(0)
    for parameter in network.get_parameters():
        values = 0.2 * rng.standard_normal(parameter.shape)
        if parameter.name.endswith("gamma"):
            values += 1
        parameter.set_data(ms.Tensor(values.astype(np.float32)))
    metadata = Passport(
        model_name="vit_mini_4_32",
        model=network.config,
        classes=Classes(("n1", "n2"), ("Katze", "狗")),
        data_source="imagenet",
        data_path="dataset",
        is_part=True,
        epoch=3,
        metrics={"top1": 75.25, "loss": 1.5},
        origin="timm",
    )
    write_checkpoint(TARGET, network, metadata)
    images = rng.standard_normal((2, 3, 16, 16)).astype(np.float32)
    logits = network.set_train(False)(ms.Tensor(images)).asnumpy()
    np.savez_compressed(TARGET.with_suffix(".npz"), images=images, logits=logits)
    print(logits)
    print(f"{TARGET.name}: {TARGET.stat().st_size:,} bytes")


if __name__ == "__main__":
    main()
