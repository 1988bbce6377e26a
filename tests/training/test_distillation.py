"""Distillation: the loss compared with NumPy's arithmetic, the teacher itself, and the training of a student."""

import mindspore as ms
import numpy as np
import pytest
from mindspore import Tensor, nn

from mindvit.analysis.counting import forward_flops, training_flops
from mindvit.classes import Classes
from mindvit.data.settings import AugmentSettings
from mindvit.errors import UserError
from mindvit.factory import load_trained
from mindvit.losses import LossSettings, make_loss
from mindvit.models import Preprocessing, ViTConfig
from mindvit.models.variants import model_config
from mindvit.runtime import Runtime
from mindvit.training.distillation import (
    DistillationLoss,
    DistillationSettings,
    LossOfMean,
    Teacher,
    load_teacher,
    make_teacher,
)
from mindvit.training.ema import EMASettings
from mindvit.training.optimizer_settings import OptimizerSettings
from mindvit.training.recipe import TrainSettings
from mindvit.weights.checkpoint import write_checkpoint
from mindvit.weights.formats.ckpt import write_ckpt
from mindvit.weights.formats.safetensors import write_safetensors
from mindvit.weights.layouts.timm import timm_key_map
from mindvit.weights.metadata import CheckpointMetadata
from mindvit.weights.resize_pos_embed import resize_pos_embed
from tests import numpy_vit
from tests.numpy_vit import softmax
from tests.training import builders
from tests.training.builders import CPU, build_components, keep_alive, random_vit, run_step, values_of
from tests.training.run_files import assert_same_tensors, lines, tensors

pytestmark = pytest.mark.eager

CLASSES = 4
SIZES = {**builders.SIZES, "num_classes": CLASSES}
TEACHER_PREPROCESSING = {"mean": (0.5, 0.4, 0.3), "std": (0.5, 0.25, 0.2)}


def vit(seed=5, scale=0.3, **settings):
    return random_vit(seed, scale, **{**SIZES, **settings})


# The loss


def log_softmax(x):
    x = x - x.max(-1, keepdims=True)
    return x - np.log(np.exp(x).sum(-1, keepdims=True))


def smoothed(labels, smoothing):
    targets = np.eye(CLASSES)[labels] if labels.ndim == 1 else labels
    return targets * (1 - smoothing) + (1 - targets) * smoothing / (CLASSES - 1)


def by_hand(first, second, labels, teacher, kind, alpha, temperature, base="cross_entropy", smoothing=0.0):
    """The loss in float64."""
    targets = smoothed(labels, smoothing)
    if base == "bce":
        odds = 1 / (1 + np.exp(-first))
        own = -(targets * np.log(odds) + (1 - targets) * np.log(1 - odds)).mean()
    else:
        own = -(targets * log_softmax(first)).sum(1).mean()
    if kind == "hard":
        distillation = -log_softmax(second)[np.arange(len(second)), teacher.argmax(1)].mean()
    else:
        targets, given = log_softmax(teacher / temperature), log_softmax(second / temperature)
        distillation = temperature**2 * (np.exp(targets) * (targets - given)).sum(1).mean()
    return (1 - alpha) * own + alpha * distillation


@pytest.fixture
def outputs(rng):
    """The logits of both heads and of the teacher, which predict different classes."""
    first, second, teacher = (2 * rng.standard_normal((6, CLASSES)).astype(np.float32) for _ in range(3))
    for one, other in ((first, second), (first, teacher), (second, teacher)):
        assert (one.argmax(1) != other.argmax(1)).any()
    return first, second, teacher


@pytest.fixture
def labels(rng):
    return rng.integers(0, CLASSES, 6).astype(np.int32)


SOFT, HARD = ("soft", 0.3, 2.5), ("hard", 0.4, 3.0)
BASES = {
    "plain": (LossSettings(label_smoothing=0.0), {}),
    "smoothed": (LossSettings(label_smoothing=0.2), {"smoothing": 0.2}),
    "bce": (LossSettings("bce", 0.1), {"base": "bce", "smoothing": 0.1}),
}


