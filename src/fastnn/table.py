"""Tables as inputs of a network: read a CSV file, and encode its columns as numbers.

The encoder has scikit-learn's methods and needs neither scikit-learn nor pandas:

>>> from fastnn.table import TableEncoder
>>> rows = {"age": [30, 41, None], "city": ["Rome", "Oslo", "Rome"]}
>>> encoder = fastnn.table.TableEncoder().fit(rows)
>>> encoder.get_feature_names_out().tolist()
['age', 'city=Oslo', 'city=Rome']
>>> encoder.transform(rows)[:, 1:]
array([[0., 1.],
       [1., 0.],
       [0., 1.]], dtype=float32)

`fastnn train csv` does the same on the command line.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .checks import given
from .data.cells import Decimal
from .data.columns import Column, encode
from .data.csv_file import Table, TableError, read_csv
from .data.roles import Seen, learn_all
from .keywords import explained

__all__ = ["Seen", "Table", "TableEncoder", "TableError", "as_table", "read_csv"]


@explained
def as_table(rows: Any) -> Table:
    """Return a table of cells.

    Parameters
    ----------
    rows : Table, path-like, DataFrame, or mapping of str to sequence
        A DataFrame of pandas or polars, or anything with `columns` whose columns have `to_list`.
        None, NaN and NaT are missing cells. A path is read by `read_csv`.

    Raises
    ------
    TypeError
        `rows` is something else.
    TableError
        There are no rows, the columns differ in length, or the file cannot be read.

    Examples
    --------
    >>> fastnn.table.as_table({"age": [30, None]}).rows
    [['30'], ['']]
    """
    if isinstance(rows, Table):
        return rows
    if isinstance(rows, str) or hasattr(rows, "__fspath__"):
        return read_csv(rows)
    if isinstance(rows, Mapping):
        columns = {name: list(values) for name, values in rows.items()}
    elif hasattr(rows, "columns") and hasattr(rows, "__getitem__"):
        names = list(rows.columns)
        if len(set(names)) < len(names):
            raise TableError(f"two columns of the {type(rows).__name__} have the same name")
        columns = {name: rows[name].to_list() for name in names}
    else:
        raise TypeError(
            f"a table must be a DataFrame, a dict of columns, a path or a Table, got {given(rows)}"
        )
    lengths = {len(values) for values in columns.values()}
    if len(lengths) != 1 or lengths == {0}:
        raise TableError(
            f"a table needs columns of one length of at least 1, got {sorted(lengths)}"
        )
    cells = [[_cell(value) for value in values] for values in columns.values()]
    body = [list(row) for row in zip(*cells, strict=True)]
    return Table("the table", [str(name) for name in columns], body, list(range(len(body))))


def _cell(value: Any) -> str:
    """Return a value as the text of a cell: "" for None, NaN and NaT."""
    if value is None or str(value) in ("nan", "NaT", "<NA>"):
        return ""
    return str(value).strip()


@explained
class TableEncoder:
    """Encode the columns of a table as float32 inputs of a network.

    Numbers are standardized and their missing values replaced by the median. Texts are one-hot,
    with missing texts as a category of their own. Dates become standardized days with sine and
    cosine of season, weekday and time of day. Zip codes are texts, shortened to regions if there
    are many. Ids, free text and empty columns are left out. Texts that `fit` did not see are zeros.

    Parameters
    ----------
    drop : sequence of str
        Columns to leave out, such as the target.
    use : sequence of str
        Columns to use even if they look like ids or free text.
    decimal : {".", ","}, optional
        Decimal mark of numbers written as text; default: inferred for each column.
    na_values : sequence of str
        More cells without a value.

    Attributes
    ----------
    columns_ : tuple of Numbers, Texts and Dates
        The encodings of the columns in use.
    seen_ : list of Seen
        Kind, missing cells, different cells and use of each column.

    Examples
    --------
    >>> encoder = fastnn.table.TableEncoder(drop=["y"])
    >>> x = encoder.fit_transform({"day": ["2024-02-01", "2024-02-08"], "y": [1, 0]})
    >>> x.shape, encoder.seen_[0].kind
    ((2, 5), 'date')
    """

    def __init__(
        self,
        drop: Iterable[str] = (),
        use: Iterable[str] = (),
        decimal: Decimal | None = None,
        na_values: Iterable[str] = (),
    ) -> None:
        self.drop, self.use, self.decimal, self.na_values = drop, use, decimal, na_values

    def fit(self, rows: Any, y: Any = None) -> TableEncoder:
        """Learn the encoding of each column from `rows`, see `as_table`; `y` is ignored."""
        table = as_table(rows).without(list(self.na_values))
        for name in [*self.drop, *self.use]:
            table.column(name)
        drop = set(self.drop)
        names = [name for name in table.columns if name not in drop]
        every = np.arange(len(table.rows))
        columns, self.seen_ = learn_all(table, names, every, self.decimal, set(self.use))
        if not columns:
            kinds = ", ".join(f"{each.name!r:.80} ({each.kind})" for each in self.seen_)
            raise TableError(f"TableEncoder: no column can be used: {kinds:.400}")
        self.columns_: tuple[Column, ...] = tuple(columns)
        self.feature_names_in_ = np.array(table.columns, object)
        self.n_features_in_ = len(table.columns)
        return self

    def transform(self, rows: Any) -> NDArray[np.float32]:
        """Return the inputs (rows, features); only the columns in use are needed."""
        self._check_fitted()
        return encode(self.columns_, as_table(rows).without(list(self.na_values)))

    def fit_transform(self, rows: Any, y: Any = None) -> NDArray[np.float32]:
        """Fit, then return the inputs of the same rows."""
        table = as_table(rows)
        return self.fit(table, y).transform(table)

    def get_feature_names_out(self, input_features: Any = None) -> NDArray[Any]:
        """Return the names of the inputs, such as "age" and "city=Rome"."""
        self._check_fitted()
        return np.array([name for column in self.columns_ for name in column.features], object)

    def _check_fitted(self) -> None:
        if not hasattr(self, "columns_"):
            raise ValueError("TableEncoder: call fit(rows) before transform")

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """Return the arguments of the constructor, for scikit-learn."""
        return {name: getattr(self, name) for name in ("drop", "use", "decimal", "na_values")}

    def set_params(self, **params: Any) -> TableEncoder:
        """Set arguments of the constructor, for scikit-learn."""
        for name, value in params.items():
            if name not in self.get_params():
                known = ", ".join(self.get_params())
                raise ValueError(f"TableEncoder has no parameter {name!r}; it has {known}")
            setattr(self, name, value)
        return self

    def __sklearn_is_fitted__(self) -> bool:
        return hasattr(self, "columns_")

    def __sklearn_tags__(self) -> Any:
        from sklearn.utils import InputTags, Tags, TargetTags, TransformerTags

        inputs = InputTags(string=True, allow_nan=True, categorical=True)
        return Tags(None, TargetTags(required=False), TransformerTags(), input_tags=inputs)

    def __repr__(self) -> str:
        given = {name: value for name, value in self.get_params().items() if value}
        return f"TableEncoder({', '.join(f'{name}={value!r}' for name, value in given.items())})"
