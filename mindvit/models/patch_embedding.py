"""Patch embedding: an image, or a feature map, becomes a sequence of patch tokens."""

import mindspore as ms
from mindspore import Tensor, nn, ops

from mindvit.ops.patch_projection import PatchProjection


class PatchEmbedding(nn.Cell):
    """Divides an image into square patches and projects each patch linearly (Dosovitskiy et al., 2021, eq. 1).

    The projection is ``conv``, whose parameters are those of a convolution. If patches overlap, shared rows and columns
    are repeated first.

    Args:
        image_size: side of the square input, or its height and width, in pixels (or cells of a feature map).
        patch_size: side of a patch, in the same unit.
        in_channels: channels of the input.
        embed_dim: embedding dimension.
        stride: distance between patches, in the same unit; None is ``patch_size``. It must divide
            ``image_size - patch_size``.

    Input: (batch, in_channels, height, width). Output: (batch, patches, embed_dim), patches row by row.
    """

    def __init__(
        self,
        image_size: int | tuple[int, int],
        patch_size: int,
        in_channels: int,
        embed_dim: int,
        stride: int | None = None,
    ) -> None:
        super().__init__()
        stride = stride or patch_size
        sides = image_size if isinstance(image_size, tuple) else (image_size, image_size)
        self.patch_size = patch_size
        self.in_channels = in_channels
        self.embed_dim = embed_dim
        self.grid = tuple((side - patch_size) // stride + 1 for side in sides)
        self.num_patches = self.grid[0] * self.grid[1]
        self.overlaps = stride < patch_size
        if self.overlaps:
            self.rows, self.columns = (
                Tensor([index * stride + offset for index in range(count) for offset in range(patch_size)], ms.int32)
                for count in self.grid
            )
        self.conv = PatchProjection(in_channels, embed_dim, patch_size)

    def construct(self, x):
        if self.overlaps:
            x = ops.gather(ops.gather(x, self.rows, 2), self.columns, 3)
        return self.conv(x)