@pytest.mark.slow
@pytest.mark.parametrize("base", BASES)
@pytest.mark.parametrize("dense", [False, True], ids=["labels", "mixed"])
@pytest.mark.parametrize("chosen", [SOFT, HARD], ids=lambda chosen: chosen[0])
def test_the_loss_follows_the_formulas(outputs, labels, chosen, dense, base):
    """For one head, and for two heads, of which the second learns from the teacher."""
    first, second, teacher = outputs
    settings, arithmetic = BASES[base]
    if dense:
        labels = (0.7 * np.eye(CLASSES)[labels] + 0.3 * np.eye(CLASSES)[labels[::-1]]).astype(np.float32)
    loss = keep_alive(DistillationLoss(make_loss(settings, CLASSES), *chosen))
    of_one = loss(Tensor(first), Tensor(labels), Tensor(teacher)).asnumpy()
    of_two = loss((Tensor(first), Tensor(second)), Tensor(labels), Tensor(teacher)).asnumpy()
    assert of_one.shape == of_two.shape == ()
    assert of_one == pytest.approx(by_hand(first, first, labels, teacher, *chosen, **arithmetic), rel=1e-5)
    assert of_two == pytest.approx(by_hand(first, second, labels, teacher, *chosen, **arithmetic), rel=1e-5)


@pytest.mark.parametrize("chosen", [SOFT, HARD], ids=lambda chosen: chosen[0])
def test_the_gradient_of_each_head_is_that_of_its_own_loss(outputs, labels, chosen):
    first, second, teacher = outputs
    kind, alpha, temperature = chosen
    loss = keep_alive(DistillationLoss(make_loss(LossSettings(label_smoothing=0.1), CLASSES), *chosen))

    def loss_of_heads(one, other):
        return loss((one, other), Tensor(labels), Tensor(teacher))

    slopes = [slope.asnumpy() for slope in ms.grad(loss_of_heads, (0, 1))(Tensor(first), Tensor(second))]
    np.testing.assert_allclose(slopes[0], (1 - alpha) * (softmax(first) - smoothed(labels, 0.1)) / 6, atol=1e-6)
    if kind == "hard":
        expected = softmax(second) - np.eye(CLASSES)[teacher.argmax(1)]
    else:
        # T^2 compensates for the two divisions by T.
        expected = temperature * (softmax(second / temperature) - softmax(teacher / temperature))
    np.testing.assert_allclose(slopes[1], alpha * expected / 6, atol=1e-6)


def test_the_loss_of_float16_logits_is_computed_in_float32(outputs, labels):
    first, second, teacher = outputs
    halves = [(50 * values).astype(np.float16) for values in (first, second)]
    loss = keep_alive(DistillationLoss(make_loss(LossSettings(label_smoothing=0.0), CLASSES), *SOFT))
    found = loss(tuple(map(Tensor, halves)), Tensor(labels), Tensor(50 * teacher))
    assert found.dtype == ms.float32
    expected = by_hand(*(values.astype(np.float64) for values in halves), labels, 50.0 * teacher, *SOFT)
    assert found.asnumpy() == pytest.approx(expected, rel=1e-4)


def test_two_heads_without_a_teacher_have_the_loss_of_their_mean(outputs, labels):
    first, second, _ = outputs
    loss = keep_alive(LossOfMean(make_loss(LossSettings(label_smoothing=0.1), CLASSES)))
    found = loss((Tensor(first), Tensor(second)), Tensor(labels)).asnumpy()
    expected = -(smoothed(labels, 0.1) * log_softmax((first + second) / 2.0)).sum(1).mean()
    assert found == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"alpha": 0.0}, r"distill\.alpha must lie in \(0, 1\], not 0\.0"),
        ({"alpha": 1.5}, r"distill\.alpha must lie in \(0, 1\], not 1\.5"),
        ({"temperature": 0.0}, r"distill\.temperature must be above 0, not 0\.0"),
    ],
)
def test_a_setting_out_of_range_is_an_error(settings, words):
    with pytest.raises(ValueError, match=words):
        DistillationSettings(**settings)


