// Resizing of 8-bit images with the results of Pillow, bit by bit, and normalization into planes.
//
// Pillow's filters are separable. Both passes sum the products of pixels and weights, integers of 22 fractional bits,
// and round to 8 bits. Sums of integers do not depend on their order, so any code gives the same pixels if its weights
// are the same.

#include <cmath>
#include <cstdint>
#include <cstring>
#include <memory>
#include <new>
#include <vector>

#ifdef __AVX2__
#include <immintrin.h>
#endif

namespace {

#ifdef __AVX2__

constexpr int kBits = 22;
constexpr int kHalf = 1 << (kBits - 1);

// The weights are computed in the order and with the roundings of Pillow.
#if defined(__clang__)
#pragma clang fp contract(off) reassociate(off) reciprocal(off)
#else
#pragma GCC push_options
#pragma GCC optimize("no-associative-math", "no-reciprocal-math", "signed-zeros", "fp-contract=off")
#endif

double Weight(double x, bool cubic) {
  x = x < 0.0 ? -x : x;
  if (!cubic) return x < 1.0 ? 1.0 - x : 0.0;
  constexpr double a = -0.5;
  if (x < 1.0) return ((a + 2.0) * x - (a + 3.0)) * x * x + 1;
  if (x < 2.0) return (((x - 5) * x + 8) * x - 4) * a;
  return 0.0;
}

// The pixels that an output pixel is the weighted sum of, for all output pixels of one direction.
struct Taps {
  int width;
  std::vector<int> first, count, weight;

  Taps(int in, int out, bool cubic) : first(out), count(out) {
    const double scale = static_cast<double>(in) / out;
    const double filter_scale = scale < 1.0 ? 1.0 : scale;
    const double support = (cubic ? 2.0 : 1.0) * filter_scale, inverse = 1.0 / filter_scale;
    width = static_cast<int>(std::ceil(support)) * 2 + 1;
    weight.assign(static_cast<size_t>(out) * width, 0);
    std::vector<double> values(width);
    for (int i = 0; i < out; ++i) {
      const double center = (i + 0.5) * scale;
      int low = static_cast<int>(center - support + 0.5), high = static_cast<int>(center + support + 0.5);
      if (low < 0) low = 0;
      if (high > in) high = in;
      double sum = 0.0;
      for (int j = low; j < high; ++j) {
        values[j - low] = Weight((j - center + 0.5) * inverse, cubic);
        sum += values[j - low];
      }
      for (int j = 0; j < high - low; ++j) {
        const double value = (sum != 0.0 ? values[j] / sum : values[j]) * (1 << kBits);
        weight[static_cast<size_t>(i) * width + j] = static_cast<int>(value < 0 ? value - 0.5 : value + 0.5);
      }
      first[i] = low;
      count[i] = high - low;
    }
  }
};

#if !defined(__clang__)
#pragma GCC pop_options
#endif

inline __m256i Load8(const uint8_t *from) {
  return _mm256_cvtepu8_epi32(_mm_loadl_epi64(reinterpret_cast<const __m128i *>(from)));
}

inline __m128i Load4(const uint8_t *from) {
  int32_t bytes;
  std::memcpy(&bytes, from, 4);
  return _mm_cvtepu8_epi32(_mm_cvtsi32_si128(bytes));
}

// The whole bits of 4 sums, clipped to bytes.
inline void Store4(uint8_t *to, __m128i sum) {
  sum = _mm_srai_epi32(sum, kBits);
  sum = _mm_packs_epi32(sum, sum);
  const int32_t bytes = _mm_cvtsi128_si32(_mm_packus_epi16(sum, sum));
  std::memcpy(to, &bytes, 4);
}

// Rows are computed together, so that the weights are loaded once.
template <int kRows>
void HorizontalRows(const uint8_t *in, int64_t stride, const Taps &taps, int out, uint8_t *to, bool flip) {
  for (int x = 0; x < out; ++x) {
    const int *k = &taps.weight[static_cast<size_t>(x) * taps.width];
    const int count = taps.count[x];
    const uint8_t *at = in + 4LL * taps.first[x];
    __m256i pairs[kRows];
    for (int r = 0; r < kRows; ++r) pairs[r] = _mm256_setzero_si256();
    int j = 0;
    for (; j + 2 <= count; j += 2, at += 8) {
      const __m256i weights = _mm256_setr_m128i(_mm_set1_epi32(k[j]), _mm_set1_epi32(k[j + 1]));
      for (int r = 0; r < kRows; ++r) {
        pairs[r] = _mm256_add_epi32(pairs[r], _mm256_mullo_epi32(Load8(at + r * stride), weights));
      }
    }
    uint8_t *pixel = to + 4LL * (flip ? out - 1 - x : x);
    for (int r = 0; r < kRows; ++r) {
      __m128i sum = _mm_add_epi32(_mm256_castsi256_si128(pairs[r]), _mm256_extracti128_si256(pairs[r], 1));
      if (j < count) sum = _mm_add_epi32(sum, _mm_mullo_epi32(Load4(at + r * stride), _mm_set1_epi32(k[j])));
      Store4(pixel + 4LL * r * out, _mm_add_epi32(sum, _mm_set1_epi32(kHalf)));
    }
  }
}

void Horizontal(const uint8_t *in, int64_t stride, int rows, const Taps &taps, int out, uint8_t *to, bool flip) {
  int y = 0;
  for (; y + 4 <= rows; y += 4) HorizontalRows<4>(in + y * stride, stride, taps, out, to + 4LL * y * out, flip);
  for (; y < rows; ++y) HorizontalRows<1>(in + y * stride, stride, taps, out, to + 4LL * y * out, flip);
}

void Vertical(const uint8_t *in, int64_t stride, int width, const Taps &taps, int out, uint8_t *to) {
  const int bytes = 4 * width;
  const __m256i half = _mm256_set1_epi32(kHalf);
  // Packing works in halves of a vector: this puts groups of 4 bytes into their order.
  const __m256i order = _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7);
  for (int y = 0; y < out; ++y) {
    const int *k = &taps.weight[static_cast<size_t>(y) * taps.width];
    const int count = taps.count[y];
    const uint8_t *rows = in + taps.first[y] * stride;
    uint8_t *result = to + static_cast<int64_t>(y) * bytes;
    int i = 0;
    for (; i + 32 <= bytes; i += 32) {
      __m256i a = half, b = half, c = half, d = half;
      const uint8_t *at = rows + i;
      for (int j = 0; j < count; ++j, at += stride) {
        const __m256i weight = _mm256_set1_epi32(k[j]);
        a = _mm256_add_epi32(a, _mm256_mullo_epi32(Load8(at), weight));
        b = _mm256_add_epi32(b, _mm256_mullo_epi32(Load8(at + 8), weight));
        c = _mm256_add_epi32(c, _mm256_mullo_epi32(Load8(at + 16), weight));
        d = _mm256_add_epi32(d, _mm256_mullo_epi32(Load8(at + 24), weight));
      }
      const __m256i low = _mm256_packs_epi32(_mm256_srai_epi32(a, kBits), _mm256_srai_epi32(b, kBits));
      const __m256i high = _mm256_packs_epi32(_mm256_srai_epi32(c, kBits), _mm256_srai_epi32(d, kBits));
      const __m256i packed = _mm256_permutevar8x32_epi32(_mm256_packus_epi16(low, high), order);
      _mm256_storeu_si256(reinterpret_cast<__m256i *>(result + i), packed);
    }
    for (; i < bytes; i += 4) {
      __m128i sum = _mm_set1_epi32(kHalf);
      const uint8_t *at = rows + i;
      for (int j = 0; j < count; ++j, at += stride) {
        sum = _mm_add_epi32(sum, _mm_mullo_epi32(Load4(at), _mm_set1_epi32(k[j])));
      }
      Store4(result + i, sum);
    }
  }
}

