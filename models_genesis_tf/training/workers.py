"""Which of several workers this process is, read from TF_CONFIG or from SLURM.

TensorFlow's own reader of SLURM is not used: it sorts nodes as text, so that the worker
on n9 takes itself for the one on n10, and it fails on nodes without GPUs.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass

from models_genesis_tf.errors import InputError

MULTI_WORKER = "multi_worker"
_FIRST_PORT, _PORTS = 20_000, 10_000
_SLURM = (
    "SLURM_PROCID",
    "SLURM_JOB_ID",
    "SLURM_STEP_NODELIST",
    "SLURM_STEP_TASKS_PER_NODE",
)


@dataclass(frozen=True)
class Workers:
    """Processes that train one network together, and which of them this one is.

    Attributes:
      number: This one's, from 0.
      count: How many there are.
    """

    number: int = 0
    count: int = 1

    @property
    def is_chief(self) -> bool:
        """Whether this is the one that writes and prints."""
        return self.number == 0


ALONE = Workers()


def find_workers(strategy: str, environment: Mapping[str, str]) -> Workers:
    """Finds out which worker this process is.

    Args:
      strategy: Name of a strategy; all but `MULTI_WORKER` have one worker.
      environment: Variables of the process.

    Returns:
      This process among the workers.

    Raises:
      InputError: As `cluster_config`.
    """
    if strategy != MULTI_WORKER:
        return ALONE
    config = cluster_config(environment)
    cluster, task = config["cluster"], config["task"]
    chiefs = cluster.get("chief", [])
    before = 0 if task["type"] == "chief" else len(chiefs)
    count = len(chiefs) + len(cluster.get("worker", []))
    return Workers(before + task["index"], count)


def cluster_config(environment: Mapping[str, str]) -> dict:
    """Describes all workers, as TensorFlow reads it from TF_CONFIG.

    Args:
      environment: Variables of the process: TF_CONFIG, or those that SLURM's srun sets.

    Returns:
      `{"cluster": {"worker": ["host:port", ...]}, "task": {"type": "worker", "index":
      0}}`; the first worker may be a "chief".

    Raises:
      InputError: If there is neither, or what there is describes no workers.
    """
    if environment.get("TF_CONFIG"):
        return _read_tf_config(environment["TF_CONFIG"])
    missing = [name for name in _SLURM if not environment.get(name)]
    if missing:
        raise InputError(
            "--strategy=multi_worker takes TF_CONFIG, or a job step that srun of SLURM "
            f"started. Received: no TF_CONFIG and no {missing[0]}"
        )
    return _read_slurm(environment)


def _read_tf_config(text: str) -> dict:
    try:
        config = json.loads(text)
        cluster, task = config["cluster"], config["task"]
        index = int(task["index"])
        address = cluster[task["type"]][index]
        sound = set(cluster) <= {"chief", "worker"} and ":" in address and index >= 0
        sound = sound and len(cluster.get("chief", [])) < 2
    except (ValueError, TypeError, LookupError, AttributeError):
        sound = False
    if not sound:
        raise InputError(
            'TF_CONFIG is JSON such as {"cluster": {"worker": ["a:2222", "b:2222"]}, '
            '"task": {"type": "worker", "index": 0}}, with workers and at most one '
            f"chief alone, this process among them. Received: {text}"
        )
    return {"cluster": cluster, "task": {"type": task["type"], "index": index}}


def _read_slurm(environment: Mapping[str, str]) -> dict:
    procid, job, nodes, tasks = (environment[name] for name in _SLURM)
    try:
        hosts, counts = _expand_nodes(nodes), _expand_tasks(tasks)
        # Jobs that share a node must not share ports.
        port = _FIRST_PORT + int(job) % _PORTS
        addresses = [
            f"{host}:{port + number}"
            for host, count in zip(hosts, counts, strict=True)
            for number in range(count)
        ]
        index = range(len(addresses))[int(procid)]
    except (ValueError, LookupError, AttributeError) as error:
        values = ", ".join(f"{name}={environment[name]}" for name in _SLURM)
        raise InputError(
            "SLURM describes the nodes, and tasks on each, of a job step. "
            f"Received: {values}"
        ) from error
    return {
        "cluster": {"worker": addresses},
        "task": {"type": "worker", "index": index},
    }


def _expand_nodes(text: str) -> list[str]:
    """Lists the nodes that SLURM writes as "a[1-3,07],b", in its order."""
    nodes = re.findall(r"(?:[^,\[\]]|\[[^\[\]]+\])+", text)
    if not nodes or ",".join(nodes) != text:
        raise ValueError(text)
    return [name for node in nodes for name in _expand_node(node)]


def _expand_node(node: str) -> list[str]:
    before, bracket, rest = node.partition("[")
    if not bracket:
        return [node]
    ranges, _, after = rest.partition("]")
    return [
        before + number + end
        for numbers in ranges.split(",")
        for number in _expand_numbers(numbers)
        for end in _expand_node(after)
    ]


def _expand_numbers(numbers: str) -> list[str]:
    """Counts from "08" to "11" where it reads "08-11", in as many digits."""
    low, _, high = numbers.partition("-")
    return [
        str(number).zfill(len(low)) for number in range(int(low), int(high or low) + 1)
    ]


def _expand_tasks(text: str) -> list[int]:
    """Counts the tasks of each node, which SLURM writes as "2(x3),1"."""
    counts = []
    for part in text.split(","):
        count, times = re.fullmatch(r"(\d+)(?:\(x(\d+)\))?", part).groups()
        counts += [int(count)] * int(times or 1)
    return counts