# The teacher


def teacher_of(network, student=None):
    return keep_alive(make_teacher(network, network.config, student or network.config))


@pytest.fixture
def images(rng):
    return rng.standard_normal((6, 3, 8, 8)).astype(np.float32)


@pytest.mark.graph
@pytest.mark.slow
def test_a_teacher_stays_in_evaluation_mode_within_a_cell_in_training(images):
    dropout = {"dropout": 0.5, "drop_path": 0.5, "attention_dropout": 0.5, "drop_path_mode": "constant"}
    network = vit(**dropout)
    expected = numpy_vit.vit(images.astype(np.float64), values_of(network), num_heads=2)
    teacher = teacher_of(network)

    class Holder(nn.Cell):
        def __init__(self):
            super().__init__(auto_prefix=False)
            self.teacher = teacher

        def construct(self, images):
            return self.teacher(images)

    holder = keep_alive(Holder().set_train())
    assert holder.training
    assert not [name for name, cell in teacher.cells_and_names() if cell.training]
    for _ in range(2):
        np.testing.assert_allclose(holder(Tensor(images)).asnumpy(), expected, atol=1e-4)
    teacher.set_train()
    assert not network.training
    np.testing.assert_allclose(teacher(Tensor(images)).asnumpy(), expected, atol=1e-4)


@pytest.mark.slow
def test_a_distilled_teacher_returns_the_mean_of_its_heads(images):
    network = vit(distilled=True)
    first, second = (values.asnumpy() for values in network.set_train()(Tensor(images)))
    assert np.abs(first - second).max() > 0.1
    teacher = teacher_of(network).set_train()
    np.testing.assert_allclose(teacher(Tensor(images)).asnumpy(), (first + second) / 2, atol=1e-5)


def test_no_gradient_flows_through_a_teacher(images):
    teacher = teacher_of(vit())
    assert not [parameter.name for parameter in teacher.get_parameters() if parameter.requires_grad]
    assert all(parameter.name.startswith("teacher.") for parameter in teacher.get_parameters())
    for parameter in teacher.get_parameters():
        parameter.requires_grad = True

    def total(images):
        return teacher(images).sum()

    weights = ms.ParameterTuple(teacher.trainable_params())
    of_images, of_weights = ms.grad(total, 0, weights)(Tensor(images))
    assert len(of_weights) > 10
    assert not any(slope.asnumpy().any() for slope in (of_images, *of_weights))


def test_a_teacher_gets_images_with_its_own_normalization(rng):
    """The same pixels, normalized for the student and for the teacher."""
    pixels = rng.random((6, 3, 8, 8))
    own, other = Preprocessing((0.1, 0.5, 0.9), (0.2, 0.4, 0.8)), Preprocessing(**TEACHER_PREPROCESSING)

    def normalized(preprocessing):
        mean, std = (np.reshape(values, (3, 1, 1)) for values in (preprocessing.mean, preprocessing.std))
        return (pixels - mean) / std

    network = vit(preprocessing=own)
    weights = values_of(network)
    expected = numpy_vit.vit(normalized(own), weights, num_heads=2)
    teacher = teacher_of(network, ViTConfig(**SIZES, preprocessing=other))
    found = teacher(Tensor(normalized(other).astype(np.float32))).asnumpy()
    np.testing.assert_allclose(found, expected, atol=1e-4)
    assert np.abs(numpy_vit.vit(normalized(other), weights, num_heads=2) - expected).max() > 0.1
    same = teacher_of(vit(preprocessing=own))
    np.testing.assert_array_equal(same.factor.asnumpy(), np.ones((1, 3, 1, 1)))
    np.testing.assert_array_equal(same.shift.asnumpy(), np.zeros((1, 3, 1, 1)))


