"""Add & norm on arrays: a residual, dropout and a norm in one pass; formulas are in norms.pyx."""
from ..ground.scalars cimport choice, positive_number, probability, word
from .norms_arrays cimport backward, forward


cdef int is_rms(object kind, str op) except -1:
    return choice(kind, ("layer", "rms"), op, "kind")


def add_norm(
    x, residual, weight=None, bias=None, *, kind="layer", eps=1e-5, p=0.0, seed=0, step=0, h=None,
    stats=None, out=None
):
    """Normalize h = residual + dropout(x) in one pass over memory.

    Parameters
    ----------
    x, residual : ndarray of float32 or float64, shape (..., n), any strides
        Of one type and shape.
    weight, bias, eps, stats, out
        As for `layer_norm`. out may be x or residual itself.
    kind : {"layer", "rms"}
        Which norm.
    p, seed, step
        As for `dropout`; p = 0 drops nothing.
    h : ndarray, optional
        Receives the sum, which backward needs. It has the type and shape of x and may be x or
        residual itself, but not out.

    Returns
    -------
    ndarray
        The normalized sum; ``out`` if given.

    Raises
    ------
    TypeError, ValueError
        As `layer_norm` and `dropout`.

    Examples
    --------
    >>> x, residual = np.float32([[1, 2]]), np.float32([[0, 3]])
    >>> h = np.empty_like(x)
    >>> fastnn.add_norm(x, residual, h=h).round(3)
    array([[-1.,  1.]], dtype=float32)
    >>> h
    array([[1., 5.]], dtype=float32)
    """
    if residual is None:
        raise TypeError(
            "add_norm: residual must be a NumPy array of float32 or float64, not NoneType"
        )
    cdef str op = "add_norm"
    return forward(is_rms(kind, op), x, residual, weight, bias, positive_number(eps, op, "eps"),
                   probability(p, op, "p"), word(seed, op, "seed"), word(step, op, "step"), h,
                   stats, out, op)


def add_norm_backward(
    dy, h, stats, weight=None, *, kind="layer", dh=None, p=0.0, seed=0, step=0, dweight=None,
    dbias=None
):
    """Return the gradients of the inputs of `add_norm`.

    The gradients of weight and bias are added to dweight and dbias.

    Parameters
    ----------
    dy : ndarray of float32 or float64, shape (..., n), any strides
        Gradient of the output.
    h, stats, weight, kind, p, seed, step
        The sum and the stats that `add_norm` wrote, and its other arguments.
    dh : ndarray like dy, optional
        Gradient of h from other layers that read h itself, as in pre-norm Transformers.
    dweight, dbias : ndarray, shape (n,), contiguous, optional
        Added to. The bits do not depend on the number of threads.

    Returns
    -------
    dx, dresidual : ndarray
        The same array if p = 0.

    Raises
    ------
    TypeError, ValueError, MemoryError
        As `layer_norm_backward` and `dropout`.

    Examples
    --------
    >>> x, residual = np.float32([[1, 2, 3]]), np.float32([[0, 3, 0]])
    >>> h, stats = np.empty_like(x), np.empty((1, 3), np.float32)
    >>> y = fastnn.add_norm(x, residual, h=h, stats=stats)
    >>> dx, dresidual = fastnn.add_norm_backward(np.float32([[1, 0, 0]]), h, stats)
    >>> dx.shape
    (1, 3)
    """
    cdef str op = "add_norm_backward"
    return backward(is_rms(kind, op), dy, h, stats, weight, dh, probability(p, op, "p"),
                    word(seed, op, "seed"), word(step, op, "step"), dweight, dbias, None, op, "h")
