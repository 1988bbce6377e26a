"""Fits the five coefficients of ``ExactGELU`` and prints them with their error.

Run it from the folder of the project: python tests/references/fit_gelu.py

The log odds of the normal distribution, ``log(Phi(x) / Phi(-x)) = x P(x^2)``, are fitted by
``P(u)^2 = a + (b + c u) tanh(p u + q)``. For fixed p and q the fit is linear. Lawson's iteration, which weights each
point by its error, minimizes the maximum error. A simplex search finds p and q.
"""

import numpy as np
from scipy.optimize import minimize
from scipy.special import log_ndtr, ndtr

X = np.linspace(0.01, 6.5, 1500)
U = X * X
ODDS = (log_ndtr(X) - log_ndtr(-X)) / X
# Error of the GELU, x sigmoid(x P), for an error of 1 in P^2.
WEIGHT = U * ndtr(X) * ndtr(-X) / (2 * ODDS)


def fit_linear(inner: np.ndarray, rounds: int = 60) -> tuple[float, np.ndarray]:
    """The minimal maximum error of the GELU for p and q, to first order, and its coefficients a, b and c."""
    gate = np.tanh(inner[0] * U + inner[1])
    terms = np.stack([np.ones_like(U), gate, U * gate], 1)
    emphasis = np.ones_like(U)
    best = (np.inf, np.zeros(3))
    for _ in range(rounds):
        scale = WEIGHT * np.sqrt(emphasis)
        coefficients = np.linalg.lstsq(terms * scale[:, None], ODDS**2 * scale, rcond=None)[0]
        error = np.abs(WEIGHT * (terms @ coefficients - ODDS**2))
        best = min(best, (error.max(), coefficients), key=lambda fit: fit[0])
        emphasis *= error / error.max() + 1e-9
        emphasis /= emphasis.mean()
    return best


def main() -> None:
    """Fits the coefficients and prints them."""
    options = {"maxiter": 200, "xatol": 1e-8, "fatol": 1e-6}
    inner = minimize(lambda p: np.log(fit_linear(p)[0]), (0.08, 0.75), method="Nelder-Mead", options=options).x
    a, b, c = fit_linear(inner, rounds=600)[1]
    x = np.linspace(-40, 40, 800001)
    odds = x * np.sqrt(a + (b + c * x * x) * np.tanh(inner[0] * x * x + inner[1]))
    error = np.abs(x * (np.exp(-np.logaddexp(0, -odds)) - ndtr(x))).max()
    print(f"a {a:.8f}  b {b:.8f}  c {c:.8f}  p {inner[0]:.8f}  q {inner[1]:.8f}  maximum error {error:.2e}")


if __name__ == "__main__":
    main()