CLASS_NAMES = Classes.named(("ant", "bee", "cow", "dog"))


def write_teacher(folder, network, classes=CLASS_NAMES, name="teacher.ckpt"):
    write_checkpoint(folder / name, network, CheckpointMetadata("vit_mini_4_32", network.config, classes))
    return str(folder / name)


def test_the_position_embeddings_of_a_teacher_are_resized_to_the_images_of_the_student(tmp_path):
    network = vit()
    path = write_teacher(tmp_path, network)
    student = ViTConfig(**{**SIZES, "image_size": 16, "depth": 2})
    with pytest.warns(UserWarning, match="position embeddings are resized from 2x2 to 4x4 patches"):
        loaded = load_teacher(DistillationSettings(path), student, CLASS_NAMES, download=False)
    assert (loaded.config.image_size, loaded.config.depth) == (16, 1)
    table = network.pos_embedding.asnumpy()
    expected = resize_pos_embed(table, (2, 2), (4, 4), "bicubic")
    np.testing.assert_allclose(loaded.pos_embedding.asnumpy(), expected, atol=1e-6)
    np.testing.assert_array_equal(loaded.dense.weight.asnumpy(), network.dense.weight.asnumpy())


def test_without_the_setting_there_is_no_teacher():
    assert load_teacher(DistillationSettings(), ViTConfig(**SIZES), CLASS_NAMES, download=False) is None


def test_a_teacher_of_other_classes_is_an_error(tmp_path):
    student = ViTConfig(**SIZES)
    for classes, outputs in ((Classes.named(("bee", "ant", "cow", "dog")), 4), (Classes.named(("ant", "bee")), 2)):
        path = write_teacher(tmp_path, vit(num_classes=outputs), classes)
        with pytest.raises(
            UserError, match=rf"distill\.teacher .*teacher\.ckpt has {outputs} classes, which are not the 4"
        ):
            load_teacher(DistillationSettings(path), student, CLASS_NAMES, download=False)
    unnamed = write_teacher(tmp_path, vit(num_classes=2), None)
    with pytest.raises(UserError, match=r"has 2 classes, which are not the 4 classes of the data"):
        load_teacher(DistillationSettings(unnamed), student, CLASS_NAMES, download=False)


def test_a_teacher_without_class_names_is_accepted_if_their_number_fits(tmp_path):
    path = write_teacher(tmp_path, vit(), None)
    assert load_teacher(DistillationSettings(path), ViTConfig(**SIZES), CLASS_NAMES, download=False) is not None


def test_a_teacher_without_a_trained_head_is_an_error(tmp_path):
    network = vit()
    network.dense.weight.set_data(Tensor(np.zeros(network.dense.weight.shape, np.float32)))
    path = write_teacher(tmp_path, network)
    with pytest.raises(UserError, match=r"teacher\.ckpt has no trained head"):
        load_teacher(DistillationSettings(path), ViTConfig(**SIZES), CLASS_NAMES, download=False)


# Steps


def components_of(student, teacher, runtime=CPU, steps=20, **groups):
    groups = {"optimizer": OptimizerSettings(lr=0.01), "loss": LossSettings(label_smoothing=0.0), **groups}
    components = build_components(student, runtime, steps=steps, teacher=teacher, **groups)
    components.step.set_train()
    return components


def heads_of(network, images):
    """The logits of both heads, in float32."""
    tokens = network.set_train(False).forward_features(Tensor(images)).asnumpy()
    w = values_of(network)
    return [
        tokens[:, i] @ w[f"{head}.weight"].T + w[f"{head}.bias"]
        for i, head in enumerate(("dense", "dense_distillation"))
    ]


