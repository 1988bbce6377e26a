"""Compares evaluation with the pipelines of timm, torchvision and Transformers: logits and Top-1 on 200 images.

The script needs PyTorch, timm, torchvision and Transformers beside mindvit. It is run by hand, from the folder of the
project, and takes about 15 minutes on two cores:
    python -m tests.references.compare_evaluation
It ends with exit status 1 if a logit differs by more than 1e-3, or if a Top-1 differs.

For each preprocessing in the table of variants, a small Transformer of timm with random weights classifies 200
synthetic photos of odd sizes, by timm's own transform and network. mindvit reads the same weights (its loader converts
them) and the same files, through its evaluation pipeline. torchvision's ViT with the preset of its ViT-B/16, and ViT
and DeiT of Transformers with their image processors (those that resize with Pillow), are compared in the same way. For
them mindvit itself finds the preprocessing, from the layout of the weights or from the sidecar config. The last two
columns are what a resize without antialiasing (``--model.resize mindspore``) gives in place of the right one: the
comparison can see the difference.
"""

import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path
from tempfile import TemporaryDirectory

import mindspore as ms
import numpy as np
import torch
import transformers
from PIL import Image
from torch import library as operators

# The compiled operators of torchvision do not load beside a CPU build of PyTorch. No transform or network uses them.
torchvision_operators = operators.Library("torchvision", "DEF")
for name in ("nms", "qnms"):
    torchvision_operators.define(f"{name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")

import torchvision  # noqa: E402
from timm.data import create_transform  # noqa: E402
from timm.models.vision_transformer import VisionTransformer  # noqa: E402
from transformers.models.deit.image_processing_pil_deit import DeiTImageProcessorPil  # noqa: E402
from transformers.models.vit.image_processing_pil_vit import ViTImageProcessorPil  # noqa: E402

from mindvit.data.folder import open_unlabelled  # noqa: E402
from mindvit.data.pipeline import eval_pipeline  # noqa: E402
from mindvit.data.split import Split  # noqa: E402
from mindvit.factory import create_model  # noqa: E402
from mindvit.models.variants import list_models, model_config  # noqa: E402
from mindvit.models.vit import ViT  # noqa: E402
from mindvit.models.vit_config import Preprocessing  # noqa: E402
from tests.data.photos import photo  # noqa: E402

IMAGES, BATCH = 200, 20
SIZES = {"embed_dim": 192, "depth": 2, "num_heads": 3}
Logits = np.ndarray
Theirs = Callable[[Image.Image], torch.Tensor]


def make_images(folder: Path) -> None:
    """Writes PNG files; widths and heights are from 40 to 700 pixels, mostly 200 to 600."""
    rng = np.random.default_rng(13)
    for index in range(IMAGES):
        low, high = (200, 600) if index % 4 else (40, 700)
        width, height = rng.integers(low, high, 2).tolist()
        photo(width, height, index).save(folder / f"{index:03}.png")


