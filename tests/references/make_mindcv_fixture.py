"""Makes weights/mindcv.npz: the weights and the logits of a tiny ViT of MindCV 0.3.0.

The script needs MindCV, which mindvit does not depend on. Run it from the folder of the project:
    python -m tests.references.make_mindcv_fixture
The committed file was made by MindCV 0.3.0 on MindSpore 2.10.0 (CPU). make_weight_fixtures.py describes its arrays.
"""

import mindspore as ms
import numpy as np
from mindcv.models.vit import VisionTransformer

from tests.weights.published import (
    CLASSES,
    DEPTH,
    HEADS,
    HIDDEN,
    IMAGE,
    PATCH,
    WIDTH,
    pack,
    random_images,
    random_weights,
)


def kind_of(name, values):
    if name.endswith("gamma"):
        return "gamma"
    if values.ndim == 1:
        return "table" if name.startswith("patch_embed") else "vector"
    return {4: "patches", 3: "table"}.get(values.ndim, "matrix")


def main():
    ms.set_context(mode=ms.GRAPH_MODE)
    model = VisionTransformer(
        image_size=IMAGE,
        patch_size=PATCH,
        embed_dim=WIDTH,
        depth=DEPTH,
        num_heads=HEADS,
        mlp_ratio=HIDDEN / WIDTH,
        num_classes=CLASSES,
    ).set_train(False)
    rng = np.random.default_rng(60)
    arrays = {}
    for parameter in model.get_parameters():
        values = random_weights(kind_of(parameter.name, parameter), parameter.shape, rng)
        parameter.set_data(ms.Tensor(values))
        arrays[f"vit/weights/{parameter.name}"] = values
    arrays["vit/logits"] = model(ms.Tensor(random_images())).asnumpy()
    print(pack("mindcv", arrays))


if __name__ == "__main__":
    main()
