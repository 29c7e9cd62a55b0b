"""What a report takes up of what other commands wrote beside the runs."""

import shutil
from collections.abc import Sequence
from pathlib import Path

_CROSSING = """## Domain crossing

Mean squared error of restored cubes, each network on each kind of scans, beside the
deformed cube itself and the best constant."""
_BASELINE = """## A column instead of a network

How well a column of the manifest alone tells the classes of the same test cases, with
nothing learned."""


def describe_crossings(paths: Sequence[Path], folder: Path) -> list[str]:
    """Takes up what `evaluate --restorers` wrote, its figures too.

    Args:
      paths: Folders, in which it may lie at any depth.
      folder: Of the report; figures are copied there.

    Returns:
      Parts of Markdown; none if nothing was found.
    """
    found = _find(paths, "crossing.md")
    parts = [_CROSSING] if found else []
    for number, table in enumerate(found):
        figure = folder / f"crossing_{number}.png"
        shutil.copyfile(table.with_suffix(".png"), figure)
        parts += [
            table.read_text(encoding="utf-8").strip(),
            f"![Cubes, deformed and restored by each network]({figure.name})",
        ]
    return parts


def describe_baselines(paths: Sequence[Path]) -> list[str]:
    """Takes up what `evaluate --column` wrote.

    Args:
      paths: Folders, in which it may lie at any depth.

    Returns:
      Parts of Markdown; none if nothing was found.
    """
    found = _find(paths, "baseline.md")
    tables = [table.read_text(encoding="utf-8").strip() for table in found]
    return [_BASELINE, *tables] if found else []


def _find(paths: Sequence[Path], name: str) -> list[Path]:
    return [table for path in paths for table in sorted(path.rglob(name))]
