"""The folder of a run: what lies in it, and whether it may be written to."""

import contextlib
import csv
import fcntl
import io
import json
import os
import platform
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from importlib import metadata
from pathlib import Path

from models_genesis_tf import __version__
from models_genesis_tf.errors import InputError
from models_genesis_tf.experiments.processor import processor_name

_PACKAGES = ("tensorflow", "keras", "numpy", "numba", "SimpleITK", "jax", "torch")
_PARTS = (
    "flags.cfg",
    "run.json",
    "results.json",
    "cubes",
    "split.csv",
    "history.csv",
    "timing.csv",
    "model.keras",
    "checkpoint",
    "samples",
    "tensorboard",
    "evaluation",
)


def make_folder(path: str | Path) -> Path:
    """Makes a folder and tries whether it can be written.

    Args:
      path: The folder.

    Returns:
      It.

    Raises:
      InputError: If it cannot be made or written.
    """
    path = Path(path)
    try:
        path.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=path, prefix=".", suffix=".part"):
            pass
    except OSError as error:
        raise _not_writable(path, error) from error
    return path


def _not_writable(path: Path, error: OSError) -> InputError:
    return InputError(
        "--output_dir is a folder that can be written. "
        f"Received: --output_dir={path} ({error.strerror})"
    )


def read_record(folder: Path) -> dict:
    """Reads what a run in this folder recorded.

    Args:
      folder: A run folder, or any other.

    Returns:
      What its run.json holds; empty without one.
    """
    return read_json(folder / "run.json")


def read_json(path: Path) -> dict:
    """Reads what `write_json` wrote.

    Args:
      path: The file.

    Returns:
      What it holds; empty if there is none.
    """
    return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}


def is_finished(folder: Path) -> bool:
    """Says whether a run in this folder came to its end.

    Args:
      folder: A run folder, or any other.

    Returns:
      True if its run.json says so.
    """
    return read_record(folder).get("finished", False)


def flags_of(folder: Path) -> str | None:
    """The flags that a run in this folder began with.

    Args:
      folder: A run folder, or any other.

    Returns:
      The text of its flags.cfg; None if no training began there.
    """
    if not (folder / "run.json").is_file():  # written when training begins
        return None
    path = folder / "flags.cfg"
    return path.read_text(encoding="utf-8") if path.is_file() else ""


@contextlib.contextmanager
def sole_writer(folder: str | Path) -> Iterator[None]:
    """Keeps other processes out of a run folder, until this one ends or is killed.

    Args:
      folder: Where the run writes; it is made.

    Yields:
      Nothing.

    Raises:
      InputError: If the folder cannot be written, or another process holds it.
    """
    folder = Path(folder)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        stream = (folder / ".lock").open("a")
    except OSError as error:
        raise _not_writable(folder, error) from error
    with stream:
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise InputError(
                "one process at a time writes to a run folder, and another one does. "
                f"Received: --output_dir={folder}"
            ) from error
        except OSError:  # a file system without locks
            pass
        yield


def start_run(
    folder: str | Path, flags_text: str, restart: bool, inputs: Sequence[Path] = ()
) -> Path:
    """Makes a run folder ready, for a new run or for one that goes on.

    Args:
      folder: Where the run writes.
      flags_text: What `--flagfile` replays the run with.
      restart: Whether an earlier run's files there are removed first, its cubes too.
      inputs: What the run will read, which a restart must not remove.

    Returns:
      The folder, with `flags.cfg` in it.

    Raises:
      InputError: If it cannot be written, or a restart would remove the data.
    """
    folder = make_folder(folder)
    if restart:
        trials = [path for path in folder.glob("trial_*") if _is_trial(path)]
        parts = {path.resolve() for path in [*(folder / n for n in _PARTS), *trials]}
        for path in (Path(path).resolve() for path in inputs):
            if parts & {path, *path.parents}:
                raise InputError(
                    "--restart removes what a run wrote to --output_dir, so what it "
                    f"reads lies elsewhere. Received: {path}"
                )
        for path in parts:
            _remove(path)
    write_text(folder / "flags.cfg", flags_text)
    return folder


def _is_trial(path: Path) -> bool:
    return path.name.removeprefix("trial_").isdecimal()


def write_text(path: Path, text: str) -> None:
    """Writes a file beside its name and renames it when complete.

    Args:
      path: File to write.
      text: What it holds.
    """
    part = path.with_name(f".{path.name}.part")
    part.write_text(text, encoding="utf-8")
    os.replace(part, path)


def write_json(path: Path, values: dict) -> None:
    """Writes a dictionary as JSON, all or nothing.

    Args:
      path: File to write.
      values: What can be written as JSON.
    """
    write_text(path, json.dumps(values, indent=1) + "\n")


def write_rows(path: Path, rows: Sequence[dict]) -> None:
    """Writes a csv file, all or nothing.

    Args:
      path: File to write.
      rows: One or more, each with the same column names.
    """
    stream = io.StringIO()
    writer = csv.DictWriter(stream, list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    write_text(path, stream.getvalue())


def append_row(path: Path, row: dict) -> None:
    """Adds one row to a csv file, the header before the first.

    Args:
      path: File to add to.
      row: Column names and values.
    """
    new = not path.exists()
    with path.open("a", newline="", encoding="utf-8") as stream:
        writer = csv.DictWriter(stream, list(row), lineterminator="\n")
        if new:
            writer.writeheader()
        writer.writerow(row)


def keep_rows(path: Path, count: int) -> None:
    """Cuts a csv file down to its first rows, whatever came after them.

    Args:
      path: File with one line for each row; it may be missing.
      count: Rows kept; none removes the file.
    """
    if not path.exists():
        return
    if count == 0:
        path.unlink()
        return
    lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
    write_text(path, "".join(lines[: count + 1]))


def describe_software() -> dict:
    """What a run was made with.

    Returns:
      Versions of Python and of the packages that are installed, the processor, and the
      commit where the package is a checkout.
    """
    versions = {"models_genesis_tf": __version__}
    for name in _PACKAGES:
        with contextlib.suppress(metadata.PackageNotFoundError):
            versions[name] = metadata.version(name)
    return {
        "python": platform.python_version(),
        "packages": versions,
        "processor": processor_name(),
        "git_commit": _git_commit(),
        "started": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
    }


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def _git_commit() -> str | None:
    root = Path(__file__).resolve().parents[2]
    if not (root / ".git").exists():
        return None
    command = ["git", "-C", str(root), "rev-parse", "HEAD"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return None
    return done.stdout.strip()
