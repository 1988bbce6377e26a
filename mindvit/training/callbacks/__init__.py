"""What happens beside the steps of a run.

The callbacks share the ``RunState`` and, at the end of an epoch, one record of it, a dict: ``EpochRecord`` opens it,
``Evaluate`` adds to it, and those after them read it. ``mindvit.training.trainer`` puts them in that order. An epoch
that was broken off has no record.
"""