@pytest.mark.slow
@pytest.mark.parametrize("amp_level", ["O0", "O2"])
def test_the_teacher_gets_the_mixed_images_of_the_student(images, labels, amp_level):
    """In two micro-batches, with the normalization of the teacher; at O2 to the precision of float16."""
    student = vit(distilled=True, preprocessing=Preprocessing())
    teacher = vit(seed=7, dropout=0.5, preprocessing=Preprocessing(**TEACHER_PREPROCESSING))
    start = values_of(teacher)
    mixed = 0.6 * images + 0.4 * images[::-1]
    mean, std = (np.reshape(values, (3, 1, 1)) for values in (Preprocessing().mean, Preprocessing().std))
    pixels = mixed * std + mean
    teacher_mean, teacher_std = (np.reshape(TEACHER_PREPROCESSING[name], (3, 1, 1)) for name in ("mean", "std"))
    logits = numpy_vit.vit((pixels - teacher_mean) / teacher_std, values_of(teacher), num_heads=2)
    targets = 0.6 * np.eye(CLASSES)[labels] + 0.4 * np.eye(CLASSES)[labels[::-1]]
    expected = by_hand(*heads_of(student, mixed), targets, logits, "soft", 0.7, 2.0)
    components = components_of(
        student,
        teacher,
        Runtime("CPU", amp_level),
        distill=DistillationSettings("teacher.ckpt", "soft", alpha=0.7, temperature=2.0),
        augment=AugmentSettings(mixup=0.8),
        ema=EMASettings(decay=0.5),
        train=TrainSettings(accumulate_steps=2),
    )
    step = components.step
    before = values_of(student)
    loss, _, _, updated = run_step(step, images, labels, mix=np.float32([0.6, 0.6, 0, 0, 0, 0]))
    assert updated
    assert (values_of(student)["dense_distillation.weight"] != before["dense_distillation.weight"]).any()
    assert loss == pytest.approx(expected, rel=1e-4 if amp_level == "O0" else 0.01)
    if amp_level == "O2":
        assert loss != pytest.approx(expected, rel=1e-6), "float16 rounds"
        given = step.teacher(Tensor(mixed)).asnumpy()
        assert given.dtype == np.float32
        assert 1e-5 < np.abs(given - logits).max() < 0.05
    assert {parameter.dtype for parameter in step.teacher.get_parameters()} == {ms.float32}
    for (name, values), parameter in zip(start.items(), step.teacher.get_parameters(), strict=True):
        assert parameter.name.startswith("teacher.")
        np.testing.assert_array_equal(parameter.asnumpy(), values, err_msg=name)
    names = [item.name for item in (*step.weights, *components.ema.weights, *step.optimizer.get_parameters())]
    assert not [name for name in names if "teacher" in name]


@pytest.mark.slow
def test_two_heads_without_a_teacher_train_on_the_mean_that_evaluation_uses(images, labels):
    student = vit(distilled=True)
    first, second = heads_of(student, images)
    components = components_of(student, None)
    before = values_of(student)
    loss, *_ = run_step(components.step, images, labels)
    assert loss == pytest.approx(-log_softmax((first + second) / 2)[np.arange(6), labels].mean(), rel=1e-5)
    for name in ("dense.weight", "dense_distillation.weight", "distillation"):
        assert (values_of(student)[name] != before[name]).any(), name


@pytest.mark.graph
@pytest.mark.slow
def test_a_student_of_random_labels_learns_the_predictions_of_its_teacher():
    """With alpha 1 the labels have no weight."""
    rng = np.random.default_rng(8)
    images, labels = rng.standard_normal((64, 3, 8, 8)).astype(np.float32), rng.integers(0, CLASSES, 64)
    teacher, student = vit(seed=7), vit(seed=9, scale=0.1)
    logits = numpy_vit.vit(images.astype(np.float64), values_of(teacher), num_heads=2)
    teacher.dense.bias.set_data(teacher.dense.bias - Tensor(logits.mean(0), ms.float32))
    predictions = numpy_vit.vit(images.astype(np.float64), values_of(teacher), num_heads=2).argmax(1)
    assert np.bincount(predictions, minlength=CLASSES).min() > 4, "the teacher predicts all classes"
    before = numpy_vit.vit(images.astype(np.float64), values_of(student), num_heads=2).argmax(1)
    distill = DistillationSettings("teacher.ckpt", "hard", alpha=1.0)
    components = components_of(student, teacher, steps=100, distill=distill)
    for _ in range(100):
        run_step(components.step, images, labels)
    learned = numpy_vit.vit(images.astype(np.float64), values_of(student), num_heads=2).argmax(1)
    assert (before == predictions).mean() < 0.5
    assert (learned == predictions).mean() > 0.95
    assert (learned == labels).mean() < 0.45, "chance is 0.25"


