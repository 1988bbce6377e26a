"""Stopping a run by Ctrl-C or SIGTERM."""

import signal
from types import FrameType

from mindspore.train import Callback, RunContext

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


class StopOnSignal(Callback):
    """Lets the current step finish, then stops the run, when Ctrl-C is pressed or SIGTERM arrives.

    A second signal stops at once, by ``KeyboardInterrupt``. It serves as callback of ``Model.train`` and of each
    ``Model.eval`` within, which enter their callbacks as context managers: so long it holds the signals' handlers.
    """

    def __init__(self) -> None:
        super().__init__()
        self.received: signal.Signals | None = None
        self._replaced: list[dict] = []

    def __enter__(self) -> "StopOnSignal":
        self._replaced.append({number: signal.signal(number, self._receive) for number in _SIGNALS})
        return self

    def __exit__(self, *error: object) -> None:
        for number, handler in self._replaced.pop().items():
            signal.signal(number, handler)

    def on_train_step_end(self, run_context: RunContext) -> None:
        self._pass_on(run_context)

    def on_train_epoch_end(self, run_context: RunContext) -> None:
        self._pass_on(run_context)

    def on_eval_step_end(self, run_context: RunContext) -> None:
        self._pass_on(run_context)

    def _pass_on(self, run_context: RunContext) -> None:
        if self.received:
            run_context.request_stop()

    def _receive(self, number: int, frame: FrameType | None) -> None:
        if self.received:
            raise KeyboardInterrupt
        self.received = signal.Signals(number)
