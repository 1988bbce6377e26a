// Both forms of GELU, with their slopes.
#pragma once
#include "exp.h"

namespace mindvit {

// 0.5 x (1 + tanh(sqrt(2/pi) (x + 0.044715 x^3))), computed as x sigmoid(2 sqrt(2/pi) (x + 0.044715 x^3)).
struct TanhGELU {
  static constexpr float scale = 1.5957691216057308f, cubic = 0.044715f;

  static float value(float x) { return x / (1.0f + exp_of(-scale * x * (1.0f + cubic * x * x))); }

  static void value_and_slope(float x, float &y, float &slope) {
    const float square = x * x;
    const float gate = 1.0f / (1.0f + exp_of(-scale * x * (1.0f + cubic * square)));
    y = x * gate;
    slope = gate * (1.0f + x * (1.0f - gate) * scale * (1.0f + 3.0f * cubic * square));
  }
};

// x Phi(x), with the normal distribution Phi by formula 7.1.26 of Abramowitz & Stegun, whose error is 7.5e-8. The
// exponential in it is that of the density.
struct ExactGELU {
  static void distribution(float x, float &phi, float &exponential) {
    const float z = std::fabs(x) * 0.70710678118654752f, t = 1.0f / (1.0f + 0.3275911f * z);
    exponential = exp_of(-z * z);
    const float poly =
        ((((1.061405429f * t - 1.453152027f) * t + 1.421413741f) * t - 0.284496736f) * t + 0.254829592f) * t;
    const float tail = 0.5f * poly * exponential;
    phi = x < 0 ? tail : 1.0f - tail;
  }

  static float value(float x) {
    float phi, exponential;
    distribution(x, phi, exponential);
    return x * phi;
  }

  static void value_and_slope(float x, float &y, float &slope) {
    float phi, exponential;
    distribution(x, phi, exponential);
    y = x * phi;
    slope = phi + 0.39894228040143268f * x * exponential;
  }
};

}  // namespace mindvit
