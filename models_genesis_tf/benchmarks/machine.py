"""What a benchmark ran on."""

import os
import subprocess

from models_genesis_tf.experiments.processor import processor_name

_LIST_GPUS = ("nvidia-smi", "--query-gpu=name", "--format=csv,noheader")


def describe_machine() -> dict:
    """Describes this machine.

    Returns:
      `processor`, its name; `cores`; `memory_gib`; and `gpus`, the names of NVIDIA
      GPUs, empty without any.
    """
    pages = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return {
        "processor": processor_name(),
        "cores": os.cpu_count(),
        "memory_gib": round(pages / 2**30, 1),
        "gpus": _gpus(),
    }


def _gpus() -> list[str]:
    try:
        done = subprocess.run(_LIST_GPUS, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return []
    return done.stdout.splitlines()
