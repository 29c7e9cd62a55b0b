"""Which flags a benchmark's figures depend on."""

from collections.abc import Callable
from pathlib import Path

_SETTINGS = {
    "transforms": ("official_dir",),
    "input": ("official_dir",),
    "extract": ("input", "official_dir"),
    "step": (
        "backend",
        "precisions",
        "batch_sizes",
        "base_filters",
        "cube_size",
        "steps",
        "fast_upsampling",
        "official_dir",
    ),
    "predict": (
        "model",
        "input",
        "base_filters",
        "cube_size",
        "fast_upsampling",
    ),
}
_PATHS = ("official_dir", "input", "model")
BENCHMARKS = tuple(_SETTINGS)


def describe_settings(name: str, value_of: Callable[[str], object]) -> dict:
    """Picks the flags that a benchmark's figures depend on.

    Args:
      name: One of `BENCHMARKS`.
      value_of: Gives the value of a flag.

    Returns:
      Flags and their values; of a path its last part, since where it lies matters to
      nobody else.
    """
    settings = {flag: value_of(flag) for flag in _SETTINGS[name]}
    return {
        flag: Path(value).name if flag in _PATHS and value else value
        for flag, value in settings.items()
    }
