"""Multilayer perceptrons as scikit-learn estimators (`pip install 'fastnn-cpu[sklearn]'`).

`MLPClassifier` and `MLPRegressor` have the parameters, attributes and behavior of the estimators
of the same names in `sklearn.neural_network`, so a program changes one import. The same
`random_state` gives the same first weights and order of rows. New are dropout, the solver "adamw",
the activations "gelu" and "silu", class weights, a separate validation set, further losses and the
number of threads.

`SentenceEncoder` turns texts into vectors with a pretrained model.
"""

try:
    from sklearn.utils.validation import validate_data as _validate_data  # noqa: F401
except ImportError as error:  # `validate_data` is new in 1.6
    raise type(error)(
        "fastnn.sklearn needs scikit-learn 1.6 or later: pip install 'fastnn-cpu[sklearn]'",
        name="sklearn",
    ) from error

from .classifier import MLPClassifier
from .regressor import MLPRegressor
from .sentences import SentenceEncoder

__all__ = ["MLPClassifier", "MLPRegressor", "SentenceEncoder"]
