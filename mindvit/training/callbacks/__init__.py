"""What happens beside the steps of a run.

The callbacks share one record of the epoch, a dict in ``cb_params.record``: ``EpochRecord`` opens it, ``Evaluate`` adds
to it, and those after them read it. ``mindvit.training.trainer`` puts them in that order.
"""
