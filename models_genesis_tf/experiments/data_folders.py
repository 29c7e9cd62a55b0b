"""Where a command's data lie: given, found, or made up."""

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

PHANTOM = "phantom"


@dataclass(frozen=True)
class DataFolder:
    """A folder of data.

    Attributes:
      path: The folder.
      synthetic: Whether it holds phantoms.
    """

    path: Path
    synthetic: bool


def find_data(
    data_dir: str | None, name: str, make_phantoms: Callable[[Path], None]
) -> DataFolder:
    """Finds the data of a command.

    Args:
      data_dir: What the user gave, "phantom", or None to look in
        `$MODELS_GENESIS_DATA/<name>` and `./data/<name>` and to fall back on phantoms.
      name: Of the data set.
      make_phantoms: Writes phantoms to a folder.

    Returns:
      The folder; phantoms are made once and kept below `./data/phantom`.
    """
    if data_dir and data_dir != PHANTOM:
        return DataFolder(Path(data_dir), False)
    if not data_dir:
        for root in (os.environ.get("MODELS_GENESIS_DATA"), "data"):
            if root and (Path(root) / name).is_dir():
                return DataFolder(Path(root) / name, False)
    path = Path("data") / PHANTOM / name
    if not path.is_dir():
        print(f"making synthetic scans in {path}")
        part = path.with_name(f".{name}.{os.getpid()}.part")
        make_phantoms(part)
        os.replace(part, path)
    return DataFolder(path, True)
