"""Makes stems.npz: outputs and gradients of timm's stems for hybrids, the reference for the stems of mindvit.

The script needs PyTorch and timm, which mindvit does not depend on. Run it from the folder of the project, in a
separate environment:
    python -m tests.references.make_stem_references
The committed file was made by timm 1.0.31, PyTorch 2.13.0 (CPU) and NumPy 1.26.4 with Python 3.11 on x86-64. It was
computed in float64 and rounded to float32.

The file does not contain weights and images. ``weight`` and ``image`` make both from names and shapes, here and in the
tests. The convolutions of the ResNet and its images are so small that both epsilons have an effect. Arrays:
    <net>/names              parameter names of mindvit
    <net>/output             output; <net> is resnet (two stages, width 32), or efficientnet (B0 at full size)
    <block>/output           output of a block of EfficientNet-B0 in training mode; <block> is block1.1 or block2.0
    <block>/statistics/<n>   moving statistics after this pass
    <net or block>/gradient/input, <net or block>/gradient/<name>
                             gradients of sum(output * image(output.shape)); for weights, the scalar product with
                             ``direction`` of their name and shape (none for efficientnet)
    counts                   JSON string: parameters and multiply-adds of each named stem
"""

import json
import re
import zlib
from functools import partial
from pathlib import Path

import numpy as np

TARGET = Path(__file__).with_name("stems.npz")

RESNET = {"layers": (2, 1), "width": 32}
IMAGES = {
    "resnet": (2, 3, 32, 48),
    "efficientnet": (2, 3, 64, 96),
    "block1.1": (3, 24, 6, 8),
    "block2.0": (3, 24, 6, 8),
}
SCALES = {"resnet": 0.003}
COUNTED = ((224, 224), (96, 160))


def _normal(key, shape):
    return np.random.default_rng(zlib.crc32(key.encode())).standard_normal(shape).astype(np.float32)


def weight(net, name, shape):
    """The value of a parameter, float32: gamma near 1, statistics and beta near 0, convolutions scaled by fan-in."""
    values = _normal(f"{net} {name}", shape)
    if name.endswith("moving_variance"):
        return np.exp(0.3 * values)
    if name.endswith("gamma"):
        return 1 + 0.2 * values
    if len(shape) == 1:
        return 0.2 * values
    return values * np.float32(1e-3 if net == "resnet" else (2.0 / np.prod(shape[1:])) ** 0.5)


def image(net, shape=None):
    """The input, float32; with a shape, the factor of the output in the scalar that is differentiated."""
    if shape is not None:
        return _normal(f"{net} cotangent", shape)
    # The reference values were computed with this seed text.
    return _normal(f"{net} picture", IMAGES[net]) * np.float32(SCALES.get(net, 1.0))


def direction(name, shape):
    """The array that the gradient of a weight is multiplied by, float32."""
    return _normal(f"direction {name}", shape)


def rename(name):
    """The name in mindvit of a parameter of timm's stems."""
    pairs = [(r"^stem\.", "root."), (r"\.blocks\.", "."), (r"downsample\.conv", "projection")]
    pairs += [(r"downsample\.norm", "projection_norm"), (r"^conv_stem", "conv"), (r"^bn1", "norm")]
    if name.startswith("blocks.0."):
        pairs += [("bn1", "depthwise_norm"), ("bn2", "project_norm"), ("conv_pw", "project")]
    pairs += [("^blocks", "stages"), ("bn1", "expand_norm"), ("bn2", "depthwise_norm"), ("bn3", "project_norm")]
    pairs += [("conv_pwl", "project"), ("conv_pw", "expand"), ("conv_dw", "depthwise"), (r"se\.conv_", "squeeze.")]
    pairs += [(r"(norm\d?)\.weight", r"\1.gamma"), (r"(norm\d?)\.bias", r"\1.beta")]
    pairs += [("running_mean", "moving_mean"), ("running_var", "moving_variance")]
    for pattern, replacement in pairs:
        name = re.sub(pattern, replacement, name)
    return name


