"""Whether a network fits into the memory of this machine."""

import os
from dataclasses import replace

from mindvit.analysis.counting import local_attention_pairs, parameter_count
from mindvit.errors import UserError
from mindvit.models.vit_config import ViTConfig

_BYTES = 4


def check_fits(config: ViTConfig) -> None:
    """Checks, before anything is allocated, that one image, the weights and the fixed tables of a network fit.

    Training takes several times as much: see ``mindvit.analysis.memory``.

    Raises:
        UserError: if one of them alone takes more than all memory of this machine.
    """
    height, width = config.image_shape
    _check(f"an image of {height}x{width} px takes", config.in_channels * height * width, "image_size")
    # Without the stem, whose size is fixed and small; to count it takes seconds.
    count = parameter_count(replace(config, stem=None))
    sizes = "depth, embed_dim, mlp_dim, register_tokens, image_size"
    _check(f"the {count:,} parameters of the model take", count, f"model ({sizes})")
    tokens = config.prefix_tokens + config.num_patches
    if config.pos_embed == "sincos2d":
        _check("the position embeddings take", config.num_patches * config.embed_dim, "image_size or embed_dim")
    if config.pos_embed == "relative":
        # Made as a list of integers, of 36 bytes each.
        _check("the relative position biases take", 9 * tokens**2, "image_size or a larger patch_size")
    if config.window_size is not None:
        scores = local_attention_pairs(config.grid, config.window_size, config.prefix_tokens)
        _check("the mask of local attention takes", scores, "image_size or window_size")


def _check(what: str, numbers: int, settings: str) -> None:
    available = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    if _BYTES * numbers > available:
        raise UserError(
            f"{what} {_BYTES * numbers / 1e9:,.0f} GB, but this machine has {available / 1e9:,.0f} GB of memory; set a "
            f"smaller {settings}"
        )
