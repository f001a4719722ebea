"""Derive the constants of exp in src/fastnn/kernels/csrc/vecmath.h. Needs mpmath; prints C.

exp(x) = 2^n exp(r) with n = round(x / ln 2) and r = x - n ln 2, |r| <= ln 2 / 2, and exp(r) = 1 + r + r^2 q(r).
q is the Chebyshev interpolant (within a factor of two of the minimax polynomial); its error is multiplied by r^2 <= 0.12.
ln 2 is split in two so that n * LN2_HI is exact for every n that occurs.
"""

import mpmath as mp

mp.mp.dps = 60


def q(r):
    r = mp.mpf(r)
    if abs(r) < mp.mpf("1e-12"):
        return mp.mpf(1) / 2 + r / 6 + r * r / 24
    return (mp.exp(r) - 1 - r) / r**2


def hex_float(x, bits):
    """x rounded to a binary significand of so many bits, as a C literal (exact: decimal of a double)."""
    m, e = mp.frexp(x)
    return float(mp.nint(m * 2**bits) * mp.mpf(2) ** (e - bits)).hex()


def derive(name, bits, degree, hi_bits):
    half = mp.log(2) / 2 * mp.mpf("1.0001")  # n comes from a rounded product
    coefficients = mp.chebyfit(q, [-half, half], degree + 1)[::-1]
    worst = max(
        abs((1 + r + r**2 * mp.polyval(coefficients[::-1], r)) / mp.exp(r) - 1)
        for r in mp.linspace(-half, half, 4001)
    )
    print(
        f"/* {name}: relative error of the polynomial {mp.nstr(worst * 2**bits, 3)} x 2^-{bits} */"
    )
    hi = mp.mpf(float.fromhex(hex_float(mp.log(2), hi_bits)))
    print(f"#define LOG2E {hex_float(1 / mp.log(2), bits)}")
    print(f"#define LN2_HI {hex_float(hi, hi_bits)}")
    print(f"#define LN2_LO {hex_float(mp.log(2) - hi, bits)}")
    print(
        "static const real EXP_Q[] = {"
        + ", ".join(hex_float(c, bits) for c in coefficients)
        + "};\n"
    )


derive("float32", 24, 4, 15)  # |n| <= 151: 8 bits and 15 make 23
derive("float64", 53, 9, 41)  # |n| <= 1075: 11 bits and 41 make 52
