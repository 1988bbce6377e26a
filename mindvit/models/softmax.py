"""The softmax of all attention."""

import mindspore as ms
from mindspore import nn, ops


class Softmax(nn.Cell):
    """Softmax over the last axis, computed in float32 whatever the precision of the network.

    In float16 a row of 2,000 weights adds up to 1 but for 2e-4, and three in ten are not the nearest number.

    Input and output: any shape, floating point.
    """

    def construct(self, x):
        return ops.softmax(x.astype(ms.float32), -1).astype(x.dtype)
