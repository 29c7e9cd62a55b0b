"""How long a training step takes in each precision, without an input pipeline."""

import time
from collections.abc import Sequence

import numpy as np
import tensorflow as tf

from models_genesis_tf.errors import InputError
from models_genesis_tf.models.losses import mean_squared_error
from models_genesis_tf.models.precision import (
    PRECISIONS,
    choose_precision,
    read_cpu_features,
)
from models_genesis_tf.models.unet3d import build_unet3d
from models_genesis_tf.training.loop import Trainer
from models_genesis_tf.training.optimizers import make_optimizer
from models_genesis_tf.training.strategy import gpu_capabilities

_POLICIES = PRECISIONS[1:]  # without "auto"


def measure(
    base_filters: int = 32,
    batch_size: int = 2,
    cube_size: tuple[int, int, int] = (64, 64, 32),
    steps: int = 3,
    precisions: Sequence[str] = ("float32", "mixed_bfloat16"),
) -> dict:
    """Times training steps of the U-Net on one batch that lies in memory.

    The precisions take turns, so that whatever else the machine does slows all of
    them alike; one step each is a warm-up, then medians are given.

    Args:
      base_filters: Filters of the first convolution.
      batch_size: Cubes per step.
      cube_size: Sides in voxels.
      steps: Steps per precision that are timed.
      precisions: Keras dtype policies.

    Returns:
      `seconds_per_step` and `cubes_per_second` of each precision, and `ratios` of
      the seconds to those of float32, where it is among them.

    Raises:
      InputError: If there is no such precision, or none on this machine, or a side is
        no multiple of 8.
    """
    _check_precisions(precisions, cube_size[0])
    trainers = {
        precision: _make_trainer(precision, base_filters, batch_size, cube_size)
        for precision in precisions
    }
    rng = np.random.default_rng(0)
    shape = (batch_size, *cube_size, 1)
    batch = tuple(tf.constant(rng.random(shape, np.float32)) for _ in range(2))
    seconds: dict[str, list[float]] = {precision: [] for precision in precisions}
    for _ in range(1 + steps):
        for precision, trainer in trainers.items():
            seconds[precision].append(_time_step(trainer, batch))
    medians = {name: float(np.median(times[1:])) for name, times in seconds.items()}
    ratios = {
        f"{name}_over_float32": round(median / medians["float32"], 3)
        for name, median in medians.items()
        if "float32" in medians and name != "float32"
    }
    return {
        "seconds_per_step": {name: round(s, 4) for name, s in medians.items()},
        "cubes_per_second": {
            name: round(batch_size / s, 2) for name, s in medians.items()
        },
        "ratios": ratios,
    }


def _check_precisions(precisions: Sequence[str], first_side: int) -> None:
    if not precisions or not set(precisions) <= set(_POLICIES):
        raise InputError(
            f"--precisions takes some of {', '.join(_POLICIES)}. "
            f"Received: --precisions={','.join(precisions)}"
        )
    for name in precisions:
        choose_precision(name, gpu_capabilities(), read_cpu_features(), first_side)


def _make_trainer(
    precision: str, base_filters: int, batch_size: int, cube_size: tuple[int, int, int]
) -> Trainer:
    """The step that pre-training takes, with its optimizer."""
    model = build_unet3d((*cube_size, 1), base_filters, dtype=precision)
    optimizer = make_optimizer("sgd", None, precision)
    strategy = tf.distribute.get_strategy()
    return Trainer(model, optimizer, mean_squared_error, strategy, batch_size)


def _time_step(trainer: Trainer, batch: tuple[tf.Tensor, tf.Tensor]) -> float:
    start = time.perf_counter()
    float(trainer.step(batch))  # waits for the result
    return time.perf_counter() - start
