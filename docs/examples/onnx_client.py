"""Classifies images with an ONNX file of `mindvit export`: python onnx_client.py FILE.onnx IMAGE [IMAGE …]"""

import json
import sys

import numpy as np
import onnxruntime
from PIL import Image, ImageOps


def prepare(path, about):
    """Reads an image upright, over white, and resizes, crops and normalizes it as in training."""
    prep, (height, width) = about["preprocessing"], (about["input"]["height"], about["input"]["width"])
    image = ImageOps.exif_transpose(Image.open(path)).convert("RGBA")
    image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image).convert("RGB")
    covered = np.floor(np.array([width, height]) / prep["crop_pct"])
    if prep["resize"] == "squash":
        size = covered
    else:  # The aspect ratio stays, and the image covers the area that is cropped.
        size = np.array(image.size) * max(covered / image.size)
        size = np.floor(size + 1e-9) if height == width else np.round(size)
    size = tuple(int(side) for side in size)
    method = Image.Resampling[prep["interpolation"].upper()]
    if prep["resize"] == "mindspore":  # Without antialiasing.
        scale = np.array(image.size) / size
        image = image.transform(size, Image.Transform.AFFINE, (scale[0], 0, 0, 0, scale[1], 0), method)
    else:
        image = image.resize(size, method)
    half = int if prep["resize"] == "mindspore" else round
    left, top = half((size[0] - width) / 2), half((size[1] - height) / 2)
    pixels = np.asarray(image.crop((left, top, left + width, top + height)))
    if about["input"]["dtype"] == "uint8":  # The file normalizes.
        return pixels
    return ((pixels / 255 - prep["mean"]) / prep["std"]).astype(np.float32).transpose(2, 0, 1)


if __name__ == "__main__":
    session = onnxruntime.InferenceSession(sys.argv[1], providers=["CPUExecutionProvider"])
    about = json.loads(session.get_modelmeta().custom_metadata_map["mindvit"])
    names = about["classes"]["names"] if about["classes"] else [f"class {i}" for i in range(about["output"]["classes"])]
    for path in sys.argv[2:]:
        (output,) = session.run(None, {about["input"]["name"]: prepare(path, about)[None]})[0]
        if about["output"]["name"] == "logits":
            output = np.exp(output - output.max()) / np.exp(output - output.max()).sum()
        ranked = [f"{names[i]} {100 * output[i]:.2f} %" for i in np.argsort(-output, kind="stable")[:5]]
        print(f"{path}: {', '.join(ranked)}")
