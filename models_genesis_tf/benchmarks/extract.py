"""What cutting cubes costs beside reading the scan: time and peak memory."""

import json
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

from models_genesis_tf.imaging.cube_files import open_cubes
from models_genesis_tf.imaging.volumes import read_volume
from models_genesis_tf.phantoms import luna16

_ROUNDS = 3
_MIB = 2**20
# Each piece of work runs in a process of its own, whose peak memory is then its own.
_WORK = """
import json, sys, time
{imports}
def peak():  # MiB
    lines = open("/proc/self/status").readlines()
    (line,) = (line for line in lines if line.startswith("VmHWM"))
    return int(line.split()[1]) / 1024
before = peak()
start = time.perf_counter()
{work}
seconds = time.perf_counter() - start
print(json.dumps({{"seconds": seconds, "peak_mib": peak() - before}}))
"""
_READ = _WORK.format(
    imports="import SimpleITK",
    work="image = SimpleITK.ReadImage(sys.argv[1])",
)
_EXTRACT = _WORK.format(
    imports="""
import contextlib, io, pathlib
from models_genesis_tf.config import CubeConfig
from models_genesis_tf.experiments.extraction import extract_cubes
scan = pathlib.Path(sys.argv[1])
config = CubeConfig(cubes_per_volume=int(sys.argv[2]))
""",
    work="""
with contextlib.redirect_stdout(io.StringIO()):
    extract_cubes(scan.parent, sys.argv[3], config, [scan.name], num_workers=1)
""",
)


def measure(scan: str | None = None, cubes: int = 32) -> dict:
    """Times SimpleITK alone reading a scan, and cubes cut from it into a file.

    Args:
      scan: File of a scan, or None for a synthetic chest CT.
      cubes: Cubes of 64x64x32 voxels to cut.

    Returns:
      `size` of the scan, `cubes` found, its `float32_mib`, median `seconds` of both,
      `peak_mib` of memory above what the imported libraries take, and their ratios.

    Raises:
      InputError: If the scan cannot be read.
    """
    with tempfile.TemporaryDirectory() as folder:
        if scan is None:
            luna16.write(folder, 1)
            scan = str(next(Path(folder).rglob("*.mhd")))
        size = read_volume(scan).array.shape
        runs = []
        for number in range(_ROUNDS):
            output_dir = Path(folder, f"cubes_{number}")
            runs.append((_run(_READ, scan), _run(_EXTRACT, scan, cubes, output_dir)))
        found = len(open_cubes(output_dir))
    read, extract = (
        {key: float(np.median([run[part][key] for run in runs])) for key in runs[0][0]}
        for part in (0, 1)
    )
    float32_mib = float(np.prod(size)) * 4 / _MIB
    return {
        "size": list(size),
        "cubes": found,
        "float32_mib": round(float32_mib, 1),
        "seconds": {
            "read": round(read["seconds"], 3),
            "read_and_extract": round(extract["seconds"], 3),
        },
        "peak_mib": {
            "read": round(read["peak_mib"], 1),
            "read_and_extract": round(extract["peak_mib"], 1),
        },
        "ratios": {
            "seconds_over_reading": round(extract["seconds"] / read["seconds"], 2),
            "peak_over_float32": round(extract["peak_mib"] / float32_mib, 2),
        },
    }


def _run(work: str, *arguments) -> dict:
    command = [sys.executable, "-c", work, *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return json.loads(done.stdout)
