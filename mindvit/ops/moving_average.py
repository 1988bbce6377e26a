"""The exponential moving average of several tensors."""

from mindspore import ParameterTuple, ops

from mindvit.ops.operation import Operation, native_kernel


class MovingAverage(Operation):
    """Updates averages in place: ``a <- d a + (1 - d) w``. The native form reads and writes each tensor once.

    Args:
        averages: the averages, float32 parameters.
        weights: the parameters that they are averages of, in the same order and shapes.

    Input: d, a float32 scalar. Output: a scalar without meaning.
    """

    def __init__(self, averages: ParameterTuple, weights: ParameterTuple) -> None:
        super().__init__(auto_prefix=False)
        self.averages, self.weights = averages, weights
        if self.is_native:
            self.native = native_kernel(
                "moving_average", lambda *shapes: [], written=len(averages), read=len(weights) + 1
            )

    def construct(self, decay):
        if self.is_native:
            return self.native(*self.averages, *self.weights, decay)
        for index in range(len(self.weights)):
            average = self.averages[index]
            ops.assign(average, average * decay + self.weights[index] * (1.0 - decay))
        return decay
