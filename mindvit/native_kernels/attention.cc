// Softmax attention on the joint projection of query, key and value, without a matrix of all pairs in memory.
#include <algorithm>
#include <cstdint>
#include <vector>

#include "exp.h"
#include "products.h"
#include "softmax.h"
#include "threads.h"

using namespace mindvit;

namespace {

// Query rows at a time: with 1,000 keys, the scores of a block fit into the second-level cache.
constexpr long kScores = 64 * 1024;

long block_rows(long tokens) { return std::max(16L, std::min(tokens, kScores / tokens / 8 * 8)); }

float *scratch(long index, long size) {
  static thread_local std::vector<std::vector<float>> buffers(2);
  auto &buffer = buffers[index];
  if (static_cast<long>(buffer.size()) < size) buffer.resize(size);
  return buffer.data();
}


}  // namespace

// Inputs: qkv (batch, tokens, 3 width), scale (1,). Outputs: out (batch, tokens, width), the logarithm of the sums of
// the exponentials of the scores (batch, heads, tokens).
extern "C" int mindvit_attention(int, void **params, int *, int64_t **shapes, const char **, void *, void *) {
  const float *qkv = static_cast<float *>(params[0]), scale = *static_cast<float *>(params[1]);
  float *out = static_cast<float *>(params[2]), *log_sums = static_cast<float *>(params[3]);
  const long batch = shapes[0][0], tokens = shapes[0][1], width = shapes[0][2] / 3, heads = shapes[3][1];
  const long dim = width / heads, stride = 3 * width, rows = block_rows(tokens), blocks = (tokens + rows - 1) / rows;
  parallel(batch * heads * blocks, [&](long task) {
    const long head = task / blocks % heads, image = task / blocks / heads, first = task % blocks * rows;
    const long count = std::min(rows, tokens - first);
    const float *query = qkv + (image * tokens + first) * stride + head * dim;
    const float *key = qkv + image * tokens * stride + width + head * dim, *value = key + width;
    float *scores = scratch(0, rows * tokens);
    product(count, tokens, dim, {query, stride}, {key, stride, true}, scores, tokens, scale);
    float *sums = log_sums + (image * heads + head) * tokens + first;
    for (long row = 0; row < count; ++row) {
      sums[row] = softmax_row(scores + row * tokens, scores + row * tokens, tokens);
    }
    product(count, dim, tokens, {scores, tokens}, {value, stride}, out + (image * tokens + first) * width + head * dim,
            width);
  });
  return 0;
}

// Inputs: qkv, scale, out, log sums as above, dout (batch, tokens, width). Output: dqkv (batch, tokens, 3 width).
extern "C" int mindvit_attention_grad(int, void **params, int *, int64_t **shapes, const char **, void *, void *) {
  const float *qkv = static_cast<float *>(params[0]), scale = *static_cast<float *>(params[1]);
  const float *out = static_cast<float *>(params[2]), *log_sums = static_cast<float *>(params[3]);
  const float *dout = static_cast<float *>(params[4]);
  float *dqkv = static_cast<float *>(params[5]);
  const long batch = shapes[0][0], tokens = shapes[0][1], width = shapes[0][2] / 3, heads = shapes[3][1];
  const long dim = width / heads, stride = 3 * width, rows = block_rows(tokens);
  parallel(batch * heads, [&](long task) {
    const long head = task % heads, image = task / heads;
    for (long first = 0; first < tokens; first += rows) {
      const long count = std::min(rows, tokens - first), at = (image * tokens + first) * stride + head * dim;
      const long all = image * tokens * stride + head * dim, at_out = (image * tokens + first) * width + head * dim;
      const Matrix query{qkv + at, stride}, key{qkv + all + width, stride}, value{qkv + all + 2 * width, stride};
      const Matrix grad{dout + at_out, width};
      float *weights = scratch(0, rows * tokens), *dweights = scratch(1, rows * tokens);
      product(count, tokens, dim, query, {key.data, stride, true}, weights, tokens, scale);
      product(count, tokens, dim, grad, {value.data, stride, true}, dweights, tokens);
      for (long row = 0; row < count; ++row) {
        const float *o = out + at_out + row * width, *g = dout + at_out + row * width;
        float delta = 0;
        for (long j = 0; j < dim; ++j) delta += o[j] * g[j];
        const float log_sum = log_sums[(image * heads + head) * tokens + first + row];
        float *w = weights + row * tokens, *d = dweights + row * tokens;
        for (long j = 0; j < tokens; ++j) {
          w[j] = exp_of(w[j] - log_sum);
          d[j] = w[j] * (d[j] - delta) * scale;
        }
      }
      const float beta = first ? 1.0f : 0.0f;
      product(count, dim, tokens, {dweights, tokens}, key, dqkv + at, stride);
      product(tokens, dim, count, {dweights, tokens, true}, query, dqkv + all + width, stride, 1, beta);
      product(tokens, dim, count, {weights, tokens, true}, grad, dqkv + all + 2 * width, stride, 1, beta);
    }
  });
  return 0;
}
