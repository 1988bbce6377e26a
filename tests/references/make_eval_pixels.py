"""Makes eval_pixels.npz: pixels of the evaluation transforms of timm, torchvision and Transformers.

The script needs PyTorch, timm, torchvision and Transformers, which mindvit does not depend on. Run it from the folder
of the project, in a separate environment:
    python -m tests.references.make_eval_pixels
The committed file was made by timm 1.0.31, torchvision 0.28.0, PyTorch 2.13.0 (CPU), Transformers 5.23.0 and Pillow
13.0.0.

There is one array for each case of tests.data.photos.CASES, float16 (20, 11, 11, 3): for each image of
tests.data.photos.photos() what ``summary`` keeps of the result. The transforms run without normalization. Those of
Transformers are the processors that resize with Pillow. Its others resize with PyTorch, and differ from them by 3
levels of 255 at most.
"""

import numpy as np
import torch
import transformers
from PIL import Image
from torch import library as operators

# The compiled operators of torchvision do not load beside a CPU build of PyTorch. No transform uses them.
torchvision_operators = operators.Library("torchvision", "DEF")
for name in ("nms", "qnms"):
    torchvision_operators.define(f"{name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")

import timm  # noqa: E402
import torchvision  # noqa: E402
from timm.data import create_transform  # noqa: E402
from torchvision.transforms._presets import ImageClassification  # noqa: E402
from torchvision.transforms.functional import InterpolationMode  # noqa: E402
from transformers.models.deit.image_processing_pil_deit import DeiTImageProcessorPil  # noqa: E402
from transformers.models.vit.image_processing_pil_vit import ViTImageProcessorPil  # noqa: E402

from tests.data.photos import CASES, REFERENCE, Case, photos, summary  # noqa: E402


def transform(case: Case, image: Image.Image) -> np.ndarray:
    """What the library makes of an image before normalization, uint8 (height, width, 3)."""
    size = round(case.shape[0] / case.crop_pct)
    if case.peer.startswith("timm"):
        mode = "squash" if case.peer == "timm squash" else "center"
        settings = {"interpolation": case.interpolation, "crop_pct": case.crop_pct, "crop_mode": mode}
        result = create_transform((3, *case.shape), normalize=False, **settings)(image)
    elif case.peer == "torchvision":
        interpolation = InterpolationMode(case.interpolation)
        preset = ImageClassification(
            crop_size=case.shape[0], resize_size=size, interpolation=interpolation, mean=(0,) * 3, std=(1,) * 3
        )
        result = preset(image) * 255
    else:
        processor = (ViTImageProcessorPil if case.peer == "Transformers ViT" else DeiTImageProcessorPil)()
        settings = {"do_rescale": False, "do_normalize": False, "return_tensors": "pt"}
        result = processor(image, **settings)["pixel_values"][0]
    pixels = torch.as_tensor(result).round().numpy().astype(np.uint8).transpose(1, 2, 0)
    assert pixels.shape == (*case.shape, 3), (case, pixels.shape)
    return pixels


def main() -> None:
    """Writes the file."""
    images = photos()
    arrays = {case.name: np.stack([summary(transform(case, image)) for image in images]) for case in CASES}
    np.savez_compressed(REFERENCE, **arrays)
    versions = ", ".join(f"{item.__name__} {item.__version__}" for item in (timm, torchvision, torch, transformers))
    print(f"{REFERENCE}: {REFERENCE.stat().st_size:,} bytes, made by {versions}")


if __name__ == "__main__":
    main()
