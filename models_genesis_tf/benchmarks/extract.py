"""What cutting cubes costs beside reading the scan: time and peak memory."""

import tempfile
from pathlib import Path

import numpy as np

from models_genesis_tf.benchmarks import official_extraction
from models_genesis_tf.benchmarks.own_process import run_alone
from models_genesis_tf.imaging.cube_files import open_cubes
from models_genesis_tf.imaging.volumes import read_volume, write_volume
from models_genesis_tf.phantoms import luna16

_ROUNDS = 3
_MIB = 2**20
_SIZE = (512, 512, 128)  # LUNA16's in plane; in less the official rule finds no cube
_IMPORTS = """
import contextlib, io, pathlib
from models_genesis_tf.config import CubeConfig, ScanChoice
from models_genesis_tf.experiments.extraction import extract_cubes
scan = pathlib.Path(sys.argv[1])
choice = ScanChoice(include=(scan.name,))
config = CubeConfig(cubes_per_volume=int(sys.argv[3]), acceptance=sys.argv[4])
"""
_WORK = """
with contextlib.redirect_stdout(io.StringIO()):
    extract_cubes(scan.parent, sys.argv[2], config, choice, num_workers=1)
"""


def measure(
    scan: str | None = None, cubes: int = 32, official_dir: str | None = None
) -> dict:
    """Times SimpleITK alone reading a scan, and cubes cut from it into a file.

    Each runs in a process of its own, in turn, three rounds; medians are given.

    Args:
      scan: File of a scan, or None for a synthetic chest CT.
      cubes: Cubes of 64x64x32 voxels to cut.
      official_dir: Clone of the official repository, whose extraction then cuts as many
        from the same file by the same rule; None to leave it out.

    Returns:
      `size` of the scan; `cubes` found by `read_and_extract` and `official`; the scan's
      `float32_mib`; median `seconds` of `read`, `read_and_extract` and `official`;
      their `peak_mib` of memory above what the imported libraries take; and `ratios`.

    Raises:
      InputError: If the scan cannot be read, the clone lacks the extraction, or this
        cannot work on the scan.
    """
    with tempfile.TemporaryDirectory() as folder:
        if scan is None:
            luna16.write(Path(folder, "scans"), 1, size=_SIZE)
            scan = next(Path(folder, "scans").rglob("*.mhd"))
        volume = read_volume(scan)
        size = volume.array.shape
        if official_dir:
            official_extraction.check_comparable(official_dir, size)
            scan = Path(folder, "luna16", "subset0", "scan.mhd")
            scan.parent.mkdir(parents=True)
            write_volume(scan, volume.array, volume)
        runs = [
            _run_in_turn(scan, cubes, official_dir, Path(folder, f"round_{number}"))
            for number in range(_ROUNDS)
        ]
    medians = {
        part: {key: float(np.median([run[part][key] for run in runs])) for key in first}
        for part, first in runs[0].items()
    }
    return _describe(size, medians)


def _run_in_turn(
    scan: str | Path, cubes: int, official_dir: str | None, folder: Path
) -> dict[str, dict]:
    """Runs all parts once, one after the other."""
    work = "image = SimpleITK.ReadImage(sys.argv[1])"
    runs = {"read": run_alone("import SimpleITK", work, scan)}
    acceptance = "chest_ct" if official_dir else "auto"
    ours = folder / "ours"
    runs["read_and_extract"] = run_alone(
        _IMPORTS, _WORK, scan, ours, cubes, acceptance
    ) | {"cubes": len(open_cubes(ours))}
    if official_dir:
        runs["official"] = official_extraction.run(
            official_dir, scan.parents[1], folder / "official", cubes
        )
    return runs


def _describe(size: tuple[int, int, int], medians: dict[str, dict]) -> dict:
    float32_mib = float(np.prod(size)) * 4 / _MIB
    read, ours = medians["read"], medians["read_and_extract"]
    ratios = {
        "seconds_over_reading": ours["seconds"] / read["seconds"],
        "peak_over_float32": ours["peak_mib"] / float32_mib,
    }
    if theirs := medians.get("official"):
        ratios["official_seconds_over_ours"] = theirs["seconds"] / ours["seconds"]
        ratios["official_peak_over_ours"] = theirs["peak_mib"] / ours["peak_mib"]
    return {
        "size": list(size),
        "cubes": {
            part: int(found["cubes"])
            for part, found in medians.items()
            if "cubes" in found
        },
        "float32_mib": round(float32_mib, 1),
        "seconds": {part: round(run["seconds"], 3) for part, run in medians.items()},
        "peak_mib": {part: round(run["peak_mib"], 1) for part, run in medians.items()},
        "ratios": {name: round(ratio, 2) for name, ratio in ratios.items()},
    }
