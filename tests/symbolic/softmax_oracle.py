"""E Q^k, Q = sum_j A_j^2 of a softmax over independent N(0, v) scores, in 25 digits: the partitions of k = 1, 2 written
out, trapezoidal rules in log t and in the scores. Shares no code with what it judges."""

import mpmath

STEP = 6  # to the unit; both integrands are analytic in a strip, and what is left out is below 1e-20


def moment(k: int, tokens: int, v: str) -> mpmath.mpf:
    with mpmath.workdps(25):
        h = mpmath.mpf(1) / STEP
        z = [h * n for n in range(-9 * STEP, 17 * STEP)]
        sigma, density = mpmath.sqrt(mpmath.mpf(v)), [h * mpmath.npdf(x) for x in z]
        weights = [mpmath.exp(sigma * x) for x in z]
        moments = {m: [d * w**m for d, w in zip(density, weights, strict=True)] for m in (0, 2, 4)}
        total = mpmath.mpf(0)
        for n in range(-30 * STEP, 17 * STEP):
            t = mpmath.exp(h * n)
            decay = [mpmath.exp(-t * w) for w in weights]
            part = {m: mpmath.fdot(found, decay) for m, found in moments.items()}
            if k == 1:
                each = t * part[2] * part[0] ** (tokens - 1)
            else:
                each = t**3 / 6 * part[4] * part[0] ** (tokens - 1)
                if tokens > 1:
                    each += (tokens - 1) * t**3 / 6 * part[2] ** 2 * part[0] ** (tokens - 2)
            total += h * t * tokens * each
        return total
