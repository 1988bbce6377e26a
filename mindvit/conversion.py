"""Converts weights from one format and layout to another."""

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

from mindvit.analysis.host_memory import check_fits
from mindvit.errors import UserError
from mindvit.factory import ModelOverrides, make_metadata, resolve_config
from mindvit.files import make_folder, write_text
from mindvit.models.vit import ViT
from mindvit.printable import printable
from mindvit.strict_json import dump_json
from mindvit.weights.checkpoint import write_checkpoint
from mindvit.weights.export import Export, to_huggingface, to_timm
from mindvit.weights.formats.safetensors import write_safetensors
from mindvit.weights.load import load_tensors
from mindvit.weights.locate import find_checkpoint
from mindvit.weights.metadata import FORMER_RESIZE_NOTE
from mindvit.weights.read import read_weights


@dataclass(frozen=True)
class ConvertSettings:
    """A conversion."""

    source: str
    """Weights file of this project or another: a path, or the name of a file in ckpt/."""
    output: str
    """File to write: .ckpt, or .safetensors with --to timm or huggingface."""
    model: str | None = None
    """Model name, one of those that mindvit.list_models() returns. null takes it from the metadata of the source."""
    to: Literal["mindvit", "timm", "huggingface"] = "mindvit"
    """Library that the output is for."""
    network: ModelOverrides = field(default_factory=ModelOverrides)
    num_classes: int | None = None
    """Classes of the head; for another number than the source's the head is newly initialized. null keeps the
    source's."""
    resize_pos_embed: Literal["bicubic", "bilinear"] = "bicubic"
    """How position embeddings are resized to another grid: bicubic as timm, bilinear as Google."""
    strict: bool = True
    """Refuse a source with missing or unexpected tensors."""
    download: bool = False
    """Download published weights that are missing."""


def convert(settings: ConvertSettings) -> None:
    """Reads a weights file, adapts it to the model, writes the output, and prints a summary.

    Raises:
        UserError: for a mistake in the settings, or a source that is corrupt, of no known layout, or for another
            model.
    """
    output = Path(settings.output)
    _check_ending(output, settings.to)
    loaded = read_weights(find_checkpoint(settings.source, settings.download))
    name = settings.model or (loaded.metadata and loaded.metadata.model_name)
    if name is None:
        raise UserError(f"{loaded.path} does not name its model; name it with --model")
    overrides = settings.network.overrides()
    if settings.num_classes is not None:
        overrides["num_classes"] = settings.num_classes
    config = resolve_config(name, loaded, **overrides)
    check_fits(config)
    network = ViT(config)
    notes = load_tensors(network, loaded, settings.resize_pos_embed, settings.strict)
    if loaded.metadata is not None:
        metadata = replace(loaded.metadata, model_name=name, model=config)
    else:
        metadata = make_metadata(name, loaded, config)
    if metadata.classes is not None and len(metadata.classes) != config.num_classes:
        # The head is newly initialized: class names and metrics of the old head are not valid any more.
        unknown = {"classes": None, "metrics": {}, "former_resize": False, "data_source": "folder", "data_path": None}
        metadata = replace(metadata, epoch=0, **unknown)
    if metadata.former_resize:
        notes.append(FORMER_RESIZE_NOTE)
    make_folder(output.parent)
    rows = {"source": f"{loaded.path} ({loaded.layout.name if loaded.layout else 'mindvit'})", "model": name}
    if settings.to == "mindvit":
        write_checkpoint(output, network, metadata)
        rows["use"] = f"python eval.py --ckpt {output}"
    else:
        export = {"timm": to_timm, "huggingface": to_huggingface}[settings.to](network, metadata)
        _write_export(output, export)
        rows["use"] = export.usage.format(file=output, folder=output.parent)
    preprocessing = config.preprocessing
    rows["numerics"] = f"{config.gelu} GELU, epsilon {config.norm_eps:g}"
    rows["preprocessing"] = (
        f"{'x'.join(map(str, config.image_shape))} px, {preprocessing.interpolation}, crop {preprocessing.crop_pct:g}, "
        f"resize {preprocessing.resize}, mean {list(preprocessing.mean)}, std {list(preprocessing.std)}"
    )
    rows["classes"] = f"{config.num_classes:,}" + ("" if metadata.classes else ", without names")
    rows["output"] = str(output)
    print("\n".join(f"{key:<13} {printable(value)}" for key, value in rows.items()))
    for note in notes:
        print(f"note: {printable(note)}")


def _check_ending(output: Path, to: str) -> None:
    ending = ".ckpt" if to == "mindvit" else ".safetensors"
    if output.suffix != ending:
        raise UserError(f"--output {output} must end in {ending} with --to {to}")
    if to == "huggingface" and output.name != "model.safetensors":
        raise UserError(f"--output {output} must be named model.safetensors, the name that Transformers loads")


def _write_export(output: Path, export: Export) -> None:
    for name, content in export.sidecars.items():
        write_text(output.parent / name, dump_json(content, indent=2) + "\n")
    write_safetensors(output, export.arrays, {"format": "pt"})