def fill(net, module, prefix=""):
    """Sets the weights of a module. Returns the tensors of its state by mindvit's names, without the prefix."""
    import torch

    tensors = {}
    for theirs, tensor in module.state_dict(keep_vars=True).items():
        if not theirs.endswith("num_batches_tracked"):
            name = rename(prefix + theirs).removeprefix(rename(prefix))
            with torch.no_grad():
                tensor.copy_(torch.from_numpy(weight(net, name, tuple(tensor.shape))))
            tensors[name] = tensor
    return tensors


def run(net, module, tensors, gradients=True):
    """Runs a network or block, which keeps its state after the pass. Returns its arrays."""
    import torch

    x = torch.from_numpy(image(net)).double().requires_grad_()
    output = module(x)
    arrays = {"output": output, "names": np.array(sorted(tensors))}
    if gradients:
        cotangent = torch.from_numpy(image(net, tuple(output.shape))).double()
        (output * cotangent).sum().backward()
        arrays["gradient/input"] = x.grad
        for name, tensor in tensors.items():
            if tensor.requires_grad:
                arrays[f"gradient/{name}"] = (tensor.grad * direction(name, tuple(tensor.shape))).sum()
    return {
        f"{net}/{name}": value if isinstance(value, np.ndarray) else value.detach().numpy().astype(np.float32)
        for name, value in arrays.items()
    }


def main():
    import timm
    import torch
    from timm.layers import StdConv2dSame
    from timm.models.resnetv2 import ResNetV2
    from timm.models.vision_transformer_hybrid import _resnetv2
    from torch.utils.flop_counter import FlopCounterMode

    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    width = RESNET["width"]
    resnet = ResNetV2(
        layers=RESNET["layers"],
        channels=[4 * width * 2**stage for stage in range(len(RESNET["layers"]))],
        stem_chs=width,
        num_classes=0,
        global_pool="",
        preact=False,
        stem_type="same",
        conv_layer=partial(StdConv2dSame, eps=1e-8),
    ).double()
    arrays = run("resnet", resnet, fill("resnet", resnet))

    network = timm.create_model("efficientnet_b0").eval().double()
    stem = torch.nn.ModuleDict({"conv_stem": network.conv_stem, "bn1": network.bn1, "blocks": network.blocks})
    tensors = fill("efficientnet", stem)
    in_order = torch.nn.Sequential(*stem.values())
    arrays |= run("efficientnet", in_order, tensors, gradients=False)

    for stage, index in ((1, 1), (2, 0)):
        net, block = f"block{stage}.{index}", network.blocks[stage][index].train()
        tensors = fill(net, block, f"blocks.{stage}.{index}.")
        arrays |= run(net, block, tensors)
        for name, tensor in tensors.items():
            if "moving" in name:
                arrays[f"{net}/statistics/{name}"] = tensor.numpy().astype(np.float32)

    modules = {"r26": _resnetv2((2, 2, 2, 2)), "r50": _resnetv2((3, 4, 6, 3)), "r50_s16": _resnetv2((3, 4, 9))}
    modules["efficientnet_b0"] = in_order.eval().float()
    counts = {}
    for name, module in modules.items():
        counts[name] = {"parameters": sum(parameter.numel() for parameter in module.parameters())}
        for height, wide in COUNTED:
            with FlopCounterMode(display=False) as counter, torch.no_grad():
                module(torch.zeros(1, 3, height, wide))
            counts[name][f"{height}x{wide}"] = counter.get_total_flops() // 2
    arrays["counts"] = np.array(json.dumps(counts))
    np.savez_compressed(TARGET, **arrays)
    print(json.dumps(counts, indent=1))
    for name, value in arrays.items():
        if name.endswith("output"):
            print(name, value.shape, value.std())
    print(f"{TARGET.name}: {len(arrays)} arrays, {TARGET.stat().st_size} bytes")


if __name__ == "__main__":
    main()
