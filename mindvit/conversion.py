"""Turning weights of one layout into those of another."""

import json
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

from mindvit.errors import UserError
from mindvit.factory import ModelOverrides, make_metadata, model_settings
from mindvit.files import make_folder, write_text
from mindvit.models.vit import ViT
from mindvit.weights.checkpoint import write_checkpoint
from mindvit.weights.export import Export, to_huggingface, to_timm
from mindvit.weights.formats.safetensors import write_safetensors
from mindvit.weights.load import load_tensors
from mindvit.weights.locate import find_checkpoint
from mindvit.weights.read import read_weights


@dataclass(frozen=True)
class ConvertSettings:
    """A conversion."""

    source: str
    """File of weights, this project's or another's: a path, or the name of a file in ckpt/."""
    output: str
    """File to write: .ckpt, or .safetensors for another library."""
    model: str | None = None
    """A name that mindvit.list_models() lists; by default that of the source's metadata."""
    to: Literal["mindvit", "timm", "huggingface"] = "mindvit"
    """What shall load the file."""
    network: ModelOverrides = field(default_factory=ModelOverrides)
    num_classes: int | None = None
    """Classes of the head, which is fresh where the source has another number; by default the source's."""
    resize_pos_embed: Literal["bicubic", "bilinear"] = "bicubic"
    """How positions are resized to another grid: as timm does, or as Google."""
    strict: bool = True
    """Refuse a source that lacks tensors of the model, or has others besides."""
    download: bool = False
    """Fetch published weights that are missing."""


def convert(settings: ConvertSettings) -> None:
    """Reads a file of weights, makes it fit the model, writes it, and prints what was done.

    Raises:
        UserError: for a mistake in the settings, or a source that is damaged, not known, or for another model.
    """
    output = Path(settings.output)
    _check_ending(output, settings.to)
    loaded = read_weights(find_checkpoint(settings.source, settings.download))
    name = settings.model or (loaded.metadata and loaded.metadata.model_name)
    if name is None:
        raise UserError(f"{loaded.path} does not say which model it holds; name it with --model")
    overrides = settings.network.overrides()
    if settings.num_classes is not None:
        overrides["num_classes"] = settings.num_classes
    config = model_settings(name, loaded, **overrides)
    network = ViT(config)
    notes = load_tensors(network, loaded, settings.resize_pos_embed, settings.strict)
    if loaded.metadata is not None:
        metadata = replace(loaded.metadata, model_name=name, model=config)
    else:
        metadata = make_metadata(name, loaded, config)
    if metadata.classes is not None and len(metadata.classes) != config.num_classes:
        # The head is fresh: nothing that was measured or named with the old one holds.
        metadata = replace(metadata, classes=None, metrics={}, epoch=0, data_source="folder", data_path=None)
    make_folder(output.parent)
    rows = {"source": f"{loaded.path} ({loaded.layout.name if loaded.layout else 'mindvit'})", "model": name}
    if settings.to == "mindvit":
        write_checkpoint(output, network, metadata)
        rows["use"] = f"python eval.py --ckpt {output}"
    else:
        export = {"timm": to_timm, "huggingface": to_huggingface}[settings.to](network, metadata)
        _write_export(output, export)
        rows["use"] = export.advice.format(file=output, folder=output.parent)
    preprocessing = config.preprocessing
    rows["arithmetic"] = f"{config.gelu} GELU, epsilon {config.norm_eps:g}"
    rows["images"] = (
        f"{'x'.join(map(str, config.image_shape))} px, {preprocessing.interpolation}, crop {preprocessing.crop_pct:g}, "
        f"mean {list(preprocessing.mean)}, std {list(preprocessing.std)}"
    )
    rows["classes"] = f"{config.num_classes:,}" + ("" if metadata.classes else ", without names")
    rows["output"] = str(output)
    print("\n".join(f"{key:<11} {value}" for key, value in rows.items()))
    for note in notes:
        print(f"note: {note}")


def _check_ending(output: Path, to: str) -> None:
    ending = ".ckpt" if to == "mindvit" else ".safetensors"
    if output.suffix != ending:
        raise UserError(f"--output {output} must end in {ending} with --to {to}")
    if to == "huggingface" and output.name != "model.safetensors":
        raise UserError(f"Transformers loads a folder whose weights are called model.safetensors, not {output.name}")


def _write_export(output: Path, export: Export) -> None:
    for name, content in export.sidecars.items():
        write_text(output.parent / name, json.dumps(content, indent=2, ensure_ascii=False) + "\n")
    write_safetensors(output, export.arrays, {"format": "pt"})
