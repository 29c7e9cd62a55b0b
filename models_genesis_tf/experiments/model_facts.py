"""What a model's file says of its input and output."""

import dataclasses
import zipfile
from dataclasses import dataclass
from pathlib import Path

from models_genesis_tf.errors import InputError
from models_genesis_tf.models.saving import METADATA_MEMBER, read_metadata


@dataclass(frozen=True)
class ModelFacts:
    """How a scan becomes a model's input, and what its output means.

    Attributes:
      kind: "segmentation" or "classification".
      classes: Names by index, background (or the negative class) first.
      threshold: Probability above which the second of two classes is called.
      window: As `imaging.windows.parse_window` reads it.
      spacing: Spacing x, y, z in mm that scans are resampled to, or None.
      in_plane_size: Voxels along x and along y that slices are resized to where no
        spacing is asked for, or None.
      patch_size: Sides x, y, z of a window in voxels; z is 1 in two dimensions.
      modalities: Names of the channels.
      multi_label: Whether the classes are labels of which each may hold or not.
      slices_per_case: In two dimensions, axial slices of a classified volume or place.
    """

    kind: str
    classes: tuple[str, ...]
    threshold: float
    window: str
    spacing: tuple[float, float, float] | None
    in_plane_size: int | None
    patch_size: tuple[int, int, int]
    modalities: tuple[str, ...]
    multi_label: bool = False
    slices_per_case: int = 1

    @property
    def takes_pictures(self) -> bool:
        """Whether the network sees slices, so that a picture is all of a scan."""
        return self.patch_size[2] == 1

    @property
    def num_outputs(self) -> int:
        """Outputs of the network: two classes share one probability."""
        is_shared = len(self.classes) == 2 and not self.multi_label
        return 1 if is_shared else len(self.classes)


def read_facts(path: Path) -> ModelFacts:
    """Reads what a model's file says of its input and output.

    Args:
      path: A `.keras` file.

    Returns:
      The facts.

    Raises:
      InputError: If it is no such file, or the facts are not all there.
    """
    if not zipfile.is_zipfile(path):
        raise InputError(f"--model is a .keras file. Received: --model={path}")
    found = read_metadata(path) or {}
    fields = dataclasses.fields(ModelFacts)
    # Models written before a fact was told are of the kind that needs it not.
    missing = [
        field.name
        for field in fields
        if field.name not in found and field.default is dataclasses.MISSING
    ]
    if missing:
        lacking = ", ".join(missing) if found else METADATA_MEMBER
        raise InputError(
            "--model is a file that finetune wrote, which says how scans become its "
            "input (Keras drops that when it saves a model again). "
            f"Received: --model={path} without {lacking}"
        )
    values = {field.name: found[field.name] for field in fields if field.name in found}
    lists = {k: tuple(v) for k, v in values.items() if isinstance(v, list)}
    return ModelFacts(**values | lists)
