"""Whole scans from a function that predicts windows.

Windows overlap and cover every voxel, and a voxel's result is the weighted mean of what
the windows over it say. A weight is a product over the axes, and along each axis the
weights over a voxel are scaled beforehand to sum to one: no sum of weights is kept.

Scans are `(x, y, z, channel)` or, for images, `(x, y, channel)`.
"""

import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from models_genesis_tf.errors import InputError
from models_genesis_tf.imaging.cube_sampling import crop
from models_genesis_tf.imaging.interpolation import interpolate, resize_smoothly

BLENDINGS = ("gaussian", "constant")

# Takes float32 (n, *sides, channel), returns (n, *sides, output).
Predict = Callable[[np.ndarray], np.ndarray]


@dataclass(frozen=True)
class Tiling:
    """How a scan is divided into windows and put together again.

    Attributes:
      window: Sides of a window in voxels.
      overlap: Share of its side that a window shares with the next, in [0, 1). It is
        met or exceeded, as far as steps of one voxel can.
      blending: "gaussian" (the middle of a window counts more) or "constant".
      batch_size: Windows predicted at once.

    Raises:
      InputError: If one of them is out of its range.
    """

    window: tuple[int, ...]
    overlap: float = 0.5
    blending: str = "gaussian"
    batch_size: int = 4

    def __post_init__(self):
        sides = self.window
        rules = {
            "window": ("a window's sides are at least 1", sides and min(sides) >= 1),
            "overlap": ("an overlap is in [0, 1)", 0 <= self.overlap < 1),
            "blending": (
                f"a blending is one of {', '.join(BLENDINGS)}",
                self.blending in BLENDINGS,
            ),
            "batch_size": ("a batch size is at least 1", self.batch_size >= 1),
        }
        for name, (rule, holds) in rules.items():
            if not holds:
                raise InputError(f"{rule}. Received: {name}={getattr(self, name)}")


