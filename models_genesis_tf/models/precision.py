"""Which number format a network computes in: values in, a Keras policy out."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from models_genesis_tf.errors import InputError

PRECISIONS = ("auto", "float32", "mixed_bfloat16", "mixed_float16")
# As they are called among the flags of /proc/cpuinfo.
_BFLOAT16_FEATURES = ("avx512_bf16", "amx_bf16")
# In bfloat16 oneDNN (as in TensorFlow 2.21) returns memory that was never written as
# the gradient of a 3D convolution's kernel where the first side is 2 voxels long. With
# three poolings the shortest first side without such a level is 24. Convolutions of
# images do not share the fault, and their sides are multiples of 32.
_LEAST_BFLOAT16_SIDE = 24


@dataclass(frozen=True)
class Precision:
    """What a network computes in, and why.

    Attributes:
      policy: Name of a Keras dtype policy; weights are float32 under each.
      reason: Why it was chosen, for people.
    """

    policy: str
    reason: str


def choose_precision(
    name: str,
    gpu_capabilities: Sequence[tuple[int, int]],
    cpu_features: frozenset[str],
    first_side: int,
) -> Precision:
    """Chooses the fastest format that the devices compute in and that trains well.

    Args:
      name: One of `PRECISIONS`; all but "auto" are taken as they are.
      gpu_capabilities: Compute capability of each GPU that trains, such as (8, 0);
        empty if the CPU does.
      cpu_features: As from `read_cpu_features`.
      first_side: The first side of cubes in voxels, or of images in pixels.

    Returns:
      The policy and its reason.

    Raises:
      InputError: If there is no precision of this name, or it does not work here.
    """
    if name not in PRECISIONS:
        raise InputError(
            f"a precision is one of {', '.join(PRECISIONS)}. Received: {name}"
        )
    if gpu_capabilities and name == "auto":
        return _choose_for_gpus(min(gpu_capabilities))
    if not gpu_capabilities:
        _check_for_cpu(name, first_side)
    if name != "auto":
        return Precision(name, "as asked for")
    # Narrow networks gain less, but none loses: on two cores with avx512_bf16 a step of
    # 4, 8, 16 and 32 filters takes 0.80, 0.70, 0.63 and 0.60 of its time in float32
    # with cubes of 32x32x16 voxels, and 0.70, 0.70, 0.62 and 0.60 with 64x64x32.
    features = [name for name in _BFLOAT16_FEATURES if name in cpu_features]
    if not features:
        return Precision("float32", "this CPU does not compute bfloat16")
    if first_side < _LEAST_BFLOAT16_SIDE:
        return Precision("float32", "the cubes are too short for bfloat16 on a CPU")
    return Precision("mixed_bfloat16", f"this CPU computes bfloat16 ({features[0]})")


def _check_for_cpu(name: str, first_side: int) -> None:
    if name == "mixed_float16":  # TensorFlow has no pooling in float16 for CPUs
        raise InputError(f"mixed_float16 takes a GPU. Received: --precision={name}")
    if name == "mixed_bfloat16" and first_side < _LEAST_BFLOAT16_SIDE:
        raise InputError(
            f"on a CPU, mixed_bfloat16 takes cubes of {_LEAST_BFLOAT16_SIDE} voxels or "
            "more along x; gradients of shorter ones are wrong. "
            f"Received: {first_side} voxels"
        )


def _choose_for_gpus(lowest: tuple[int, int]) -> Precision:
    capability = f"compute capability {lowest[0]}.{lowest[1]}"
    if lowest >= (8, 0):
        return Precision("mixed_bfloat16", f"the GPU computes bfloat16 ({capability})")
    if lowest >= (7, 0):
        return Precision("mixed_float16", f"the GPU computes float16 ({capability})")
    return Precision("float32", f"the GPU is fastest in float32 ({capability})")


def read_cpu_features(path: str | Path = "/proc/cpuinfo") -> frozenset[str]:
    """Reads which instructions the CPU has.

    Args:
      path: Description of the processors in Linux's form.

    Returns:
      The `flags` of the first processor; empty where there is no such file or line.
    """
    path = Path(path)
    lines = path.read_text(encoding="utf-8").splitlines() if path.is_file() else []
    for line in lines:
        name, _, value = line.partition(":")
        if name.strip() == "flags":
            return frozenset(value.split())
    return frozenset()
