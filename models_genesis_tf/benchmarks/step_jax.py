"""The same training step under JAX: compiled as a whole, its state handed on."""

from collections.abc import Callable

import jax
import keras
import numpy as np

from models_genesis_tf.models.fast_upsampling import fast_twin
from models_genesis_tf.models.losses import mean_squared_error
from models_genesis_tf.training.optimizers import make_optimizer

wait = jax.block_until_ready


def gpu_name() -> str | None:
    """The kind of the GPU that computes, None without one."""
    device = jax.devices()[0]
    return device.device_kind if device.platform == "gpu" else None


def check_precision(policy: str, first_side: int) -> None:
    """Accepts all: XLA computes each precision on every device.

    Args:
      policy: Name of a Keras dtype policy.
      first_side: The first side of cubes in voxels.
    """


def make_step(
    model: keras.Model,
    policy: str,
    batch: tuple[np.ndarray, np.ndarray],
    fast_upsampling: bool = True,
) -> Callable[[], float]:
    """Prepares a step as that under TensorFlow; the model's variables go to it.

    Args:
      model: See `step_tensorflow.make_step`, as for all of these.
      policy: See there.
      batch: See there.
      fast_upsampling: See there.

    Returns:
      See there.
    """
    if fast_upsampling:
        model = fast_twin(model)
    optimizer = make_optimizer("sgd", None, policy)
    optimizer.build(model.trainable_variables)
    step = jax.jit(_pure_step(model, optimizer), donate_argnums=0)
    state = tuple(
        [variable.value for variable in variables]
        for variables in (
            model.trainable_variables,
            model.non_trainable_variables,
            optimizer.variables,
        )
    )
    inputs, targets = map(jax.device_put, batch)

    def take_step() -> float:
        nonlocal state
        state, loss = jax.block_until_ready(step(state, inputs, targets))
        return float(loss)

    return take_step


def _pure_step(model: keras.Model, optimizer: keras.Optimizer) -> Callable:
    """(state, input, target) -> (new state, loss); batch statistics are state."""

    def scaled_loss(weights, statistics, slots, inputs, targets):
        outputs, statistics = model.stateless_call(
            weights, statistics, inputs, training=True
        )
        loss = keras.ops.mean(mean_squared_error(targets, outputs))
        scope = zip(optimizer.variables, slots, strict=True)
        with keras.StatelessScope(state_mapping=scope):  # the scale is a variable
            return optimizer.scale_loss(loss), (loss, statistics)

    gradient = jax.grad(scaled_loss, has_aux=True)

    def step(state, inputs, targets):
        weights, statistics, slots = state
        gradients, (loss, statistics) = gradient(*state, inputs, targets)
        weights, slots = optimizer.stateless_apply(slots, gradients, weights)
        return (weights, statistics, slots), loss

    return step
