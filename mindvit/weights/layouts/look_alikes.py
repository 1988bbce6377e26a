"""Models whose tensors have the names of a Vision Transformer, but which compute something else."""

import re
from pathlib import Path
from typing import NamedTuple

from mindvit.errors import UserError
from mindvit.weights.layouts.layout import Arrays


class _LookAlike(NamedTuple):
    names: str
    """Pattern of a tensor name that only these models have."""
    reason: str


_LOOK_ALIKES = (
    _LookAlike(
        r"(^|\.)embeddings\.patch_embeddings\.weight",
        "DINOv3 of Transformers, which is not supported: its attention rotates queries and keys by their position",
    ),
    _LookAlike(
        r"(^|\.)layer_scale[12]\.lambda1",
        "DINOv2 of Transformers, whose layout is not supported. Use timm's file of the same weights, such as "
        "vit_base_patch14_dinov2.lvd142m, with the model vit_b_14_224, image_size 518 and layer_scale 1e-5",
    ),
    _LookAlike(
        r"^(beit|data2vec_vision)\.|^blocks\.\d+\.attn\.(q_bias|relative_position_bias_table)$"
        r"|^rel_pos_bias\.|(^|\.)(layer|layers)\.\d+\.lambda_[12]$|(^|\.)encoder\.relative_position_bias\.",
        "BEiT or one of its successors (Data2Vec, EVA), which are not supported: their attention has no bias of the "
        "keys, or has relative position biases of another form",
    ),
)


def refuse_look_alike(arrays: Arrays, path: Path) -> None:
    """Refuses the weights of models that are known not to be supported, instead of taking them for the nearest layout.

    Raises:
        UserError: naming the kind of model, the reason and, if there is one, a file that can be used instead.
    """
    for look_alike in _LOOK_ALIKES:
        if any(re.search(look_alike.names, name) for name in arrays):
            raise UserError(f"{path} has the weights of {look_alike.reason}")
