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

// c (m, n) = a (m, k) b (k, n).
struct Product {
  long m, n, k;
  Matrix a, b;
  float *c;
  long stride_c;
};

// Computes a product on all threads: each computes a part of c.
void parallel_product(const Product &p);

// Computes two products that do not need each other, of the same number of operations: each half of the threads computes
// one. oneDNN is faster at the larger parts, above all where `a` is transposed or `b` is not (by up to 1.5 on AVX-512).
void parallel_products(const Product &p, const Product &q);

}  // namespace mindvit
