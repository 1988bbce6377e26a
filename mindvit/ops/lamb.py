"""The update of LAMB."""

from mindspore import nn, ops


class LambUpdate(nn.Cell):
    """Updates one weight and its moments in place (You et al., 2020).

    Inputs: weight, first and second moment, gradient, all of one shape; rate, float32 scalar; beta1, beta2; stretch and
    eps, the bias corrections in the denominator, float32 scalars; decay, a number. Output: the gradient.
    """

    def __init__(self) -> None:
        super().__init__()
        self.descend = ops.ApplyGradientDescent()
        self.has_shards = False

    def use_shards(self) -> None:
        """Declares that the tensors are shards: the norm of a tensor is then summed over all ranks."""
        self.has_shards = True
        self.all_reduce = ops.AllReduce()

    def construct(self, weight, exp_avg, exp_avg_sq, gradient, rate, beta1, beta2, stretch, eps, decay):
        first = exp_avg + (1 - beta1) * (gradient - exp_avg)
        second = exp_avg_sq + (1 - beta2) * (gradient * gradient - exp_avg_sq)
        change = first / (ops.sqrt(second) * stretch + eps)
        if decay > 0:
            change = change + decay * weight
            rate = rate * self.trust_ratio(weight, change)
        ops.assign(exp_avg, first)
        ops.assign(exp_avg_sq, second)
        self.descend(weight, rate, change)
        return gradient

    def trust_ratio(self, weight, change):
        """The ratio of the norms of two tensors, 1 if either is 0; a float32 scalar."""
        # Not ops.L2Loss: its sum on CPU is so coarse that it is off by a tenth for 38 M values.
        length, other = ops.square(weight).sum(), ops.square(change).sum()
        if self.has_shards:
            sums = self.all_reduce(ops.stack((length, other)))
            length, other = sums[0], sums[1]
        usable = ops.logical_and(length > 0, other > 0)
        return ops.where(usable, ops.sqrt(length / ops.where(usable, other, 1.0)), 1.0)
