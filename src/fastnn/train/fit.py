"""`fit`: train a model, with Keras's argument names."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Mapping
from contextlib import nullcontext
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from .. import nn
from ..checks import check_count, check_flag, check_generator, users_level
from ..files.atomic import PathLike
from ..keywords import explained
from ..optim import Optimizer
from .arguments import (
    OptimizerName,
    as_callbacks,
    as_optimizer,
    check_average,
    check_model,
    check_norm,
    check_path,
    check_precision,
)
from .batches import ArraySource, StreamSource, split_rows, validation_batches
from .examples import as_numbers, weights_of_classes
from .history import History
from .objective import Loss, LossName, Objective, as_objective, measuring
from .progress import display
from .run import Run
from .team import Team

if TYPE_CHECKING:
    from ..optim import ExponentialMovingAverage
    from .communicator import Communicator

Examples = tuple[NDArray[Any], ...] | Iterable[Any]


@explained
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
    metrics: Any = None,
    class_weight: Mapping[int, float] | str | None = None,
    sample_weight: NDArray[Any] | None = None,
    initial_epoch: int = 0,
    steps_per_epoch: int | None = None,
    verbose: int | str = "auto",
    seed: int | np.random.Generator | None = None,
    clip_norm: float | None = None,
    accumulate: int = 1,
    ema: ExponentialMovingAverage | None = None,
    precision: str | None = None,
    resume: PathLike | None = None,
    comm: Communicator | None = None,
) -> History:
    """Train a model.

    Parameters
    ----------
    model : nn.Module
    x : ndarray (N, ...), or iterable of batches
        One example per row. Numbers of another dtype than the model's are converted once, with a
        note; `np.memmap` is read batch by batch and must have that dtype. An
        iterable yields (x, y) or (x, y, weight); y, batch_size and shuffle are then not used, and
        each epoch starts a new pass. Arrays of other libraries (a DataFrame, a tensor on the CPU)
        and lists are accepted; real numbers in a list become the dtype of the model.
    y : ndarray (N,) of integers, or (N, ...)
        Classes, also as a column (N, 1) or bool, or other targets of the loss.
    optimizer : Optimizer, or {"sgd", "adam", "adamw", "rmsprop", "adagrad", "adadelta"}
        Over `model.parameters()`, or over those of a part of the model to train only that part.
        A name stands for that optimizer with its defaults; "sgd" has lr = 0.01.
    loss : callable, or {"cross_entropy", "bce_with_logits", "mse", "l1", "huber"}
        (output, targets) -> (loss, gradient of the output), a mean over rows. With weights it also
        gets `sample_weight=`, an array (rows,) in the dtype of the model. Or an object with the
        methods of `train.objective.Objective`, such as `train.TokenLoss`.
    epochs : int
        Last epoch (exclusive). With `initial_epoch` or `resume`, only the remaining epochs run.
    batch_size : int
        At least 1. The last batch of an epoch may be smaller.
    validation_data : (x, y), (x, y, weight) or iterable of batches, optional
        Evaluated after each epoch; not learned from. A list of arrays is treated as a tuple.
    validation_split : float
        In [0, 1): the fraction of rows, from the end, used as validation data.
    shuffle : bool
        True to visit the rows in a new random order in each epoch.
    callbacks : iterable, or one callback
        Each is a callable `(epoch, logs)` called after every epoch, or an object with some of the
        methods of `train.callbacks`. Epochs and batches count from 0. logs are the values of
        `History.history`; for a batch they are means since the start of the epoch.
    metrics : function, name, sequence or dict of them, optional
        Measured in training and on validation data, and in the history: functions (output, targets)
        -> number, a mean over the rows of a batch, under their `__name__` or the key of the dict;
        or "mae" and "mse". The accuracy of classes is measured anyway. With `comm`, a mean over the
        shards of a batch.
    class_weight : dict of int to float, or "balanced", optional
        Weight of the rows of each class, by default 1; "balanced" is n / (classes * count).
        Multiplies the sample weights.
    sample_weight : ndarray (N,), optional
        Weight of each row.
    initial_epoch : int
        Number of the first epoch.
    steps_per_epoch : int, optional
        Batches in an epoch; required for an iterator that never ends.
    verbose : {"auto", 0, 1, 2}
        0 is silent; 1 and "auto" show a progress bar if stderr is a terminal (and rich is
        installed), otherwise one line per epoch on stderr, if there is one; 2 always shows lines.
    seed : None, int or numpy.random.Generator
        Seed of the order of the rows. The same seed, model and data give bit-identical results for
        any number of threads.
    clip_norm : float, optional
        Largest global norm of the gradients of a step, see `optim.clip_grad_norm`.
    accumulate : int
        Batches per step; the step is that of all their rows as one batch. Each batch is weighted by
        what its loss is a mean over (rows, sample and class weights, tokens that are not ignored).
        The remaining batches at the end of an epoch make a step too.
    ema : optim.ExponentialMovingAverage, optional
        Updated after each step; validation and the files of `ModelCheckpoint` use the averages.
    precision : {"float32", "bf16"}, optional
        "bf16" rounds the operands of the products of linear layers to bfloat16 in training, see
        `nn.precision` and docs/low-precision.md. By default that of the run that is resumed, or
        the dtype of the model.
    resume : path-like, optional
        File of `ModelCheckpoint` or `save_checkpoint` to resume from, with the same bits as an
        uninterrupted run. Model, optimizer, generators, history, callbacks and position in the
        epoch are restored; pass data and options again, within an epoch with the same rows and
        batch_size. An iterable with `state()` and `load_state(state)`, such as `data.batches`,
        continues where it was; any other restarts and is consumed up to that position, so it must
        yield the same batches again (without steps_per_epoch: in every epoch).
    comm : communicator, optional
        Such as `distributed.world()`: every rank calls fit with the same arguments, and computes
        its shards of every batch. Results have the same bits on any number of ranks, one included,
        but not those of a fit without comm. See docs/distributed.md.

    Returns
    -------
    History
        Also after Ctrl-C, with `interrupted` set: the model is then in the state of its last step
        and can be used. An unfinished epoch is not in the history.

    Raises
    ------
    ValueError
        x and y differ in length or are empty, an option is out of range, the optimizer or ema
        belongs to another model, or a callback monitors or names an unknown metric.
    IndexError
        A label is not one of the model's classes.
    TypeError
        An option or a batch has the wrong type, or a callback has no method and is not callable.
    RuntimeError
        The ranks of `comm` differ in the model, the data, an option or a batch.
    ModelFileError
        The file to resume from is damaged, or does not match this model and optimizer.

    Warns
    -----
    RuntimeWarning
        If precision is "bf16" and the CPU has no fast products of it: training is then slower.
        Once, at the first epoch whose loss is NaN or infinite; training continues unless
        `train.TerminateOnNaN` or `train.EarlyStopping` stops it. Also if there is no epoch to run,
        unless verbose is 0.

    Notes
    -----
    Arrays, validation data, labels and callbacks are checked before the first step, so an error
    leaves the weights unchanged. For these checks the model is called on one row and on one batch
    of the validation data.

    Examples
    --------
    >>> x, y = fastnn.data.load_digits(split="train")
    >>> model = nn.MLP((64, 32, 10), rng=0)
    >>> history = fastnn.fit(model, x, y, optimizer="adam", epochs=10, seed=0, verbose=0)
    >>> bool(history.history["accuracy"][-1] > 0.9)
    True
    """
    parameters = check_model(model)
    dtype = parameters.dtype
    objective = measuring(metrics, as_objective(loss, model))
    run = Run(model, as_optimizer(optimizer, parameters), objective, check_count("epochs", epochs))
    check_average(ema, parameters)
    run.ema = ema
    run.epoch = check_count("initial_epoch", initial_epoch, 0)
    run.rng = check_generator("seed", seed)
    run.clip_norm = check_norm(clip_norm)
    run.accumulate = check_count("accumulate", accumulate)
    run.precision = check_precision(precision, dtype)
    batch_size = check_count("batch_size", batch_size)
    shuffle = check_flag("shuffle", shuffle)
    steps = None if steps_per_epoch is None else check_count("steps_per_epoch", steps_per_epoch)
    of_numbers = getattr(objective, "of_numbers", False)
    if y is not None:
        x = as_numbers(x, model, dtype)
    if isinstance(validation_data, tuple) and validation_data:
        validation_data = (as_numbers(validation_data[0], model, dtype), *validation_data[1:])
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
    if comm is not None:
        run.team = Team(run, comm)
    with display(verbose if run.is_first else 0) as shown:
        run.set_callbacks([*as_callbacks(callbacks), *shown])
        if resume is not None:
            run.restore(check_path("resume", resume))
        run.check_data()
        begun = run.epoch, run.step
        with nullcontext() if run.team is None else run.team.joined(), run.products():
            run.train()
    if verbose and run.is_first and begun == (run.epoch, run.step) and (why := run.why_over()):
        warnings.warn(why, RuntimeWarning, stacklevel=users_level())
    return run.history
