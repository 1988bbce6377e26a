"""Detects the layout of a file from the names of its tensors."""

from pathlib import Path

from mindvit.errors import UserError
from mindvit.weights.layouts.google import GOOGLE
from mindvit.weights.layouts.huggingface import HUGGINGFACE
from mindvit.weights.layouts.layout import Arrays, Layout
from mindvit.weights.layouts.look_alikes import refuse_look_alike
from mindvit.weights.layouts.mindcv import MINDCV
from mindvit.weights.layouts.timm import TIMM
from mindvit.weights.layouts.torchvision import TORCHVISION
from mindvit.weights.layouts.tutorial import OLD_MINDCV, TUTORIAL

LAYOUTS = (TUTORIAL, OLD_MINDCV, MINDCV, TIMM, HUGGINGFACE, TORCHVISION, GOOGLE)
_SHOWN = 5


def detect_layout(arrays: Arrays, path: Path) -> Layout:
    """The layout with the fewest unexpected names.

    Args:
        arrays: tensors by the names of the file.
        path: the file, for messages.

    Raises:
        UserError: if the file has none of the signature keys of that layout, or is of a known kind of model that is not
            supported; the message names what does not fit.
    """
    refuse_look_alike(arrays, path)
    unexpected = {layout: layout.unexpected(arrays) for layout in LAYOUTS}
    best = min(LAYOUTS, key=lambda layout: len(unexpected[layout]))
    if any(key in arrays for key in best.signature_keys):
        return best
    names = ", ".join(sorted(unexpected[best])[:_SHOWN])
    more = f" and {len(unexpected[best]) - _SHOWN} more" if len(unexpected[best]) > _SHOWN else ""
    raise UserError(
        f"{path} has no known layout of a Vision Transformer (known are "
        + ", ".join(layout.name for layout in LAYOUTS)
        + f"). The nearest layout is {best.name}; "
        + (f"it has no {names}{more}" if names else f"the file has none of {', '.join(best.signature_keys)}")
    )
