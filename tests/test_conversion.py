import json

import mindspore as ms
import numpy as np
import pytest

from mindvit import create_model
from mindvit.conversion import ConvertSettings, convert
from mindvit.errors import UserError
from mindvit.factory import ModelOverrides, load_trained
from mindvit.models import Preprocessing
from mindvit.weights.checkpoint import read_checkpoint
from tests.weights.published import FOLDER, SIZES, PublishedFile, assert_same_tensors, random_images, write_npz

pytestmark = pytest.mark.eager

NETWORK = ModelOverrides(**SIZES)
HALVES = (0.5, 0.5, 0.5)


@pytest.fixture
def source(tmp_path):
    def write(library, model="vit"):
        return str(write_npz(tmp_path / f"{library}.npz", PublishedFile(library).weights(model)))

    return write


@pytest.fixture
def converted(tmp_path, capsys):
    """Runs a conversion. Returns the output path, and the printed rows by their first word."""

    def convert_to(output, source, name="vit_b_16_224", network=NETWORK, **settings):
        convert(ConvertSettings(source, str(tmp_path / output), name, network=network, **settings))
        lines = capsys.readouterr().out.splitlines()
        return tmp_path / output, {line.split()[0]: line.split(maxsplit=1)[1] for line in lines}

    return convert_to


def safetensors(path):
    """Reads a file by the specification of its format."""
    data = path.read_bytes()
    start = 8 + int.from_bytes(data[:8], "little")
    header = json.loads(data[8:start])
    assert header.pop("__metadata__") == {"format": "pt"}
    assert {entry["dtype"] for entry in header.values()} == {"F32"}
    return {
        name: np.frombuffer(data[start:][slice(*entry["data_offsets"])], np.float32).reshape(entry["shape"])
        for name, entry in header.items()
    }


@pytest.mark.slow
@pytest.mark.parametrize(
    ("library", "gelu", "eps", "prepared"),
    [
        ("timm", "exact", 1e-6, Preprocessing(HALVES, HALVES, "bicubic", 0.9)),
        ("mindcv", "tanh", 1e-7, Preprocessing(interpolation="bicubic", resize="mindspore")),
    ],
)
def test_a_converted_checkpoint_gives_the_logits_of_the_library(source, converted, library, gelu, eps, prepared):
    path, printed = converted("out/mine.ckpt", source(library))
    trained = load_trained(str(path))
    metadata = trained.metadata
    assert (metadata.origin, metadata.model_name, metadata.classes) == (library, "vit_b_16_224", None)
    assert (metadata.data_source, metadata.epoch) == ("folder", 0)
    assert metadata.model == trained.network.config
    assert (metadata.model.gelu, metadata.model.norm_eps) == (gelu, eps)
    assert (metadata.model.num_classes, metadata.model.image_size, metadata.model.depth) == (7, 32, 2)
    assert metadata.model.preprocessing == prepared
    logits = trained.network.set_train(False)(ms.Tensor(random_images())).asnumpy()
    np.testing.assert_allclose(logits, PublishedFile(library)["vit/logits"], rtol=0, atol=1e-5)
    assert printed["source"].endswith(f"{library}.npz ({library})")
    assert printed["model"] == "vit_b_16_224"
    assert printed["numerics"] == f"{gelu} GELU, epsilon {eps:g}"
    assert printed["preprocessing"] == (
        f"32x32 px, {prepared.interpolation}, crop {prepared.crop_pct:g}, "
        f"resize {prepared.resize}, mean {list(prepared.mean)}, std {list(prepared.std)}"
    )
    assert printed["classes"] == "7, without names"
    assert printed["use"] == f"python eval.py --ckpt {path}"
    assert printed["output"] == str(path)
    assert "note:" not in printed


def test_classes_and_preprocessing_of_the_sidecar_config_are_in_the_metadata(converted):
    path, printed = converted("mine.ckpt", str(FOLDER / "huggingface_vit/model.safetensors"))
    metadata = read_checkpoint(path).metadata
    assert metadata.classes.names == tuple(f"name of {index}" for index in range(7))
    assert metadata.model.preprocessing == Preprocessing(HALVES, HALVES, "bilinear", 1.0, "squash")
    assert printed["classes"] == "7"


def test_a_network_with_1000_classes_has_those_of_imagenet(converted, tmp_path):
    path = tmp_path / "x.ckpt"
    ms.save_checkpoint(create_model("vit_b_16_224", **SIZES), str(path))
    metadata = read_checkpoint(converted("y.ckpt", str(path))[0]).metadata
    assert (metadata.classes.names[236], metadata.data_source, metadata.origin) == ("Doberman", "imagenet", "tutorial")


def test_a_round_trip_from_timm_is_exact(source, converted):
    path, _ = converted("mine.ckpt", source("timm"))
    back, printed = converted("back.safetensors", str(path), None, ModelOverrides(), to="timm")
    assert_same_tensors(safetensors(back), PublishedFile("timm").weights("vit"))
    assert printed["source"] == f"{path} (mindvit)"
    assert printed["use"] == (
        'timm.create_model("vit_base_patch16_224", img_size=32, patch_size=8, embed_dim=24, depth=2, num_heads=3, '
        f'mlp_ratio=2.0, num_classes=7, checkpoint_path="{back}")'
    )


