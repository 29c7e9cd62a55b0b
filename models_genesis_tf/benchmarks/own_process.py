"""Work in a process of its own, whose peak memory is then its own."""

import json
import subprocess
import sys

from models_genesis_tf.errors import InputError

_CODE = """
import json, sys, time
{imports}
def peak():  # MiB
    lines = open("/proc/self/status").readlines()
    (line,) = (line for line in lines if line.startswith("VmHWM"))
    return int(line.split()[1]) / 1024
before, found = peak(), {{}}
start = time.perf_counter()
{work}
seconds = time.perf_counter() - start
print(json.dumps({{"seconds": seconds, "peak_mib": peak() - before}} | found))
"""


def run_alone(imports: str, work: str, *arguments) -> dict:
    """Runs code in a new process and measures it there.

    Args:
      imports: Lines of Python that are not measured.
      work: Lines that are; what they put into a dictionary `found` is returned too.
      *arguments: What they find in `sys.argv[1:]`.

    Returns:
      `seconds`; `peak_mib`, the most memory that the work held above the most that the
      imports did; and `found`.

    Raises:
      InputError: If the process ends with an error, of which the last line is told.
    """
    code = _CODE.format(imports=imports, work=work)
    command = [sys.executable, "-c", code, *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["no message"])[-1]
        raise InputError(f"what is measured comes to its end. Received: {last}")
    return json.loads(done.stdout.splitlines()[-1])
