"""Replaces an operator that exists only on Ascend."""

import mindspore as ms
from mindspore import ops


def flash_attention_score(
    query,
    key,
    value,
    head_num,
    real_shift=None,
    drop_mask=None,
    padding_mask=None,
    attn_mask=None,
    prefix=None,
    actual_seq_qlen=None,
    actual_seq_kvlen=None,
    keep_prob=1.0,
    scalar_value=1.0,
    pre_tokens=2147483647,
    next_tokens=2147483647,
    inner_precise=0,
    input_layout="BSH",
    sparse_mode=0,
):
    """``ops.flash_attention_score`` as documented, for the options of a ViT, with the softmax in float32."""
    if input_layout != "BNSD" or head_num != query.shape[1] or keep_prob != 1.0:
        raise ValueError(f"layout {input_layout}, {head_num} heads, keep_prob {keep_prob}")
    scores = ops.matmul(query.astype(ms.float32), key.astype(ms.float32).swapaxes(2, 3)) * scalar_value
    if real_shift is not None:
        if real_shift.dtype != query.dtype:
            raise TypeError("real_shift and query have different dtypes")
        scores = scores + real_shift.astype(ms.float32)
    weights = ops.exp(scores - scores.max(-1, keepdims=True))
    weights = weights / weights.sum(-1, keepdims=True)
    return ops.matmul(weights, value.astype(ms.float32)).astype(query.dtype)
