// The feed-forward layer: dense, GELU, dense. Only the input of GELU is kept for the gradient, not its output.
#include <cstdint>
#include <memory>
#include <mutex>

#include "gelu.h"
#include "products.h"
#include "rows.h"

using namespace mindvit;

namespace {

// Memory that calls use one after the other, and that stays for the next.
class Scratch {
 public:
  float *get(long size) {
    if (size > size_) {
      data_.reset();
      data_.reset(new float[size]);
      size_ = size;
    }
    return data_.get();
  }

 private:
  std::unique_ptr<float[]> data_;
  long size_ = 0;
};

std::mutex scratch_mutex;
Scratch activations, gradients;

// hidden += bias; y = gelu(hidden).
template <class GELU>
void activate(const float *bias, float *hidden, float *y, long rows, long width) {
  const long parts = thread_count();
  parallel(parts, [&](long index) {
    const Part part = part_of(rows, parts, index);
    for (long row = part.first; row < part.last; ++row) {
      float *h = hidden + row * width, *out = y + row * width;
      for (long i = 0; i < width; ++i) {
        h[i] += bias[i];
        out[i] = GELU::value(h[i]);
      }
    }
  });
}

// y = gelu(hidden); grad *= gelu'(hidden).
template <class GELU>
void differentiate(const float *hidden, float *y, float *grad, long rows, long width) {
  const long parts = thread_count();
  parallel(parts, [&](long index) {
    const Part part = part_of(rows, parts, index);
    for (long i = part.first * width; i < part.last * width; ++i) {
      float slope;
      GELU::value_and_slope(hidden[i], y[i], slope);
      grad[i] *= slope;
    }
  });
}

// Inputs: x (..., width), weight1 (inner, width), bias1 (inner,), weight2 (out, inner), bias2 (out,). Outputs:
// y (..., out), and the input of GELU (..., inner).
template <class GELU>
int forward(void **params, int *ndims, int64_t **shapes) {
  const float *x = static_cast<float *>(params[0]), *weight1 = static_cast<float *>(params[1]);
  const float *bias1 = static_cast<float *>(params[2]), *weight2 = static_cast<float *>(params[3]);
  const float *bias2 = static_cast<float *>(params[4]);
  float *y = static_cast<float *>(params[5]), *hidden = static_cast<float *>(params[6]);
  const long rows = rows_of(ndims[0], shapes[0]), width = shapes[1][1], inner = shapes[1][0], out = shapes[3][0];
  std::lock_guard<std::mutex> lock(scratch_mutex);
  float *active = activations.get(rows * inner);
  parallel_product({rows, inner, width, {x, width}, {weight1, width, true}, hidden, inner});
  activate<GELU>(bias1, hidden, active, rows, inner);
  parallel_product({rows, out, inner, {active, inner}, {weight2, inner, true}, y, out});
  add_bias(y, bias2, rows, out);
  return 0;
}

// Inputs: x, weight1, weight2, the input of GELU, dy. Outputs: dx, dweight1, dbias1, dweight2, dbias2.
template <class GELU>
int backward(void **params, int *ndims, int64_t **shapes) {
  const float *x = static_cast<float *>(params[0]), *weight1 = static_cast<float *>(params[1]);
  const float *weight2 = static_cast<float *>(params[2]), *hidden = static_cast<float *>(params[3]);
  const float *dy = static_cast<float *>(params[4]);
  float *dx = static_cast<float *>(params[5]), *dweight1 = static_cast<float *>(params[6]);
  float *dbias1 = static_cast<float *>(params[7]), *dweight2 = static_cast<float *>(params[8]);
  float *dbias2 = static_cast<float *>(params[9]);
  const long rows = rows_of(ndims[0], shapes[0]), width = shapes[1][1], inner = shapes[1][0], out = shapes[2][0];
  std::lock_guard<std::mutex> lock(scratch_mutex);
  float *active = activations.get(rows * inner), *grad = gradients.get(rows * inner);
  parallel_product({rows, inner, out, {dy, out}, {weight2, inner}, grad, inner});
  differentiate<GELU>(hidden, active, grad, rows, inner);
  sum_rows(dy, dbias2, rows, out);
  parallel_product({out, inner, rows, {dy, out, true}, {active, inner}, dweight2, inner});
  sum_rows(grad, dbias1, rows, inner);
  parallel_products({inner, width, rows, {grad, inner, true}, {x, width}, dweight1, width},
                    {rows, width, inner, {grad, inner}, {weight1, width}, dx, width});
  return 0;
}

}  // namespace

extern "C" int mindvit_feed_forward_tanh(int, void **params, int *ndims, int64_t **shapes, const char **, void *,
                                         void *) {
  return forward<TanhGELU>(params, ndims, shapes);
}

extern "C" int mindvit_feed_forward_exact(int, void **params, int *ndims, int64_t **shapes, const char **, void *,
                                          void *) {
  return forward<ExactGELU>(params, ndims, shapes);
}

extern "C" int mindvit_feed_forward_grad_tanh(int, void **params, int *ndims, int64_t **shapes, const char **, void *,
                                              void *) {
  return backward<TanhGELU>(params, ndims, shapes);
}

extern "C" int mindvit_feed_forward_grad_exact(int, void **params, int *ndims, int64_t **shapes, const char **, void *,
                                               void *) {
  return backward<ExactGELU>(params, ndims, shapes);
}
