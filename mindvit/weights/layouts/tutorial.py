"""The layout of this project and of MindSpore's ViT tutorial; MindCV before 0.3 has the same under a prefix."""

import re

from mindvit.weights.layouts.key_map import KeyMap
from mindvit.weights.layouts.layout import Arrays, Layout, tutorial_preprocessing

_OURS = (
    "cls|distillation|registers|pos_embedding|pos_rows|pos_columns|patch_embedding\\.conv\\.(weight|bias)"
    "|transformer\\.layers\\..+|(norm|pool|pre_logits|dense|dense_distillation|stem)\\..+"
)


class _IdentityMap(KeyMap):
    """Keeps our own names."""

    def __init__(self) -> None:
        super().__init__([])

    def knows(self, theirs: str) -> bool:
        return re.fullmatch(_OURS, theirs) is not None

    def to_ours(self, arrays: Arrays) -> Arrays:
        return {name: values for name, values in arrays.items() if self.knows(name)}


TUTORIAL = Layout(
    name="tutorial",
    signature_keys=("patch_embedding.conv.weight", "transformer.layers.0.0.cell.0.gamma"),
    key_map=_IdentityMap(),
    norm_eps=1e-7,
    gelu="tanh",
    preprocessing=tutorial_preprocessing,
)

_PREFIX = "backbone."
_OLD_NAMES = {"cls_token": "cls", "head.dense": "dense", "head.classifier": "dense"}


def _without_prefix(arrays: Arrays) -> Arrays:
    regular = {}
    for name, values in arrays.items():
        name = name.removeprefix(_PREFIX)
        for theirs, ours in _OLD_NAMES.items():
            name = re.sub(rf"^{re.escape(theirs)}(?=\.|$)", ours, name)
        regular[name] = values
    return regular


OLD_MINDCV = Layout(
    name="mindcv (before 0.3)",
    signature_keys=(f"{_PREFIX}pos_embedding", f"{_PREFIX}patch_embedding.conv.weight"),
    key_map=_IdentityMap(),
    norm_eps=1e-7,
    gelu="tanh",
    preprocessing=tutorial_preprocessing,
    prepare=_without_prefix,
)
