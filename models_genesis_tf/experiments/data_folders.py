"""Where a command's data lie: given, found, or made up."""

import os
from dataclasses import dataclass
from pathlib import Path

from models_genesis_tf.phantoms import luna16
from models_genesis_tf.phantoms.marker import is_complete

PHANTOM = "phantom"
PHANTOM_CASES = 10
# Cubes of a demonstration: small, and with more to restore than lung alone has.
DEMO_CUBES = {
    "cube_size": "32,32,16",
    "cubes_per_volume": 32,
    "acceptance": "foreground",
}
_LUNA16_PAGE = "https://luna16.grand-challenge.org"


@dataclass(frozen=True)
class DataFolder:
    """A folder of data.

    Attributes:
      path: The folder.
      demonstration: Whether phantoms, made if they are not there, stand in for data
        that were not given; settings are a demonstration's then.
    """

    path: Path
    demonstration: bool


def find_data(data_dir: str | None, name: str) -> DataFolder:
    """Finds the data of a command; nothing is read or written.

    Args:
      data_dir: What the user gave, "phantom", or None to look in
        `$MODELS_GENESIS_DATA/<name>` and `./data/<name>` and to fall back on phantoms.
      name: Of the data set.

    Returns:
      The folder; that of phantoms is `./data/phantom/<name>`.
    """
    if data_dir and data_dir != PHANTOM:
        return DataFolder(Path(data_dir), False)
    if not data_dir:
        for root in (os.environ.get("MODELS_GENESIS_DATA"), "data"):
            if root and (Path(root) / name).is_dir():
                return DataFolder(Path(root) / name, False)
    return DataFolder(Path("data") / PHANTOM / name, True)


def make_chest_phantoms(path: Path) -> None:
    """Makes the synthetic chest CTs of a demonstration, once, and says so.

    Args:
      path: The folder, as from `find_data`.

    Raises:
      InputError: If it holds anything else.
    """
    print(
        f"synthetic scans in {path}, demonstration settings; for real ones give "
        f"--data_dir, such as LUNA16 from {_LUNA16_PAGE}"
    )
    if not is_complete(path):
        luna16.write(path, PHANTOM_CASES)
