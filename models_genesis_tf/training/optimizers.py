"""The optimizers of the recipes."""

import keras

from models_genesis_tf.config import LEARNING_RATES

MOMENTUM = 0.9


def make_optimizer(
    name: str, learning_rate: float | None, policy: str = "float32"
) -> keras.optimizers.Optimizer:
    """Makes an optimizer, under a strategy's scope where there is one.

    Args:
      name: A key of `config.LEARNING_RATES`.
      learning_rate: Of the first epochs; None is the optimizer's own.
      policy: The network's dtype policy. Under mixed_float16 the loss is scaled, lest
        small gradients vanish.

    Returns:
      The optimizer.
    """
    rate = LEARNING_RATES[name] if learning_rate is None else learning_rate
    if name == "adam":
        optimizer = keras.optimizers.Adam(rate)
    else:
        optimizer = keras.optimizers.SGD(rate, momentum=MOMENTUM)
    if policy == "mixed_float16":
        return keras.optimizers.LossScaleOptimizer(optimizer)
    return optimizer