void Resize(const uint8_t *in, int64_t stride, int width, int height, int out_width, int out_height, bool cubic,
            bool flip, bool vertical_first, uint8_t *out) {
  const Taps across(width, out_width, cubic), down(height, out_height, cubic);
  if (vertical_first) {
    const std::unique_ptr<uint8_t[]> between(new uint8_t[4LL * width * out_height]);
    Vertical(in, stride, width, down, out_height, between.get());
    Horizontal(between.get(), 4LL * width, out_height, across, out_width, out, flip);
  } else {
    const std::unique_ptr<uint8_t[]> between(new uint8_t[4LL * out_width * height]);
    Horizontal(in, stride, height, across, out_width, between.get(), flip);
    Vertical(between.get(), 4LL * out_width, out_width, down, out_height, out);
  }
}

#endif

}  // namespace

extern "C" {

// Resizes pixels of 4 bytes, and mirrors them if asked. `stride` is the distance between two rows of the input in bytes;
// the output has no gaps. Returns 1 on a processor without vectors of 256 bits, 2 if there is not enough memory.
int mindvit_resize_image(const uint8_t *in, int64_t stride, int width, int height, int out_width, int out_height,
                         int cubic, int flip, int vertical_first, uint8_t *out) {
#ifdef __AVX2__
  try {
    Resize(in, stride, width, height, out_width, out_height, cubic, flip, vertical_first, out);
  } catch (const std::bad_alloc &) {
    return 2;
  }
  return 0;
#else
  return 1;
#endif
}

// Writes the values of a table for the first 3 of 4 bytes of each pixel, as 3 planes. The table has 3 rows of 256.
void mindvit_normalize_image(const uint8_t *in, int64_t pixels, const float *table, float *out) {
  float *__restrict red = out, *__restrict green = out + pixels, *__restrict blue = out + 2 * pixels;
  for (int64_t i = 0; i < pixels; ++i) {
    red[i] = table[in[4 * i]];
    green[i] = table[256 + in[4 * i + 1]];
    blue[i] = table[512 + in[4 * i + 2]];
  }
}

}  // extern "C"
