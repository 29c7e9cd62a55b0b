"""Where a command's data lie: given, found, or made up."""

import os
from dataclasses import dataclass
from pathlib import Path

from models_genesis_tf.phantoms.data_sets import DATA_SETS
from models_genesis_tf.phantoms.marker import check_complete, is_complete

PHANTOM = "phantom"
# Cubes of a demonstration: small, and with more to restore than lung alone has.
DEMO_CUBES = {
    "cube_size": "32,32,16",
    "cubes_per_volume": 32,
    "acceptance": "foreground",
}
_LUNA16 = "LUNA16 is at https://luna16.grand-challenge.org"


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
    """Finds the data of a command; nothing is written.

    Args:
      data_dir: What the user gave, "phantom", or None to look in
        `$MODELS_GENESIS_DATA/<name>` and `./data/<name>` and to fall back on phantoms.
      name: Of the data set.

    Returns:
      The folder; that of phantoms is `./data/phantom/<name>`.

    Raises:
      InputError: If it holds phantoms whose writing was interrupted.
    """
    if data_dir and data_dir != PHANTOM:
        check_complete(Path(data_dir))
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
    make_phantoms(path, "luna16", _LUNA16)


def make_phantoms(path: Path, name: str, how_to_get: str) -> None:
    """Makes the synthetic data of a demonstration, once, and says so.

    Args:
      path: The folder, as from `find_data`.
      name: Of the data set.
      how_to_get: Where the real data come from.

    Raises:
      InputError: If the folder holds anything else.
    """
    print(
        f"synthetic data in {path}, demonstration settings; for real ones give "
        f"--data_dir. {how_to_get}"
    )
    if not is_complete(path):
        data_set = DATA_SETS[name]
        data_set.write(path, data_set.demonstration_cases)
