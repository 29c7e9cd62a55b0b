"""Which folders hold runs of fine-tuning, and what lies beside them."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from models_genesis_tf.errors import InputError

_MAX_DEPTH = 4
# What lies beside runs and is none.
_BESIDE_RUNS = ("prepared", "sweep.toml", "sweep.log")
_OF_OTHER_COMMANDS = ("report.md", "crossing.json", "baseline.json", "cubes.json")


@dataclass(frozen=True)
class LeftOut:
    """Something that has no part in a report.

    Attributes:
      what: Path of a run, a trial or a file.
      reason: Why.
    """

    what: str
    reason: str


def find_runs(paths: Sequence[Path]) -> Iterator[Path | LeftOut]:
    """Goes through some folders.

    Args:
      paths: Run folders, or folders in which they lie, at most four levels deep.

    Yields:
      Folders that `finetune` began a run in, each once, in the order of the paths and
      then of their names; and what else is there that belongs to no run.

    Raises:
      InputError: If a path is no folder.
    """
    seen = set()
    for path in paths:
        if not path.is_dir():
            raise InputError(f"--runs are folders. Received: --runs={path}")
        for found in _find(path):
            if isinstance(found, LeftOut):
                yield found
            elif found.resolve() not in seen:
                seen.add(found.resolve())
                yield found


def _find(
    folder: Path, depth: int = 0, in_pretraining: bool = False
) -> Iterator[Path | LeftOut]:
    """Run folders of finetune, and what lies beside them and is no run."""
    if (folder / "results.json").exists() or _is_begun(folder):
        yield folder
        return
    if any((folder / name).exists() for name in _OF_OTHER_COMMANDS):
        return
    in_pretraining = in_pretraining or (folder / "run.json").exists()
    foreign = []
    for path in sorted(folder.iterdir()):
        if path.name.startswith(".") or path.name in _BESIDE_RUNS:
            continue
        if path.is_dir() and depth < _MAX_DEPTH:
            yield from _find(path, depth + 1, in_pretraining)
        elif path.is_dir():
            yield LeftOut(str(path), f"lies more than {_MAX_DEPTH} levels deep")
        elif not in_pretraining:
            foreign.append(path.name)
    if foreign:
        named = ", ".join(foreign[:3]) + (", ..." if len(foreign) > 3 else "")
        reason = f"{len(foreign)} file(s) that belong to no run: {named}"
        yield LeftOut(str(folder), reason)


def _is_begun(folder: Path) -> bool:
    """Whether a run of finetune began here that has no result yet."""
    record = folder / "run.json"
    if not record.exists():
        return False
    try:
        settings = json.loads(record.read_text(encoding="utf-8")).get("settings")
    except (OSError, ValueError, AttributeError):  # damaged, or no dictionary
        return True
    return isinstance(settings, dict) and "train_fraction" in settings
