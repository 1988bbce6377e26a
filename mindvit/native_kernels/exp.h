// Elementary functions that the compiler turns into vector instructions.
#pragma once
#include <cmath>
#include <cstdint>
#include <cstring>

namespace mindvit {

// e^x with a relative error of 2e-7; 0 below -87.3, NaN for NaN.
inline float exp_of(float x) {
  x = x > 88.3f ? 88.3f : x;
  const bool is_zero = x < -87.3f;
  const float clamped = is_zero ? -87.3f : x;
  const float n = __builtin_rintf(clamped * 1.44269504088896341f);
  const float r = (clamped - n * 0.693359375f) + n * 2.12194440e-4f;
  float p = 1.9875691500e-4f;
  p = p * r + 1.3981999507e-3f;
  p = p * r + 8.3334519073e-3f;
  p = p * r + 4.1665795894e-2f;
  p = p * r + 1.6666665459e-1f;
  p = p * r + 5.0000001201e-1f;
  p = p * r * r + r + 1.0f;
  const int32_t bits = (static_cast<int32_t>(n) + 127) << 23;
  float power;
  std::memcpy(&power, &bits, sizeof power);
  return is_zero ? 0.0f : p * power;
}

}  // namespace mindvit
