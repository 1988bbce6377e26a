"""Mixup and CutMix of a batch, on the device."""

import mindspore as ms
from mindspore import nn, ops


class Mixup(nn.Cell):
    """Mixup and CutMix (Zhang et al., 2018; Yun et al., 2019) of a batch with itself in reverse order.

    ``mindvit.data.augment.draw_mixup.draw_mixup`` draws the parameters. In a batch of odd size the middle image is
    mixed with itself. The mixing runs on the device and not in the data pipeline because its cost there is negligible.

    Args:
        num_classes: number of classes.

    Inputs: images, (batch, channels, height, width); labels, int32 (batch,); mix, float32 (6,): target_weight,
    pixel_weight, top, bottom, left, right. Outputs: the mixed images, and targets, float32 (batch, num_classes).
    """

    def __init__(self, num_classes: int) -> None:
        super().__init__()
        self.num_classes = num_classes
        self.reverse = ops.ReverseV2(axis=[0])

    def construct(self, images, labels, mix):
        height, width = images.shape[-2:]
        row = ops.arange(height).astype(ms.float32).reshape(height, 1)
        column = ops.arange(width).astype(ms.float32).reshape(1, width)
        in_rows = ops.logical_and(row >= mix[2], row < mix[3])
        in_box = ops.logical_and(in_rows, ops.logical_and(column >= mix[4], column < mix[5]))
        weight = (1.0 - in_box.astype(ms.float32)) * mix[1]
        targets = ops.one_hot(labels, self.num_classes, 1.0, 0.0).astype(ms.float32)
        images = images * weight + self.reverse(images) * (1.0 - weight)
        return images, targets * mix[0] + self.reverse(targets) * (1.0 - mix[0])
