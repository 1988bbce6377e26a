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
    if keep_prob != 1.0 or (input_layout == "BNSD" and head_num != query.shape[1]):
        raise ValueError(f"layout {input_layout}, {head_num} heads, keep_prob {keep_prob}")
    if input_layout == "BSH":
        query, key, value = (_split_heads(x, head_num) for x in (query, key, value))
    scores = ops.matmul(query.astype(ms.float32), key.astype(ms.float32).swapaxes(2, 3)) * scalar_value
    if real_shift is not None:
        if real_shift.dtype != query.dtype:
            raise TypeError("real_shift and query have different dtypes")
        scores = scores + real_shift.astype(ms.float32)
    weights = ops.exp(scores - scores.max(-1, keepdims=True))
    weights = weights / weights.sum(-1, keepdims=True)
    found = ops.matmul(weights, value.astype(ms.float32)).astype(query.dtype)
    if input_layout == "BNSD":
        return found
    batch, heads, tokens, width = found.shape
    return found.transpose(0, 2, 1, 3).reshape(batch, tokens, heads * width)


def _split_heads(x, heads):
    batch, tokens, width = x.shape
    return x.reshape(batch, tokens, heads, width // heads).transpose(0, 2, 1, 3)