def randomize(network: torch.nn.Module, seed: int) -> torch.nn.Module:
    """Random weights at which each layer has an effect on the logits, which are about 1."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in network.parameters():
            scale = parameter[0].numel() ** -0.5 if parameter.ndim > 1 else 0.1
            noise = torch.randn(parameter.shape, generator=generator) * scale
            parameter.copy_(noise + 1 if parameter.ndim == 1 and parameter.mean() > 0.5 else noise)
    return network.eval()


def theirs(files: list[Path], transform: Theirs, network: Callable[[torch.Tensor], torch.Tensor]) -> Logits:
    """The logits of another library."""
    found = []
    with torch.inference_mode():
        for start in range(0, len(files), BATCH):
            images = [Image.open(file).convert("RGB") for file in files[start : start + BATCH]]
            found.append(network(torch.stack([transform(image) for image in images])).numpy())
    return np.concatenate(found)


def ours(split: Split, network: ViT) -> Logits:
    """The logits of mindvit for the same files."""
    network.set_train(False)
    batches = eval_pipeline(split, network.config, BATCH, 2).create_tuple_iterator(num_epochs=1)
    return np.concatenate([network(images).asnumpy() for images, _ in batches])[: len(split)]


def timm_cases(folder: Path) -> Iterator[tuple]:
    """A case for each preprocessing and image size in the table of variants."""
    cases: dict[tuple[Preprocessing, int], list[str]] = {}
    for name in list_models():
        config = model_config(name)
        cases.setdefault((config.preprocessing, config.image_size), []).append(name)
    for index, ((preprocessing, side), names) in enumerate(cases.items()):
        patch = 14 if all("_14_" in name for name in names) else 4 if side < 64 else 16
        network = randomize(VisionTransformer(img_size=side, patch_size=patch, **SIZES), index)
        path = folder / f"timm_{index}.pth"
        torch.save(network.state_dict(), path)
        transform = create_transform(
            side,
            interpolation=preprocessing.interpolation,
            mean=preprocessing.mean,
            std=preprocessing.std,
            crop_pct=preprocessing.crop_pct,
        )
        settings = asdict(preprocessing) | {"image_size": side, "patch_size": patch, "mlp_dim": 768, **SIZES}
        made = [
            create_model("vit_ti_16_224", checkpoint=str(path), **settings | {"resize": resize})
            for resize in (preprocessing.resize, "mindspore")
        ]
        yield f"timm: {names[0]}" + (f" and {len(names) - 1} more" if len(names) > 1 else ""), transform, network, *made


def other_cases(folder: Path) -> Iterator[tuple]:
    """Small models of torchvision and Transformers, with what mindvit itself finds for them."""
    sizes = {"num_layers": 2, "num_heads": 3, "hidden_dim": 192, "mlp_dim": 768}
    network = randomize(torchvision.models.VisionTransformer(224, 16, **sizes), 100)
    torch.save(network.state_dict(), folder / "torchvision.pth")
    preset = torchvision.models.ViT_B_16_Weights.IMAGENET1K_V1.transforms()
    made = [
        create_model("vit_ti_16_224", checkpoint=str(folder / "torchvision.pth"), depth=2, **settings)
        for settings in ({}, {"resize": "mindspore"})
    ]
    yield "torchvision: preset of vit_b_16", preset, network, *made
    sizes = {"hidden_size": 192, "num_hidden_layers": 2, "num_attention_heads": 3, "intermediate_size": 768}
    for index, (kind, name) in enumerate((("ViT", "vit_ti_16_224"), ("DeiT", "deit_ti_distilled_16_224"))):
        network_class = "DeiTForImageClassificationWithTeacher" if kind == "DeiT" else "ViTForImageClassification"
        config = getattr(transformers, f"{kind}Config")(**sizes, num_labels=1000)
        network = randomize(getattr(transformers, network_class)(config), 200 + index)
        processor = {"ViT": ViTImageProcessorPil, "DeiT": DeiTImageProcessorPil}[kind]()
        path = folder / kind
        for part in (network, processor):
            part.save_pretrained(path)
        made = [
            create_model(name, checkpoint=str(path / "model.safetensors"), depth=2, **settings)
            for settings in ({}, {"resize": "mindspore"})
        ]

        def transform(image: Image.Image, processor=processor) -> torch.Tensor:
            return processor(image, return_tensors="pt")["pixel_values"][0]

        yield f"Transformers: {kind}", transform, lambda images, network=network: network(images).logits, *made


def main() -> int:
    """Prints the table; returns the exit status."""
    ms.set_context(mode=ms.GRAPH_MODE)
    start, wrong = time.time(), 0
    columns = "| images of | px | interpolation | crop | resize | Top-1 agreement | max. difference | std of logits | no antialiasing: Top-1 | max. difference |"  # noqa: E501
    print(columns, "|" + "---|" * 10, sep="\n")
    with TemporaryDirectory() as folder:
        images, weights = Path(folder, "images"), Path(folder, "weights")
        for made in (images, weights):
            made.mkdir()
        make_images(images)
        files, split = sorted(images.iterdir()), open_unlabelled(images)
        for cases in (timm_cases(weights), other_cases(weights)):
            for title, transform, network, right, other in cases:
                expected = theirs(files, transform, network)
                row = [title, right.config.image_size, right.config.preprocessing.interpolation]
                row += [f"{right.config.preprocessing.crop_pct:g}", right.config.preprocessing.resize]
                for model in (right, other):
                    found = ours(split, model)
                    agreement = (found.argmax(-1) == expected.argmax(-1)).mean()
                    difference = np.abs(found - expected).max()
                    if model is right:
                        wrong += agreement < 1 or not difference <= 1e-3
                        row += [f"{agreement:.1%}", f"{difference:.1e}", f"{expected.std():.2f}"]
                    else:
                        row += [f"{agreement:.1%}", f"{difference:.1e}"]
                print("|", " | ".join(map(str, row)), "|", flush=True)
    print(f"{IMAGES} images, {time.time() - start:.0f} s, {wrong} cases differ")
    return int(wrong > 0)


if __name__ == "__main__":
    sys.exit(main())