def test_the_weights_of_a_teacher_have_other_names_than_those_of_the_student():
    """A student and its teacher may have the same configuration."""
    student, network = vit(), vit()
    teacher = keep_alive(Teacher(network, np.ones(3), np.zeros(3)))
    names = [parameter.name for cell in (student, teacher) for parameter in cell.get_parameters()]
    assert len(set(names)) == len(names)
    assert "cls" in names


def write_timm_layout(path, network):
    write_safetensors(path, timm_key_map(network.config).to_theirs(values_of(network)), {})


def write_tutorial_layout(path, network):
    write_ckpt(path, network, {})


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "write", "gelu"),
    [
        ("timm-vit_mini_4_32.augreg.safetensors", write_timm_layout, numpy_vit.gelu_exact),
        ("vit_mini_4_32-90_1250.ckpt", write_tutorial_layout, numpy_vit.gelu_tanh),
    ],
    ids=["timm", "tutorial"],
)
def test_a_file_of_another_program_can_be_a_teacher(tmp_path, rng, name, write, gelu):
    config = model_config("vit_mini_4_32")
    network = vit(
        scale=0.1, **{key: getattr(config, key) for key in ("image_size", *SIZES, "norm_eps") if key != "num_classes"}
    )
    write(tmp_path / name, network)
    student = ViTConfig(**{**SIZES, "image_size": 32}, preprocessing=Preprocessing(**TEACHER_PREPROCESSING))
    found = load_teacher(DistillationSettings(str(tmp_path / name)), student, CLASS_NAMES, download=False)
    pixels = rng.random((2, 3, 32, 32))
    own = found.config.preprocessing
    own_images, given = (
        (pixels - np.reshape(mean, (3, 1, 1))) / np.reshape(std, (3, 1, 1))
        for mean, std in ((own.mean, own.std), tuple(TEACHER_PREPROCESSING.values()))
    )
    expected = numpy_vit.vit(own_images, values_of(network), num_heads=4, eps=found.config.norm_eps, gelu=gelu)
    teacher = keep_alive(make_teacher(found, found.config, student))
    np.testing.assert_allclose(teacher(Tensor(given.astype(np.float32))).asnumpy(), expected, atol=1e-3, rtol=1e-4)


# Runs


