"""Replaces the cells of a network that MindSpore's exporters do not support by equal ones."""

import mindspore as ms
import numpy as np
from mindspore import Parameter, nn, ops

from mindvit.models.attention import Attention
from mindvit.models.pos_embed import RelativeBias
from mindvit.models.resnet import GROUPS, GroupNorm
from mindvit.models.vit import ViT
from mindvit.ops.convolution import Convolution, Convolve, StandardizedConvolution
from mindvit.ops.operation import Operation


class ExportedNetwork(nn.Cell):
    """The computation that is exported: a network, and what is chosen around it.

    Args:
        network: a network in evaluation mode.
        pixel_input: take RGB pixels, uint8 (batch, height, width, 3), and normalize them; else the input is that of the
            network, float32 (batch, channels, height, width), normalized.
        probabilities: return the softmax of the logits.

    Output: float32, (batch, num_classes).
    """

    def __init__(self, network: ViT, pixel_input: bool = False, probabilities: bool = False) -> None:
        super().__init__(auto_prefix=False)
        self.network = network
        self.pixel_input = pixel_input
        self.probabilities = probabilities
        preprocessing = network.config.preprocessing
        self.scale = ms.Tensor([[[[1 / (255 * std)]] for std in preprocessing.std]], ms.float32)
        pairs = zip(preprocessing.mean, preprocessing.std, strict=True)
        self.shift = ms.Tensor([[[[-mean / std]] for mean, std in pairs]], ms.float32)

    def construct(self, images):
        if self.pixel_input:
            images = images.astype(ms.float32).transpose(0, 3, 1, 2) * self.scale + self.shift
        logits = self.network(images)
        return ops.softmax(logits, -1) if self.probabilities else logits


def input_tensor(cell: ExportedNetwork, batch_size: int | None) -> ms.Tensor:
    """A tensor with the shape and the type of the input, without values to read; None leaves the batch dynamic."""
    config = cell.network.config
    height, width = config.image_shape
    shape = (height, width, config.in_channels) if cell.pixel_input else (config.in_channels, height, width)
    dtype = ms.uint8 if cell.pixel_input else ms.float32
    return ms.Tensor(shape=[batch_size, *shape], dtype=dtype, init=None if batch_size is None else "zeros")


def make_exportable(network: nn.Cell) -> nn.Cell:
    """Replaces cells of a network in evaluation mode, in place; the function it computes stays the same.

    - Relative position bias becomes a constant: ONNX export has no ``PadV3``.
    - Standardized convolutions become convolutions with the standardized weight, and convolutions the operator of
      MindSpore: ONNX export has neither ``Rsqrt`` nor the ``Im2Col`` that replaces convolutions on CPU.
    - Group norm divides by a square root: ONNX export has no ``Rsqrt``.
    - Native kernels become operators of MindSpore.

    Returns:
        The network.
    """
    network.set_train(False)
    for _, parent in list(network.cells_and_names()):
        for name, cell in list(parent.name_cells().items()):
            if isinstance(cell, RelativeBias) and isinstance(parent, Attention) and not parent.is_local:
                replacement = _ConstantBias(cell)
            elif isinstance(cell, StandardizedConvolution):
                replacement = _standardized(cell)
            elif isinstance(cell, GroupNorm):
                replacement = _DividingGroupNorm(cell)
            else:
                continue
            _replace(parent, name, replacement)
    for _, cell in network.cells_and_names():
        if isinstance(cell, Convolve):
            cell.uses_stock_operator = True
        if isinstance(cell, Operation):
            cell.is_native = False
        cell.compile_cache.clear()
    return network


def _replace(parent: nn.Cell, name: str, replacement: nn.Cell) -> None:
    """Replaces a child cell. The parameters of the replacement keep their names, which setattr would change."""
    names = [parameter.name for parameter in replacement.get_parameters()]
    setattr(parent, name, replacement)
    for parameter, kept in zip(replacement.get_parameters(), names, strict=True):
        parameter.name = kept


class _ConstantBias(nn.Cell):
    """The output of a ``RelativeBias``, as a weight."""

    def __init__(self, cell: RelativeBias) -> None:
        super().__init__()
        heads, tokens = cell.num_heads, cell.num_patches
        bias = cell.table.asnumpy().reshape(heads, -1)[:, cell.indices.asnumpy()].reshape(1, heads, tokens, tokens)
        prefix = cell.padding[0]
        bias = np.pad(bias, ((0, 0), (0, 0), (prefix, 0), (prefix, 0)))
        self.bias = Parameter(ms.Tensor(bias), name=cell.table.name, requires_grad=False)

    def construct(self):
        return self.bias


class _DividingGroupNorm(nn.Cell):
    """``GroupNorm`` with a square root and a quotient."""

    def __init__(self, norm: GroupNorm) -> None:
        super().__init__()
        self.gamma, self.beta = norm.gamma, norm.beta

    def construct(self, x):
        batch, channels, _, _ = x.shape
        y = x.reshape(batch, GROUPS, -1)
        y = y - y.mean(2, keep_dims=True)
        y = y / ops.sqrt((y * y).mean(2, keep_dims=True) + 1e-5)
        y = y.reshape(batch, channels, -1) * self.gamma.reshape(1, -1, 1) + self.beta.reshape(1, -1, 1)
        return y.reshape(x.shape)


def _standardized(cell: StandardizedConvolution) -> Convolution:
    """The convolution with the weight that weight standardization gives it."""
    out_channels, in_channels, kernel_size, _ = cell.weight.shape
    plain = Convolution(in_channels, out_channels, kernel_size)
    plain.convolve = cell.convolve
    rows = cell.weight.asnumpy().astype(np.float64).reshape(out_channels, -1)
    rows = (rows - rows.mean(1, keepdims=True)) / np.sqrt(rows.var(1, keepdims=True) + 1e-8)
    values = ms.Tensor(rows.reshape(cell.weight.shape).astype(np.float32))
    plain.weight = Parameter(values, name=cell.weight.name, requires_grad=False)
    return plain
