"""What the heads of a model look at."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from numpy.typing import NDArray

from .attention_maps_seq2seq import run_stack

if TYPE_CHECKING:
    from .language_model import Ids, TransformerLM


def attention_weights(model: TransformerLM, ids: Ids) -> list[NDArray[Any]]:
    """The attention weights of a language model that reads ids, without dropout.

    Parameters
    ----------
    model : TransformerLM
    ids : integers (B, T)

    Returns
    -------
    list of ndarray (B, n_heads, T, T)
        One for each block: how much the position of the row attends to that of the column, 0 for
        later ones. `fastnn.plot.attention_maps` draws those of one of the batch.

    Raises
    ------
    TypeError, ValueError
        As from the model.
    """
    _, found = run_stack(model.blocks, model.embed(ids))
    return [weights for (weights,) in found]
