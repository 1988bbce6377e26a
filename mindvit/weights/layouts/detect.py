"""Which layout a file has, from the names of its tensors."""

from pathlib import Path

from mindvit.errors import UserError
from mindvit.weights.layouts.google import GOOGLE
from mindvit.weights.layouts.huggingface import HUGGINGFACE
from mindvit.weights.layouts.layout import Arrays, Layout
from mindvit.weights.layouts.mindcv import MINDCV
from mindvit.weights.layouts.timm import TIMM
from mindvit.weights.layouts.torchvision import TORCHVISION
from mindvit.weights.layouts.tutorial import OLD_MINDCV, TUTORIAL

LAYOUTS = (TUTORIAL, OLD_MINDCV, MINDCV, TIMM, HUGGINGFACE, TORCHVISION, GOOGLE)
_SHOWN = 5


def detect_layout(arrays: Arrays, path: Path) -> Layout:
    """The layout that fits the most of a file's names.

    Raises:
        UserError: where none fits, naming the nearest and what did not fit it.
    """
    left = {layout: layout.unexpected(arrays) for layout in LAYOUTS}
    best = min(LAYOUTS, key=lambda layout: len(left[layout]))
    if any(mark in arrays for mark in best.signature_keys):
        return best
    names = ", ".join(sorted(left[best])[:_SHOWN])
    more = f" and {len(left[best]) - _SHOWN} more" if len(left[best]) > _SHOWN else ""
    raise UserError(
        f"{path} has the layout of no Vision Transformer that is known here ("
        + ", ".join(layout.name for layout in LAYOUTS)
        + f"). The nearest is {best.name}'s"
        + (f", which has no {names}{more}" if names else f", but none of {', '.join(best.signature_keys)} is there")
    )
