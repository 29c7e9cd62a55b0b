"""What sets of phantoms share: how cases belong to patients, and the least size."""

from models_genesis_tf.errors import InputError


def patient_of(case: int) -> int:
    """Numbers patients: of eleven cases in a row the last two are one patient's.

    Args:
      case: Number of the case, from 0.

    Returns:
      Number of its patient, from 0 and without gaps.
    """
    return 10 * (case // 11) + min(case % 11, 9)


def check_size(size: tuple[int, int, int], least: tuple[int, int, int]) -> None:
    """Refuses scans that are too small to show what is drawn.

    Args:
      size: Voxels along x, y and z.
      least: The fewest along x, y and z.

    Raises:
      InputError: If there are fewer.
    """
    if any(side < fewest for side, fewest in zip(size, least, strict=True)):
        raise InputError(
            f"a phantom has {'x'.join(map(str, least))} voxels or more. "
            f"Received: {'x'.join(map(str, size))}"
        )
