"""Which processor this machine has."""

import platform
from pathlib import Path


def processor_name() -> str:
    """Finds the name of the processor.

    Returns:
      Such as "AMD EPYC"; what Python knows of it where the system does not tell.
    """
    path = Path("/proc/cpuinfo")
    lines = path.read_text(encoding="utf-8").splitlines() if path.is_file() else []
    names = [line.split(":")[1].strip() for line in lines if "model name" in line]
    return names[0] if names else platform.processor()
