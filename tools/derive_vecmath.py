"""Derive the constants of src/fastnn/kernels/simd/vecmath.h. Needs mpmath; prints C code.

exp    exp(x) = 2^n exp(r) with n = round(x / ln 2), r = x - n ln 2, |r| <= ln 2 / 2, and
       exp(r) = 1 + r + r^2 q(r). ln 2 is split in two so that n * LN2_HI is exact for all n.
exp2   2^x = 2^n 2^r with n = round(x) and r = x - n, exact, and 2^r = 1 + r q(r).
tanh   tanh(t) = t + t s T(s) with s = t^2, for t below TANH_SMALL.
erf    erf(t) = t + t E(s) with s = t^2, for t below 1.
tail   the upper tail of the normal distribution: Phi(-t) = exp(-t^2 / 2) P(t) / Q(t) for
       0 <= t <= TAIL_LARGEST, where t Phi(-t) and t phi(t) round to 0.
gelu   t Phi(-t) and its derivative for t >= 0, in PIECES of width 1/4 around j/4, as polynomials of
       h = 4 t - j.
log    log(1 + f) = f - f^2 / 2 + s (f^2 / 2 + z R(z)) with s = f / (2 + f), z = s^2:
       s R(z) = (log((1 + s) / (1 - s)) - 2 s) / z. LOG_R is for 1 + f from sqrt(1/2) to sqrt(2),
       after removing a power of two; LOG1P_R is for f from 0 to 1, without removing one.

Polynomials are Chebyshev interpolants (within a factor of two of the minimax polynomial). P / Q
interpolates at Chebyshev nodes of a variable that spreads the small t; all its coefficients are
positive, so nothing cancels in its evaluation. Printed errors are those of the rounded polynomials,
in units of 2^-bits relative to the function.
"""

import mpmath as mp

mp.mp.dps = 80
MOST_COLUMNS = 150
PIECES = 16


def hex_float(x, bits):
    """Round x to a significand of `bits` bits; return an exact C literal in hex."""
    m, e = mp.frexp(x)
    text = float(mp.nint(m * 2**bits) * mp.mpf(2) ** (e - bits)).hex()
    mantissa, exponent = text.split("p")
    return mantissa.rstrip("0").rstrip(".") + "p" + exponent if "." in mantissa else text


def rounded(coefficients, bits):
    return [mp.mpf(float.fromhex(hex_float(c, bits))) for c in coefficients]


def print_array(name, coefficients, bits):
    lines, line = [], f"static const real {name}[] = {{"
    indent = " " * len(line)
    for i, c in enumerate(coefficients):
        literal = hex_float(c, bits)
        literal = f"(real){literal}" if bits == 24 else literal
        literal += ", " if i + 1 < len(coefficients) else "};"
        if len(line) + len(literal.rstrip()) > MOST_COLUMNS:
            lines.append(line.rstrip())
            line = indent
        line += literal
    print("\n".join([*lines, line]))


def print_table(name, table, bits):
    """Print a table, each row in braces, with as many numbers per line as fit."""
    print(f"static const real {name}[{len(table)}][{len(table[0])}] = {{")
    for row in table:
        words = [f"(real){hex_float(c, bits)}" for c in row]
        lines, line = [], "    {"
        for i, word in enumerate(words):
            word += ", " if i + 1 < len(words) else "},"
            if len(line) + len(word.rstrip()) > MOST_COLUMNS:
                lines.append(line.rstrip())
                line = "     "
            line += word
        print("\n".join([*lines, line]))
    print("};")


def horner(coefficients, x):
    return mp.polyval(coefficients[::-1], x)


def worst(approximation, function, low, high, bits, size=None):
    """Return the worst error relative to the function, or to `size` if the function has a zero."""
    size = size or function
    points = [x for x in mp.linspace(low, high, 2001)[1:] if x != 0]
    error = max(abs((approximation(x) - function(x)) / size(x)) for x in points)
    return mp.nstr(error * 2**bits, 2)


