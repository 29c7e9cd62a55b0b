"""Batch normalisation's moving statistics after few steps.

They begin at mean 0 and variance 1; with momentum m a share m^n of that is left after n
steps, and a network scored with it can look untrained. They are then estimated anew, as
the plain mean over some batches, before anything is scored or saved.
"""

from collections.abc import Iterable

import keras

COLD_SHARE = 0.01


def are_cold(model: keras.Model, steps: int) -> bool:
    """Says whether the initial values still weigh more than one per cent.

    Args:
      model: With any number of batch normalisation layers.
      steps: Training steps since the statistics were initial.

    Returns:
      True if they have to be recalibrated before the model is scored.
    """
    return any(layer.momentum**steps > COLD_SHARE for layer in _layers(model))


def recalibrate(model: keras.Model, batches: Iterable) -> None:
    """Replaces the moving statistics by their mean over batches.

    Args:
      model: Changed in place; its weights stay.
      batches: Inputs (batch, x, y, z, channel), each run forward once.
    """
    normalisations = _layers(model)
    momenta = [layer.momentum for layer in normalisations]
    try:
        for count, batch in enumerate(batches):
            for layer in normalisations:  # share of the old mean: 0, 1/2, 2/3, ...
                layer.momentum = count / (count + 1)
            model(batch, training=True)
    finally:
        for layer, momentum in zip(normalisations, momenta, strict=True):
            layer.momentum = momentum


def _layers(model: keras.Model) -> list[keras.layers.BatchNormalization]:
    kind = keras.layers.BatchNormalization
    return [layer for layer in model.layers if isinstance(layer, kind)]