@pytest.fixture
def teacher(tmp_path):
    """A teacher for cat and dog, with larger images than the student and another normalization."""
    network = vit(
        image_size=12, num_classes=2, depth=1, dropout=0.2, preprocessing=Preprocessing(**TEACHER_PREPROCESSING)
    )
    return write_teacher(tmp_path, network, Classes.named(("cat", "dog")))


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:.*position embeddings are resized")
def test_a_run_with_distillation_saves_no_teacher_and_resumes_exactly(
    run_program, tiny, make_folder, teacher, tmp_path
):
    """With both averages, two heads and mixup, from the training checkpoint after the first epoch."""
    distill = ["--distill.teacher", teacher, "--distill.kind", "soft", "--distill.alpha", 0.8]
    averages = ["--ema.decay", 0.5, "--swa.start_epoch", 1]
    # With so low a peak the MFU is a number with many digits.
    options = [
        *tiny,
        "--model.depth",
        1,
        "--model.distilled",
        "true",
        "--runtime.peak_tflops",
        1e-6,
        "--data.path",
        make_folder(counts=6),
    ]
    options += [*distill, *averages, "--augment.mixup", 0.8, "--train.epochs", 2, "--optimizer.lr", 0.01]
    uninterrupted, copy = tmp_path / "uninterrupted", tmp_path / "copy"
    with pytest.warns(UserWarning, match="position embeddings are resized from 3x3 to 2x2 patches"):
        code, out, err = run_program("train.py", *options, "--output_dir", uninterrupted)
    assert code == 0, out + err
    assert [line for line in out.splitlines() if line.startswith("teacher") and line.endswith("teacher.ckpt")]
    second = lines(uninterrupted)[1]
    assert {"top1", "ema_top1", "swa_top1"} <= second.keys()
    assert len({second[f"{kind}val_loss"] for kind in ("", "ema_", "swa_")}) == 3

    config = load_trained(str(uninterrupted / "last.ckpt")).network.config
    assert config.distilled
    teacher_config = ViTConfig(**{**SIZES, "num_classes": 2})
    flops = second["mfu"] * 1e6 / second["images_per_second"]
    assert flops == pytest.approx(training_flops(config) + forward_flops(teacher_config), rel=1e-2)

    checkpoints = sorted((uninterrupted / "train_checkpoints").iterdir())
    for path in (*checkpoints, *uninterrupted.glob("*.ckpt")):
        assert not [name for name in tensors(path) if "teacher" in name], path.name
    resume = ["train.py", *options, "--output_dir", copy, "--resume", checkpoints[0]]
    code, _, err = run_program(*resume, "--distill.alpha", 0.7)
    assert code == 2
    assert "distill.alpha: 0.8 -> 0.7" in err
    code, out, err = run_program(*resume)
    assert code == 0, out + err
    for name in ("last.ckpt", "last_ema.ckpt", "last_swa.ckpt", f"train_checkpoints/{checkpoints[-1].name}"):
        assert_same_tensors(copy / name, uninterrupted / name)
    (again,) = lines(copy)
    assert (again["train_loss"], again["val_loss"]) == (second["train_loss"], second["val_loss"])


@pytest.mark.slow
@pytest.mark.parametrize(
    ("words", "content"),
    [
        (["distill.teacher: there is no checkpoint", "teacher.ckpt"], None),
        (["distill.teacher: ", "teacher.ckpt", "corrupt"], b"\x0ahello"),
        (["distill.teacher: ", "teacher.ckpt"], b"hello"),
        (["distill.teacher ", "has 3 classes", "the 2 classes of the data"], {"num_classes": 3}),
        (["distill.teacher ", "the same classes"], {"num_classes": 2}),
        (["distill.teacher: image_size 8 is not divisible by patch_size 6"], {"patch_size": 6, "image_size": 12}),
    ],
    ids=["missing", "corrupt", "no checkpoint", "more classes", "other classes", "other patches"],
)
def test_an_unsuitable_teacher_ends_a_run_with_an_error(fails_with, tiny, make_folder, tmp_path, words, content):
    path = tmp_path / "teacher.ckpt"
    if isinstance(content, dict):
        count = content.get("num_classes", 2)
        write_teacher(tmp_path, vit(**{"num_classes": count, **content}), Classes.named(("emu", "fox", "gnu")[:count]))
    elif content:
        path.write_bytes(content)
    output = tmp_path / "run"
    fails_with(
        words, "train.py", *tiny, "--data.path", make_folder(), "--output_dir", output, "--distill.teacher", path
    )
    assert not output.exists() or not list(output.iterdir())


def test_invalid_distillation_settings_end_a_run_with_an_error(fails_with, tiny, make_folder):
    for words, arguments in (
        (["distill.alpha must lie in (0, 1]"], ["--distill.alpha", 0]),
        (["distill.kind must be one of hard, soft"], ["--distill.kind", "medium"]),
    ):
        fails_with(words, "train.py", *tiny, "--data.path", make_folder(root=words[0][:14]), *arguments)
