// Matrix products in float32, row-major, by the oneDNN that MindSpore ships.
#pragma once

namespace mindvit {

// A matrix as it lies in memory, or its transpose.
struct Matrix {
  const float *data;
  long stride;
  bool transposed = false;
};

// c (m, n) = alpha * a (m, k) b (k, n) + beta * c, on the calling thread.
void product(long m, long n, long k, Matrix a, Matrix b, float *c, long stride_c, float alpha = 1, float beta = 0);

// The same on all threads: each computes a part of c.
void parallel_product(long m, long n, long k, Matrix a, Matrix b, float *c, long stride_c);

}  // namespace mindvit
