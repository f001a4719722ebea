"""`fit`, with Keras's names."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from .. import nn
from ..checks import check_count, check_flag
from ..files.atomic import PathLike
from ..optim import Optimizer
from .arguments import (
    OptimizerName,
    as_callbacks,
    as_generator,
    as_optimizer,
    check_average,
    check_model,
    check_norm,
    check_path,
)
from .batches import ArraySource, StreamSource, split_rows, validation_batches
from .examples import weights_of_classes
from .history import History
from .objective import Loss, LossName, Objective, as_objective
from .progress import display
from .run import Run

if TYPE_CHECKING:
    from ..optim import ExponentialMovingAverage

Examples = tuple[NDArray[Any], ...] | Iterable[Any]


def fit(
    model: nn.Module,
    x: NDArray[Any] | Iterable[Any],
    y: NDArray[Any] | Iterable[Any] | None = None,
    *,
    optimizer: Optimizer | OptimizerName,
    loss: Loss | Objective | LossName = nn.cross_entropy,
    epochs: int = 1,
    batch_size: int = 32,
    validation_data: Examples | None = None,
    validation_split: float = 0.0,
    shuffle: bool = True,
    callbacks: Any = (),
    class_weight: Mapping[int, float] | str | None = None,
    sample_weight: NDArray[Any] | None = None,
    initial_epoch: int = 0,
    steps_per_epoch: int | None = None,
    verbose: int | str = "auto",
    seed: int | np.random.Generator | None = None,
    clip_norm: float | None = None,
    accumulate: int = 1,
    ema: ExponentialMovingAverage | None = None,
    resume: PathLike | None = None,
) -> History:
    """Train a model.

    Parameters
    ----------
    model : nn.Module
    x : ndarray (N, ...), or iterable of batches
        One example per row, of the dtype of the model. `np.memmap` is read batch by batch. An
        iterable gives (x, y) or (x, y, weight), and y, batch_size and shuffle are not used; each
        epoch starts a new pass over it. Arrays may be of other libraries (a DataFrame, a tensor
        on the CPU) or lists; real numbers in a list become the dtype of the model.
    y : ndarray (N,) of integers, or (N, ...)
        Classes, also as a column (N, 1) or bool, or whatever the loss compares the output with.
    optimizer : Optimizer, or {"sgd", "adam", "adamw", "rmsprop", "adagrad"}
        Over `model.parameters()`, or over those of a part of the model to train that part alone.
        A name stands for that optimizer with its defaults; "sgd" has lr = 0.01.
    loss : callable, or {"cross_entropy", "bce_with_logits", "mse", "l1", "huber"}
        (output, targets) -> (loss, gradient of the output), a mean over rows. With weights it is
        called with `sample_weight=` too, an array (rows,) of the dtype of the model. Or an object
        with the methods of `train.objective.Objective`, such as `train.TokenLoss`.
    epochs : int
        Last epoch (exclusive). With `initial_epoch` or `resume`, only the remaining epochs run.
    batch_size : int
        At least 1. The last batch of an epoch may be smaller.
    validation_data : (x, y), (x, y, weight) or iterable of batches, optional
        Evaluated after each epoch; nothing is learned from it. A list of arrays is as a tuple.
    validation_split : float
        In [0, 1): this share of the rows, the last ones, is validation data.
    shuffle : bool
        Visit the rows in a new random order in each epoch.
    callbacks : iterable, or one callback
        Each is a callable `(epoch, logs)` called after every epoch, or an object with some of the
        methods of `train.callbacks`. Epochs and batches count from 0; logs are the values of
        `History.history`, for a batch the means since the epoch began.
    class_weight : dict of int to float, or "balanced", optional
        How much a row of a class counts, 1 where none is given; "balanced" is
        n / (classes * count). Multiplies the sample weights.
    sample_weight : ndarray (N,), optional
        How much each row counts.
    initial_epoch : int
        The number of the first epoch.
    steps_per_epoch : int, optional
        Batches in an epoch; needed for an iterator that never ends.
    verbose : {"auto", 0, 1, 2}
        0 is silent; 1 and "auto" show a bar where stderr is a terminal (and rich is installed),
        else one line per epoch on stderr, if there is one; 2 shows lines in any case.
    seed : None, int or numpy.random.Generator
        Of the order of the rows. The same seed, model and data give the same bits again, for any
        number of threads.
    clip_norm : float, optional
        Greatest norm of all gradients of a step together, see `optim.clip_grad_norm`.
    accumulate : int
        Batches that make one step: the step of all their rows as one batch. Each batch counts by
        what its loss is a mean over (rows, sample and class weights, tokens that are not
        ignored). The batches left at the end of an epoch make a step too.
    ema : optim.ExponentialMovingAverage, optional
        Updated after each step; validation and the files of `ModelCheckpoint` have the averages.
    resume : path-like, optional
        A file of `ModelCheckpoint` or `save_checkpoint` to go on from, bit by bit as if the run
        had not ended: model, optimizer, generators, history, callbacks and the place in the epoch
        are those of the file; data and options are yours to give again, within an epoch with the
        same rows and batch_size. An iterable with `state()` and `load_state(state)`, such as
        `data.batches`, goes on where it was; any other begins anew and is run through up to there,
        so it must give the same batches again (without steps_per_epoch: in every epoch).

    Returns
    -------
    History
        After Ctrl-C too, with `interrupted` set: the model is then as its last step left it, and
        ready for use. An unfinished epoch is not in the history.

    Raises
    ------
    ValueError
        x and y differ in length or are empty, an option is out of range, the optimizer or ema
        belongs to another model, or a callback monitors or names what is not measured.
    IndexError
        A label is none of the model's classes.
    TypeError
        An option or a batch has the wrong type, or a callback has no method and cannot be called.
    ModelFileError
        The file to resume from is damaged, or not of this model and optimizer.

    Warns
    -----
    RuntimeWarning
        Once, at the first epoch whose loss is NaN or infinite. The training goes on:
        `train.TerminateOnNaN` ends it, and so does `train.EarlyStopping`. Also if there is no
        epoch to run, unless verbose is 0.

    Notes
    -----
    Arrays, validation data, labels and callbacks are checked before the first step: an error
    leaves the weights unchanged. For that the model is called on one row and on one batch of the
    validation data.
    """
    parameters = check_model(model)
    dtype = parameters.dtype
    objective = as_objective(loss, model)
    run = Run(model, as_optimizer(optimizer, parameters), objective, check_count("epochs", epochs))
    check_average(ema, parameters)
    run.ema = ema
    run.epoch = check_count("initial_epoch", initial_epoch, 0)
    run.rng = as_generator(seed)
    run.clip_norm = check_norm(clip_norm)
    run.accumulate = check_count("accumulate", accumulate)
    batch_size = check_count("batch_size", batch_size)
    shuffle = check_flag("shuffle", shuffle)
    steps = None if steps_per_epoch is None else check_count("steps_per_epoch", steps_per_epoch)
    of_numbers = getattr(objective, "of_numbers", False)
    rows, validation_data = split_rows(
        x, y, sample_weight, validation_data, validation_split, dtype, of_numbers
    )
    if rows is None:
        run.source = StreamSource(x, steps, dtype, take_integers=of_numbers)
    else:
        run.source = ArraySource(*rows, batch_size, shuffle, steps)
    if validation_data is not None:
        run.validation = validation_batches(validation_data, batch_size, dtype, of_numbers)
    run.class_weights = weights_of_classes(
        class_weight,
        None if rows is None else rows.y,
        dtype,
        getattr(objective, "ignore_index", -100),
    )
    with display(verbose) as shown:
        run.set_callbacks([*as_callbacks(callbacks), *shown])
        if resume is not None:
            run.restore(check_path("resume", resume))
        run.check_data()
        begun = run.epoch, run.step
        run.train()
    if verbose and begun == (run.epoch, run.step) and (why := run.why_over()):
        warnings.warn(why, RuntimeWarning, stacklevel=2)
    return run.history
