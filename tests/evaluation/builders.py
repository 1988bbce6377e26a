"""Predictions and splits without a network."""

import mindspore as ms
import numpy as np

from mindvit.classes import Classes
from mindvit.data.split import Split
from mindvit.evaluation.error_analysis import analyze_errors
from mindvit.evaluation.evaluation_file import EvaluationRecord
from mindvit.evaluation.image_predictions import PredictionCollector
from mindvit.evaluation.metrics import Evaluation

ABOUT = {"ckpt": "best.ckpt", "model": "vit_mini_4_32", "data": "/data/val"}


def collect(logits, labels, batch=None, **shard):
    """The predictions for logits, collected in batches."""
    collector = PredictionCollector(**shard)
    logits, labels = np.array(logits, np.float32), np.array(labels, np.int32)
    step = batch or len(labels)
    for start in range(0, len(labels), step):
        collector.update(ms.Tensor(logits[start : start + step]), ms.Tensor(labels[start : start + step]))
    return collector.eval()


def split_of(labels, names, files=None):
    files = files or [f"/data/val/{index:03}.png" for index in range(len(labels))]
    return Split("/data/val", Classes.named(tuple(names)), np.array(labels, np.int32), None, files.__getitem__)


def random_case(rng, num_images=200, num_classes=7, names=None):
    """Predictions that are often right, and their split."""
    labels = rng.integers(0, num_classes, num_images)
    logits = rng.standard_normal((num_images, num_classes)) + 2 * np.eye(num_classes)[labels]
    return collect(logits, labels), split_of(labels, names or [f"class{label}" for label in range(num_classes)])


def record_of(predictions, split, **about):
    """The content of the JSON file."""
    right = 100 * float(predictions.is_right.mean())
    top5 = 100 * float((predictions.top == predictions.labels[:, None]).any(axis=1).mean())
    analysis = analyze_errors(predictions, split)
    result = Evaluation(right, top5, float(predictions.loss.mean()), len(predictions), 0, predictions, analysis)
    return EvaluationRecord.of(result, **{**ABOUT, **about})