def polynomial(function, low, high, degree):
    """Return the Chebyshev interpolant, lowest coefficient first."""
    return mp.chebyfit(function, [low, high], degree + 1)[::-1]


def exp_constants(bits, degree, hi_bits):
    def q(r):
        return (mp.exp(r) - 1 - r) / r**2 if abs(r) > mp.mpf("1e-20") else mp.mpf(1) / 2 + r / 6

    half = mp.log(2) / 2 * mp.mpf("1.0001")  # n comes from a rounded product
    c = rounded(polynomial(q, -half, half, degree), bits)
    hi = mp.mpf(float.fromhex(hex_float(mp.log(2), hi_bits)))
    error = worst(lambda r: 1 + r + r**2 * horner(c, r), mp.exp, -half, half, bits)
    print(f"/* exp: {error} */")
    print(f"#define LOG2E ((real){hex_float(1 / mp.log(2), bits)})")
    print(f"#define LN2_HI ((real){hex_float(hi, hi_bits)})")
    print(f"#define LN2_LO ((real){hex_float(mp.log(2) - hi, bits)})")
    print_array("EXP_Q", c, bits)


def exp2_constants(bits, degree):
    def q(r):
        return mp.expm1(r * mp.log(2)) / r if abs(r) > mp.mpf("1e-30") else mp.log(2)

    half = mp.mpf("0.5")
    c = rounded(polynomial(q, -half, half, degree), bits)
    error = worst(lambda r: 1 + r * horner(c, r), lambda r: mp.mpf(2) ** r, -half, half, bits)
    print(f"/* exp2: {error} */")
    print_array("EXP2_Q", c, bits)


def tanh_constants(bits, degree, small):
    def t(s):
        x = mp.sqrt(s)
        return (mp.tanh(x) / x - 1) / s if s > mp.mpf("1e-20") else -mp.mpf(1) / 3 + 2 * s / 15

    c = rounded(polynomial(t, 0, mp.mpf(small) ** 2, degree), bits)
    error = worst(lambda x: x + x**3 * horner(c, x**2), mp.tanh, 0, small, bits)
    print(f"/* tanh: {error} */")
    print_array("TANH_T", c, bits)


def erf_constants(bits, degree):
    def e(s):
        x = mp.sqrt(s)
        return mp.erf(x) / x - 1 if s > mp.mpf("1e-30") else 2 / mp.sqrt(mp.pi) * (1 - s / 3) - 1

    c = rounded(polynomial(e, 0, 1, degree), bits)
    error = worst(lambda x: x + x * horner(c, x**2), mp.erf, 0, 1, bits)
    print(f"/* erf: {error} */")
    print_array("ERF_E", c, bits)


def tail_constants(bits, degree, largest):
    """Return P of `degree` and Q of degree + 1; Q(0) = 2, since Phi(0) = 1/2 and P(0) = 1."""

    def ratio(t):
        return mp.exp(t * t / 2) * mp.erfc(t / mp.sqrt(2)) / 2

    # t = k (1 + u) / (1 - u) for u from -1 to where t is `largest`
    k = mp.mpf(2)
    top = (largest - k) / (largest + k)
    unknowns = 2 * degree + 1
    nodes = [mp.cos((2 * i + 1) * mp.pi / (2 * unknowns)) for i in range(unknowns)]
    nodes = [(top + 1) / 2 * (u + 1) - 1 for u in nodes]
    ts = [k * (1 + u) / (1 - u) for u in nodes]
    # 1 + sum_i p_i t^i = ratio (2 + sum_j q_j t^j), i = 1..degree, j = 1..degree+1
    rows = [
        [t**i for i in range(1, degree + 1)] + [-ratio(t) * t**j for j in range(1, degree + 2)]
        for t in ts
    ]
    solution = list(mp.lu_solve(mp.matrix(rows), mp.matrix([2 * ratio(t) - 1 for t in ts])))
    p = rounded([mp.mpf(1), *solution[:degree]], bits)
    q = rounded([mp.mpf(2), *solution[degree:]], bits)
    assert min(p + q) > 0
    error = worst(lambda t: horner(p, t) / horner(q, t), ratio, 0, largest, bits)
    print(f"/* tail: {error} */")
    print_array("TAIL_P", p, bits)
    print_array("TAIL_Q", q, bits)


