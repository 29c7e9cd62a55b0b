"""How long a training step takes in each precision, without an input pipeline."""

import time
from collections.abc import Callable, Hashable, Sequence

import keras
import numpy as np

from models_genesis_tf.benchmarks import matrix_product, official_network
from models_genesis_tf.benchmarks.flops import count_forward_flops, count_step_flops
from models_genesis_tf.errors import InputError
from models_genesis_tf.models.precision import PRECISIONS
from models_genesis_tf.models.unet3d import build_unet3d

if keras.backend.backend() == "jax":
    from models_genesis_tf.benchmarks import step_jax as backend
else:
    from models_genesis_tf.benchmarks import step_tensorflow as backend

_POLICIES = PRECISIONS[1:]  # without "auto"
_OFFICIAL = ("official", "float32")
_PRODUCT_TIMINGS = 5  # in each turn: they are short and vary
Seconds = dict[Hashable, list[float]]


def measure(
    base_filters: int = 32,
    batch_sizes: Sequence[int] = (2,),
    cube_size: tuple[int, int, int] = (64, 64, 32),
    steps: int = 3,
    precisions: Sequence[str] = ("float32", "mixed_bfloat16"),
    official_dir: str | None = None,
    fast_upsampling: bool = True,
) -> dict:
    """Times training steps of the U-Net on batches that lie in memory.

    Keras's own backend computes. The precisions, the products of matrices and the
    official network take turns, so that whatever else the machine does slows all of
    them alike; the first turn is a warm-up, then medians are given.

    Args:
      base_filters: Filters of the first convolution.
      batch_sizes: Cubes per step, one after the other.
      cube_size: Sides in voxels.
      steps: Steps of each kind that are timed.
      precisions: Keras dtype policies.
      official_dir: Clone of the official repository, whose PyTorch network takes the
        same steps in float32 where torch is installed; None to leave it out.
      fast_upsampling: Whether steps run the network's `fast_twin`; operations are
        counted of the stock network all the same.

    Returns:
      `backend`; `device`, the GPU's kind or "CPU"; `official`, "timed" or why it was
      left out; `forward_gflop_per_cube` and `step_gflop_per_cube`, as `flops` counts
      them; `matrix_product`, of each precision the `size` of a side and `tflops`, the
      rate in TFLOP/s; and `steps`, for each batch size, network and precision:
      `batch_size`, `network` ("models_genesis_tf" or "official"), `precision`,
      `first_step_seconds` (with compilation), `seconds_per_step`, `cubes_per_second`.
      Of our network besides `tflops`, `share_of_matrix_product` of the same precision
      and, if it was timed, the seconds' ratios `over_float32` and `over_official`.

    Raises:
      InputError: If there is no such precision, or none on this machine, a side is no
        multiple of 8, or the clone is none or not comparable with this width.
    """
    _check_precisions(precisions, cube_size[0])
    without = official_network.reason_to_leave_out(official_dir, base_filters)
    stock = build_unet3d((*cube_size, 1), base_filters)
    size, products = _make_products(precisions)
    product_seconds: Seconds = {precision: [] for precision in precisions}
    rows = []
    for batch_size in batch_sizes:
        batch = _make_batch(batch_size, cube_size)
        work = _make_steps(precisions, base_filters, batch, fast_upsampling)
        if not without:
            work[_OFFICIAL] = official_network.make_step(official_dir, batch)
        turn = [*work.items(), *_PRODUCT_TIMINGS * list(products.items())]
        seconds = _time_in_turn(turn, 1 + steps)
        for precision in precisions:
            product_seconds[precision] += seconds.pop(precision)[_PRODUCT_TIMINGS:]
        rows += _describe_steps(seconds, batch_size)
    rates = {
        precision: matrix_product.count_flops(size) / float(np.median(times)) / 1e12
        for precision, times in product_seconds.items()
    }
    flops = count_step_flops(stock)
    return {
        "backend": keras.backend.backend(),
        "device": backend.gpu_name() or "CPU",
        "official": without or "timed",
        "forward_gflop_per_cube": _digits(count_forward_flops(stock) / 1e9),
        "step_gflop_per_cube": _digits(flops / 1e9),
        "matrix_product": {
            precision: {"size": size, "tflops": _digits(rate)}
            for precision, rate in rates.items()
        },
        "steps": [_add_rates(row, flops, rates) for row in rows],
    }


def _check_precisions(precisions: Sequence[str], first_side: int) -> None:
    if not precisions or not set(precisions) <= set(_POLICIES):
        raise InputError(
            f"--precisions takes some of {', '.join(_POLICIES)}. "
            f"Received: --precisions={','.join(precisions)}"
        )
    for name in precisions:
        backend.check_precision(name, first_side)


def _make_batch(
    batch_size: int, cube_size: tuple[int, int, int]
) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    shape = (batch_size, *cube_size, 1)
    return rng.random(shape, np.float32), rng.random(shape, np.float32)


def _make_products(precisions: Sequence[str]) -> tuple[int, dict[str, Callable]]:
    """The size of the matrices, and what multiplies them in each precision."""
    on_gpu = backend.gpu_name() is not None
    size = matrix_product.SIZE_ON_GPU if on_gpu else matrix_product.SIZE_ON_CPU
    dtypes = {name: keras.DTypePolicy(name).compute_dtype for name in precisions}
    return size, {
        name: matrix_product.make_products(size, dtype, backend.wait)
        for name, dtype in dtypes.items()
    }


def _make_steps(
    precisions: Sequence[str],
    base_filters: int,
    batch: tuple[np.ndarray, np.ndarray],
    fast_upsampling: bool,
) -> dict[tuple[str, str], Callable[[], float]]:
    """(network, precision) -> what takes one step and waits for it."""
    steps = {}
    for precision in precisions:
        model = build_unet3d(batch[0].shape[1:], base_filters, dtype=precision)
        step = backend.make_step(model, precision, batch, fast_upsampling)
        steps["models_genesis_tf", precision] = step
    return steps


def _time_in_turn(turn: list[tuple[Hashable, Callable]], rounds: int) -> Seconds:
    seconds: Seconds = {name: [] for name, _ in turn}
    for _ in range(rounds):
        for name, work in turn:
            start = time.perf_counter()
            work()
            seconds[name].append(time.perf_counter() - start)
    return seconds


def _describe_steps(seconds: Seconds, batch_size: int) -> list[dict]:
    """One row for each network and precision, with ratios to those of this batch."""
    medians = {name: float(np.median(times[1:])) for name, times in seconds.items()}
    references = {
        "over_float32": ("models_genesis_tf", "float32"),
        "over_official": _OFFICIAL,
    }
    rows = []
    for (network, precision), median in medians.items():
        row = {
            "batch_size": batch_size,
            "network": network,
            "precision": precision,
            "first_step_seconds": _digits(seconds[network, precision][0]),
            "seconds_per_step": _digits(median),
            "cubes_per_second": _digits(batch_size / median),
        }
        for ratio, reference in references.items():
            if network != "official" and reference in medians:
                row[ratio] = round(median / medians[reference], 3)
        rows.append(row)
    return rows


def _add_rates(row: dict, flops: int, rates: dict[str, float]) -> dict:
    """Adds what our network's speed is in operations; `flops` are those of a cube."""
    if row["network"] == "official":
        return row
    rate = flops * row["cubes_per_second"] / 1e12
    share = rate / rates[row["precision"]]
    return row | {"tflops": _digits(rate), "share_of_matrix_product": round(share, 3)}


def _digits(value: float) -> float:
    """Keeps four significant digits."""
    return float(f"{value:.4g}")
