"""Callbacks of ``train.Model`` during a run.

They share the ``RunState`` and, at the end of an epoch, one ``EpochMetrics``: ``MetricsRecorder`` creates it,
``Evaluate`` adds the validation metrics, and the callbacks after them read it. ``mindvit.training.trainer`` puts them
in this order. An interrupted epoch has no metrics.
"""
