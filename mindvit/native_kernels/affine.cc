// Affine transforms and sharpening of 8-bit images with the results of Pillow, bit by bit.
//
// Pillow interpolates in double precision, first along the rows, then down, and cuts off the fraction. Here the four
// bytes of a pixel are the lanes of a vector. Sums of integers are exact in any order; sums of doubles keep Pillow's.

#include <cstdint>
#include <cstring>

#ifdef __AVX2__
#include <immintrin.h>
#endif

namespace {

#ifdef __AVX2__

#if defined(__clang__)
#pragma clang fp contract(off) reassociate(off) reciprocal(off)
#else
#pragma GCC push_options
#pragma GCC optimize("no-associative-math", "no-reciprocal-math", "signed-zeros", "fp-contract=off")
#endif

struct Image {
  const uint8_t *pixels;
  int width, height;

  const uint8_t *row(int y) const { return pixels + 4LL * width * (y < 0 ? 0 : y < height ? y : height - 1); }
};

inline int Inside(int x, int size) { return x < 0 ? 0 : x < size ? x : size - 1; }

inline int Floor(double value) {
  const int whole = static_cast<int>(value);
  return whole - (value < whole);
}

inline __m256d Pixel(const uint8_t *at) {
  int32_t bytes;
  std::memcpy(&bytes, at, 4);
  return _mm256_cvtepi32_pd(_mm_cvtepu8_epi32(_mm_cvtsi32_si128(bytes)));
}

// The cubic through four values at -1, 0, 1 and 2, by its coefficients, at `d`.
inline __m256d Polynomial(__m256d p1, __m256d p2, __m256d p3, __m256d p4, __m256d d) {
  const __m256d inner = _mm256_add_pd(p3, _mm256_mul_pd(d, p4));
  return _mm256_add_pd(p1, _mm256_mul_pd(d, _mm256_add_pd(p2, _mm256_mul_pd(d, inner))));
}

// Along a row, between the pixels x + 1 and x + 2.
inline __m256d CubicAcross(const uint8_t *row, int x, int width, __m256d d) {
  // Bytes by channel: the values of four pixels one beside the other.
  const __m128i by_channel = _mm_setr_epi8(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15);
  const __m128i second = _mm_setr_epi8(1, -1, -1, -1, 5, -1, -1, -1, 9, -1, -1, -1, 13, -1, -1, -1);
  __m128i pixels;
  if (x >= 0 && x + 4 <= width) {
    pixels = _mm_loadu_si128(reinterpret_cast<const __m128i *>(row + 4LL * x));
  } else {
    uint8_t around[16];
    for (int i = 0; i < 4; ++i) std::memcpy(around + 4 * i, row + 4LL * Inside(x + i, width), 4);
    std::memcpy(&pixels, around, 16);
  }
  pixels = _mm_shuffle_epi8(pixels, by_channel);
  const __m128i ones = _mm_set1_epi16(1);
  const auto sum = [&](int a, int b, int c, int e) {
    const uint32_t factors = (a & 255u) | (b & 255u) << 8 | (c & 255u) << 16 | (e & 255u) << 24;
    const __m128i pairs = _mm_maddubs_epi16(pixels, _mm_set1_epi32(static_cast<int32_t>(factors)));
    return _mm256_cvtepi32_pd(_mm_madd_epi16(pairs, ones));
  };
  const __m256d p1 = _mm256_cvtepi32_pd(_mm_shuffle_epi8(pixels, second));
  return Polynomial(p1, sum(-1, 0, 1, 0), sum(2, -2, 1, -1), sum(-1, 1, -1, 1), d);
}

inline void Store(uint8_t *to, __m256d value) {
  __m128i whole = _mm256_cvttpd_epi32(value);  // Cuts off the fraction. Packing clips to 0 and 255.
  whole = _mm_packs_epi32(whole, whole);
  const int32_t bytes = _mm_cvtsi128_si32(_mm_packus_epi16(whole, whole)) | static_cast<int32_t>(0xFF000000u);
  std::memcpy(to, &bytes, 4);
}

inline void Cubic(const Image &image, double x, double y, uint8_t *to) {
  const int left = Floor(x), top = Floor(y);
  const bool is_column = x == left;  // The cubic at 0 is its second value.
  const auto across = [&](int row) {
    const uint8_t *from = image.row(row);
    if (is_column) return Pixel(from + 4LL * left);
    return CubicAcross(from, left - 1, image.width, _mm256_set1_pd(x - left));
  };
  if (y == top) {
    Store(to, across(top));
    return;
  }
  __m256d v[4];
  for (int i = 0; i < 4; ++i) {
    // Below the image Pillow repeats the last row, above it the first.
    v[i] = i && top - 1 + i >= image.height ? v[i - 1] : across(top - 1 + i);
  }
  const __m256d p2 = _mm256_sub_pd(v[2], v[0]);
  const __m256d twice = _mm256_mul_pd(_mm256_set1_pd(2.0), _mm256_sub_pd(v[0], v[1]));
  const __m256d p3 = _mm256_sub_pd(_mm256_add_pd(twice, v[2]), v[3]);
  const __m256d p4 = _mm256_add_pd(_mm256_sub_pd(_mm256_sub_pd(v[1], v[0]), v[2]), v[3]);
  Store(to, Polynomial(v[1], p2, p3, p4, _mm256_set1_pd(y - top)));
}

inline __m256d Between(__m256d a, __m256d b, __m256d d) {
  return _mm256_add_pd(a, _mm256_mul_pd(_mm256_sub_pd(b, a), d));
}

inline void Linear(const Image &image, double x, double y, uint8_t *to) {
  const int left = Floor(x), top = Floor(y);
  const int first = 4 * Inside(left, image.width), second = 4 * Inside(left + 1, image.width);
  const uint8_t *upper = image.row(top), *lower = image.row(top + 1);
  const __m256d dx = _mm256_set1_pd(x - left);
  const __m256d above = Between(Pixel(upper + first), Pixel(upper + second), dx);
  const __m256d below = Between(Pixel(lower + first), Pixel(lower + second), dx);
  Store(to, Between(above, below, _mm256_set1_pd(y - top)));
}

template <bool cubic>
void Transform(const Image &image, const double *matrix, uint8_t *out) {
  for (int row = 0; row < image.height; ++row) {
    const double at_y = row + 0.5;
    for (int column = 0; column < image.width; ++column, out += 4) {
      const double at_x = column + 0.5;
      const double x = matrix[0] * at_x + matrix[1] * at_y + matrix[2];
      const double y = matrix[3] * at_x + matrix[4] * at_y + matrix[5];
      if (!(x >= 0.0 && x < image.width && y >= 0.0 && y < image.height)) continue;
      (cubic ? Cubic : Linear)(image, x - 0.5, y - 0.5, out);
    }
  }
}

// The mean of a pixel, five times, and its eight neighbors; then the line through that and the pixel, at `factor`.
void Sharpen(const uint8_t *in, int width, int height, float factor, uint8_t *out) {
  const int64_t stride = 4LL * width;
  for (int y = 0; y < height; ++y, in += stride, out += stride) {
    std::memcpy(out, in, stride);  // Pillow keeps the outermost pixels.
    if (y == 0 || y == height - 1) continue;
    for (int64_t i = 4; i < stride - 4; ++i) {
      const int center = in[i];
      const int sum = in[i - stride - 4] + in[i - stride] + in[i - stride + 4] + in[i - 4] + 5 * center + in[i + 4] +
                      in[i + stride - 4] + in[i + stride] + in[i + stride + 4];
      // The quotient by 13, rounded, for all sums up to 13 * 255: a half is impossible, so Pillow's floats round alike.
      const int smooth = ((sum + 6) * 20165) >> 18;
      const float value = static_cast<float>(smooth) + factor * static_cast<float>(center - smooth);
      out[i] = value <= 0.0f ? 0 : value >= 255.0f ? 255 : static_cast<uint8_t>(static_cast<int>(value));
    }
  }
}

#if !defined(__clang__)
#pragma GCC pop_options
#endif

#endif

}  // namespace

extern "C" {

// Computes each pixel of the output that lies within the image: at a * (x + 0.5) + b * (y + 0.5) + c, and likewise y, for
// the matrix a, b, c, d, e, f. Others are left as they are. Both have 4 bytes for each pixel, and no gaps.
// Returns 1 on a processor without vectors of 256 bits.
int mindvit_transform_image(const uint8_t *in, int width, int height, const double *matrix, int cubic, uint8_t *out) {
#ifdef __AVX2__
  (cubic ? Transform<true> : Transform<false>)({in, width, height}, matrix, out);
  return 0;
#else
  return 1;
#endif
}

// Returns 1 on a processor without vectors of 256 bits.
int mindvit_sharpen_image(const uint8_t *in, int width, int height, float factor, uint8_t *out) {
#ifdef __AVX2__
  Sharpen(in, width, height, factor, out);
  return 0;
#else
  return 1;
#endif
}

}  // extern "C"