def test_a_round_trip_from_transformers_is_exact(converted):
    source = FOLDER / "huggingface_vit/model.safetensors"
    path, _ = converted("mine.ckpt", str(source))
    back, printed = converted("hf/model.safetensors", str(path), None, ModelOverrides(), to="huggingface")
    assert_same_tensors(safetensors(back), safetensors(source))
    ours, theirs = (json.loads((folder.parent / "config.json").read_text()) for folder in (back, source))
    assert {name: ours[name] for name in ours.keys() & theirs} == {name: theirs[name] for name in ours.keys() & theirs}
    assert json.loads((back.parent / "preprocessor_config.json").read_text())["image_mean"] == [0.5, 0.5, 0.5]
    assert printed["use"] == f'transformers.ViTForImageClassification.from_pretrained("{back.parent}")'
    again, _ = converted("again.ckpt", str(back))
    one, other = read_checkpoint(path), read_checkpoint(again)
    assert_same_tensors(one.tensors, other.tensors)
    assert (one.metadata.model, one.metadata.classes) == (other.metadata.model, other.metadata.classes)


def test_numerics_are_kept_across_libraries(source, converted):
    _, printed = converted("x.safetensors", source("google", "original"), to="timm")
    assert 'act_layer="gelu_tanh"' in printed["use"]
    _, printed = converted("y.safetensors", source("mindcv"), to="timm")
    assert "norm_layer=functools.partial(torch.nn.LayerNorm, eps=1e-07)" in printed["use"]


def test_another_image_size_and_head_are_adapted_with_notes(source, converted, capsys, tmp_path):
    network = ModelOverrides(**SIZES | {"image_size": 48})
    settings = {"network": network, "num_classes": 3, "resize_pos_embed": "bilinear"}
    convert(ConvertSettings(source("timm"), str(tmp_path / "x.ckpt"), "vit_b_16_224", **settings))
    notes = [line for line in capsys.readouterr().out.splitlines() if line.startswith("note: ")]
    assert notes == [
        "note: position embeddings are resized from 4x4 to 6x6 patches (bilinear)",
        "note: the checkpoint's head has 7 classes and the model's has 3; dense is newly initialized",
    ]
    stored = read_checkpoint(tmp_path / "x.ckpt")
    assert stored.tensors["pos_embedding"].shape == (1, 37, 24)
    assert (stored.metadata.model.num_classes, stored.metadata.model.image_size) == (3, 48)


def test_metadata_is_kept_at_another_image_size(tiny_checkpoint, converted):
    path = tiny_checkpoint(norm_eps=1e-5)
    new, printed = converted("new.ckpt", str(path), None, ModelOverrides(image_size=16))
    metadata = read_checkpoint(new).metadata
    assert (metadata.model_name, metadata.classes.names) == ("vit_mini_4_32", ("cat", "dog"))
    assert (metadata.model.image_size, metadata.model.norm_eps) == (16, 1e-5)
    assert printed["note:"] == "position embeddings are resized from 2x2 to 4x4 patches (bicubic)"
    new, printed = converted("other.ckpt", str(path), None, ModelOverrides(), num_classes=5)
    assert read_checkpoint(new).metadata.classes is None
    assert printed["classes"] == "5, without names"


def test_overrides_have_priority_over_the_layout(source, converted):
    given = ModelOverrides(**SIZES, gelu="tanh", crop_pct=0.5)
    config = read_checkpoint(converted("x.ckpt", source("timm"), network=given)[0]).metadata.model
    assert (config.gelu, config.norm_eps, config.preprocessing.crop_pct) == ("tanh", 1e-6, 0.5)


def test_weights_that_are_not_finite_are_not_converted(converted, tmp_path):
    weights = PublishedFile("timm").weights("vit")
    weights["norm.weight"][:3] = np.inf
    path = str(write_npz(tmp_path / "broken.npz", weights))
    for strict in (True, False):
        with pytest.raises(UserError, match=r"NaN or infinity in 1 of \d+ tensors: norm\.weight \(3 of 24 values\)"):
            converted("x.ckpt", path, strict=strict)
    assert not (tmp_path / "x.ckpt").exists()


def test_another_number_of_heads_than_in_config_json_is_refused(converted):
    source = str(FOLDER / "huggingface_vit/model.safetensors")
    words = "num_attention_heads is 3, but num_heads of the model is 4; override the setting"
    with pytest.raises(UserError, match=words):
        converted("x.ckpt", source, network=ModelOverrides(**SIZES | {"num_heads": 4}))


def test_unexpected_tensors_are_refused_or_skipped_with_a_note(converted, tmp_path):
    weights = PublishedFile("timm").weights("vit") | {"mask_token": np.zeros(3, np.float32)}
    path = str(write_npz(tmp_path / "more.npz", weights))
    words = (
        "does not fit this model: unexpected mask_token; if these .* convert.py and --strict false, which skips them"
    )
    with pytest.raises(UserError, match=words):
        converted("x.ckpt", path)
    assert not (tmp_path / "x.ckpt").exists()
    assert converted("x.ckpt", path, strict=False)[1]["note:"] == "unexpected, skipped: mask_token"
