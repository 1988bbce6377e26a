"""The record of an epoch: loss, learning rate and speed."""

import time

import numpy as np
from mindspore import Tensor
from mindspore.train import Callback, RunContext


class EpochRecord(Callback):
    """Opens ``cb_params.record`` at the end of each epoch, and keeps what the progress line shows in between.

    Losses stay on the device until they are asked for, so that no step waits for one.

    Args:
        learning_rates: of each step, float32 (steps,).
        images_per_step: of all workers together.
    """

    def __init__(self, learning_rates: np.ndarray, images_per_step: int) -> None:
        super().__init__()
        self.learning_rates = learning_rates
        self.images_per_step = images_per_step
        self.total_images = 0
        self.total_seconds = 0.0
        self._losses: list[Tensor] = []

    def on_train_epoch_begin(self, run_context: RunContext) -> None:
        self._losses = []
        self._timed_steps = 0
        self._started = self._timer = time.perf_counter()

    def on_train_step_end(self, run_context: RunContext) -> None:
        params = run_context.original_args()
        outputs = params.net_outputs
        self._losses.append(outputs[0] if isinstance(outputs, tuple) else outputs)
        if params.cur_step_num == 1 and params.batch_num > 1:
            self._timer = time.perf_counter()  # The first step of a run compiles the graph.
        else:
            self._timed_steps += 1
        self.lr = float(self.learning_rates[params.cur_step_num - 1])

    def on_train_epoch_end(self, run_context: RunContext) -> None:
        params = run_context.original_args()
        train_loss = self.mean_loss()  # Waits for the epoch's last step, which its time includes.
        speed = self.images_per_second
        self.total_images += self._timed_steps * self.images_per_step
        self.total_seconds += time.perf_counter() - self._timer
        params.record = {
            "event": "epoch",
            "epoch": params.cur_epoch_num,
            "step": params.cur_step_num,
            "train_loss": train_loss,
            "lr": self.lr,
            "images_per_second": round(speed, 2),
            "train_seconds": round(time.perf_counter() - self._started, 3),
        }

    @property
    def last_loss(self) -> float:
        """Loss of the last step; waits for it."""
        return float(self._losses[-1].asnumpy())

    def mean_loss(self) -> float:
        """Mean loss of the epoch's steps so far; waits for the last."""
        return float(np.mean([loss.asnumpy() for loss in self._losses]))

    @property
    def images_per_second(self) -> float:
        """Training pictures per second in this epoch, of all workers, without the first step of the run."""
        return self._timed_steps * self.images_per_step / max(time.perf_counter() - self._timer, 1e-9)