def piecewise_constants(bits, name, function, size, degree):
    """Return a table whose column j is the polynomial around j/4.

    If the function is 0 at 0, so is the first polynomial, which keeps it accurate there.
    """
    half, columns = mp.mpf(1) / 2, []
    for j in range(PIECES):

        def piece(h, j=j):
            return function((j + h) / 4)

        def ratio(h):
            h = h or mp.mpf("1e-30")
            return function(h / 4) / h

        if j == 0 and function(0) == 0:
            c = [mp.mpf(0), *polynomial(ratio, -half, half, degree - 1)]
        else:
            c = polynomial(piece, -half, half, degree)
        columns.append(rounded([x if abs(x) > mp.mpf(2) ** -80 else mp.mpf(0) for x in c], bits))

    def approximation(t):
        j = int(mp.nint(4 * t))
        return horner(columns[j], 4 * t - j)

    error = worst(
        approximation, function, 0, mp.mpf(2 * PIECES - 1) / 8 - mp.mpf("1e-9"), bits, size
    )
    print(f"/* {name}: {error} */")
    print_table(name, list(zip(*columns, strict=True)), bits)


def gelu_constants(bits, degree):
    def cdf(t):  # of -t
        return mp.erfc(t / mp.sqrt(2)) / 2

    def density(t):
        return mp.exp(-t * t / 2) / mp.sqrt(2 * mp.pi)

    piecewise_constants(bits, "GELU_TAIL", lambda t: t * cdf(t), None, degree)
    piecewise_constants(
        bits,
        "GELU_TAIL_SLOPE",
        lambda t: cdf(t) - t * density(t),
        lambda t: cdf(t) + t * density(t),
        degree,
    )


def log_constants(bits, name, degree, low, high):
    """Derive R for f from low to high; s is largest at one of them."""

    def r(z):
        s = mp.sqrt(z)
        return (2 * mp.atanh(s) / s - 2) / z if z > mp.mpf("1e-20") else mp.mpf(2) / 3 + 2 * z / 5

    def approximation(f):
        s = f / (2 + f)
        return f - f**2 / 2 + s * (f**2 / 2 + s**2 * horner(c, s**2))

    largest = max(abs(f / (2 + f)) for f in (low, high))
    c = rounded(polynomial(r, 0, largest**2, degree), bits)
    error = worst(approximation, mp.log1p, low, high, bits)
    print(f"/* {name}: {error} */")
    print_array(name, c, bits)


def derive(bits, hi_bits, tail_largest, exp, exp2, tanh, erf, tail, log, log1p, gelu=0):
    """Print the constants for `bits` bits; the last eight arguments are degrees, 0 for none."""
    print(f"/* ---- {bits} bits ---- */")
    exp_constants(bits, exp, hi_bits)
    exp2_constants(bits, exp2)
    tanh_constants(bits, tanh, "0.625")
    erf_constants(bits, erf)
    tail_constants(bits, tail, mp.mpf(tail_largest))
    if gelu:
        gelu_constants(bits, gelu)
    log_constants(bits, "LOG_R", log, mp.sqrt(mp.mpf(1) / 2) - 1, mp.sqrt(2) - 1)
    log_constants(bits, "LOG1P_R", log1p, mp.mpf(0), mp.mpf(1))


if __name__ == "__main__":
    # |n| <= 159: 8 bits and 15 make 23
    derive(24, 15, "14.75", exp=4, exp2=5, tanh=5, erf=6, tail=5, log=3, log1p=4, gelu=5)
    # |n| <= 1090: 11 bits and 41 make 52
    derive(53, 41, "38.75", exp=9, exp2=11, tanh=11, erf=13, tail=11, log=6, log1p=9)