def window_starts(side: int, window: int, overlap: float) -> list[int]:
    """Where windows start along one axis.

    Args:
      side: Of the scan, in voxels.
      window: Side of a window, in voxels.
      overlap: As in `Tiling`.

    Returns:
      Rising first voxels from 0 to `side - window`, whose steps differ by one at most;
      `[0]` where the side is no longer than the window.
    """
    if side <= window:
        return [0]
    # 20 * (1 - 0.9) is a little below 2 in floating point.
    longest_step = max(1, int(window * (1 - overlap) + 1e-6))
    num_steps = -(-(side - window) // longest_step)
    return [step * (side - window) // num_steps for step in range(num_steps + 1)]


def blending_weights(window: int, blending: str) -> np.ndarray:
    """How much the voxels of a window count along one axis.

    The Gaussian's standard deviation is an eighth of the side, so that no weight falls
    below exp(-8) times the largest, whatever the side.

    Args:
      window: Side of a window, in voxels.
      blending: "gaussian" or "constant".

    Returns:
      float32 `(window,)` in (0, 1], symmetric, at most 1.
    """
    if blending == "constant":
        return np.ones(window, np.float32)
    deviations = (np.arange(window) - (window - 1) / 2) / (window / 8)
    weights = np.exp(-0.5 * deviations**2)
    return (weights / weights.max()).astype(np.float32)


def predict_tiled(
    volume: np.ndarray, predict: Predict, tiling: Tiling, num_outputs: int
) -> np.ndarray:
    """Predicts a whole scan by windows.

    Args:
      volume: float32 `(*sides, channel)` in [0, 1]. Sides shorter than the window are
        padded with zeros, evenly before and after, and cropped back.
      predict: Takes float32 `(n, *window, channel)`, n at most the batch size, and
        returns `(n, *window, num_outputs)`.
      tiling: The windows.
      num_outputs: Values per voxel.

    Returns:
      float32 `(*sides, num_outputs)`.

    Raises:
      InputError: If the window has other axes than the scan, or a prediction another
        shape.
    """
    outputs = np.empty((*volume.shape[:-1], num_outputs), np.float32)
    for start, slab in predict_slabs(volume, predict, tiling, num_outputs):
        outputs[start : start + len(slab)] = slab
    return outputs


def predict_slabs(
    volume: np.ndarray, predict: Predict, tiling: Tiling, num_outputs: int
) -> Iterator[tuple[int, np.ndarray]]:
    """Predicts a whole scan by windows and hands it out from low x to high.

    Beside a batch, planes for about three windows' thickness are held: those that
    windows are still to be added to, those being added and those handed out. Whoever
    reduces each slab at once (say, to labels) never holds all outputs.

    Args:
      volume: As for `predict_tiled`, and so are the others.
      predict: Function of windows.
      tiling: The windows.
      num_outputs: Values per voxel.

    Yields:
      The first plane of a slab along x, and the slab: float32
      `(planes, *sides[1:], num_outputs)`. Slabs follow one another without gap.

    Raises:
      InputError: As `predict_tiled`.
    """
    sides, window = volume.shape[:-1], tiling.window
    if len(window) != len(sides):
        raise InputError(
            f"a window has its scan's {len(sides)} axes. Received: window={window}"
        )
    shares = [_shares(*pair, tiling) for pair in zip(sides, window, strict=True)]
    starts = itertools.product(*shares)
    predictions = _predict_windows(volume, predict, tiling, starts, num_outputs)
    sums = np.zeros((min(sides[0], window[0]), *sides[1:], num_outputs), np.float32)
    first = 0  # the plane of the scan that sums[0] is
    for start, share in shares[0].items():
        done = start - first
        if done:
            yield first, sums[:done].copy()
            sums[:-done] = sums[done:]
            sums[-done:] = 0
            first = start
        slab = _blend(predictions, shares, sides, axis=1)
        slab *= _along(share, slab, axis=0)
        sums += slab
        del slab  # or it would be held while the next one is made
    yield first, sums


def predict_resampled(
    volume: np.ndarray,
    spacing: Sequence[float],
    target_spacing: Sequence[float],
    predict: Predict,
    tiling: Tiling,
    num_outputs: int,
) -> np.ndarray:
    """Predicts a whole scan at another spacing, with the result on its own grid.

    The grid of the target spacing is that of `resampling.resample_volume`. All outputs
    are held on both grids for a time.

    Args:
      volume: As for `predict_tiled`.
      spacing: Distance of the scan's voxels along each axis, mm.
      target_spacing: The distance that `predict` expects, mm.
      predict: As for `predict_tiled`, and so are the others.
      tiling: The windows, in voxels of the target spacing.
      num_outputs: Values per voxel.

    Returns:
      float32 `(*sides, num_outputs)`.

    Raises:
      InputError: As `predict_tiled`, or if a spacing is not positive or lacks an axis.
    """
    sides = volume.shape[:-1]
    for name, steps in (("spacing", spacing), ("target_spacing", target_spacing)):
        if len(steps) != len(sides) or not np.greater(steps, 0).all():
            raise InputError(
                f"a spacing has {len(sides)} positive steps. Received: {name}={steps}"
            )
    scale = np.divide(target_spacing, spacing)
    if np.allclose(scale, 1, rtol=1e-4):  # as resample_volume does
        return predict_tiled(volume, predict, tiling, num_outputs)
    target_sides = np.maximum(1, np.round(sides / scale)).astype(int)
    is_picture = len(sides) == 3 and sides[2] == 1
    resample = resize_smoothly if is_picture else interpolate
    resampled = resample(volume, target_sides, scale)
    outputs = predict_tiled(resampled, predict, tiling, num_outputs)
    return interpolate(outputs, sides, 1 / scale)


def resized(predict: Predict, patch: tuple[int, ...]) -> Predict:
    """Makes windows of any size fit a network of one size.

    Args:
      predict: Takes float32 `(n, *patch, channel)`, returns `(n, *patch, output)`.
      patch: The sides in voxels that it expects.

    Returns:
      A function of windows of any sides that resizes them to the patch, predicts, and
      resizes the outputs to the windows' sides. Windows of the patch's sides pass
      through as they are.
    """

    def predict_resized(batch: np.ndarray) -> np.ndarray:
        sides = batch.shape[1:-1]
        patches = interpolate(batch, patch, np.divide(sides, patch))
        outputs = _outputs(predict, patches)
        return interpolate(outputs, sides, np.divide(patch, sides))

    return predict_resized


def _shares(side: int, window: int, tiling: Tiling) -> dict[int, np.ndarray]:
    """The weights of each window along one axis, by its start; over a voxel, sum 1."""
    starts = window_starts(side, window, tiling.overlap)
    # A window longer than the side is the only one and counts 1, whatever its weights.
    weights = blending_weights(min(side, window), tiling.blending)
    total = np.zeros(side)
    for start in starts:
        total[start : start + len(weights)] += weights
    return {
        start: (weights / total[start : start + len(weights)]).astype(np.float32)
        for start in starts
    }


def _predict_windows(
    volume: np.ndarray,
    predict: Predict,
    tiling: Tiling,
    starts: Iterator[tuple[int, ...]],
    num_outputs: int,
) -> Iterator[np.ndarray]:
    """Predictions of the windows in their order, cropped to the scan."""
    *sides, channels = volume.shape
    size = (*tiling.window, channels)
    before = np.maximum(0, np.subtract(tiling.window, sides)) // 2
    inside = [slice(low, low + side) for low, side in zip(before, sides, strict=True)]
    while batch := list(itertools.islice(starts, tiling.batch_size)):
        places = np.subtract(batch, before)
        windows = [crop(volume, (*place, 0), size, 0.0) for place in places]
        outputs = _outputs(predict, np.stack(windows, dtype=np.float32))
        if outputs.shape[-1] != num_outputs:
            raise InputError(
                f"a prediction has num_outputs={num_outputs} values per voxel. "
                f"Received: {outputs.shape[-1]}"
            )
        yield from outputs[:, *inside]


def _blend(
    predictions: Iterator[np.ndarray],
    shares: Sequence[dict[int, np.ndarray]],
    sides: Sequence[int],
    axis: int,
) -> np.ndarray:
    """Joins the next windows along one axis and those after it.

    Joining axis by axis keeps the float32 sums short: rounding stays below 1e-6 even
    where thousands of windows overlap.
    """
    if axis == len(sides):
        return next(predictions)
    joined = None
    for start, share in shares[axis].items():
        part = _blend(predictions, shares, sides, axis + 1)
        if joined is None:
            shape = (*part.shape[:axis], sides[axis], *part.shape[axis + 1 :])
            joined = np.zeros(shape, np.float32)
        place = (slice(None),) * axis + (slice(start, start + len(share)),)
        joined[place] += part * _along(share, part, axis)
    return joined


def _along(values: np.ndarray, array: np.ndarray, axis: int) -> np.ndarray:
    """Values shaped so that they multiply an array along one of its axes."""
    return values.reshape(-1, *[1] * (array.ndim - 1 - axis))


def _outputs(predict: Predict, batch: np.ndarray) -> np.ndarray:
    """What a function says of a batch, in float32, if it has the batch's sides."""
    outputs = np.asarray(predict(batch), np.float32)
    if outputs.ndim != batch.ndim or outputs.shape[:-1] != batch.shape[:-1]:
        raise InputError(
            f"a prediction has the sides of its windows {batch.shape[:-1]}. "
            f"Received: {outputs.shape}"
        )
    return outputs
