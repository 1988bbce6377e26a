"""Classifies images with a trained network: the command infer, and mindvit.predict."""

from mindvit.inference.infer_command import InferSettings, infer
from mindvit.inference.predictor import ImageLike, Prediction, Predictor, classify, predict

__all__ = ["ImageLike", "InferSettings", "Prediction", "Predictor", "classify", "infer", "predict"]
