"""Which worker a process is, from TF_CONFIG and from the variables of SLURM."""

import json

import pytest

from models_genesis_tf.errors import InputError
from models_genesis_tf.training.workers import Workers, cluster_config, find_workers

SLURM = {
    "SLURM_PROCID": "3",
    "SLURM_JOB_ID": "1234567",
    "SLURM_STEP_NODELIST": "n[9-10],m5",
    "SLURM_STEP_TASKS_PER_NODE": "2(x2),1",
}


def _tf_config(cluster, kind, index):
    config = {"cluster": cluster, "task": {"type": kind, "index": index}}
    return {"TF_CONFIG": json.dumps(config)}


@pytest.mark.parametrize("strategy", ["auto", "none", "mirrored"])
def test_other_strategies_have_one_worker_whatever_the_environment_says(strategy):
    found = find_workers(strategy, _tf_config({"worker": ["a:1", "b:1"]}, "worker", 1))
    assert found == Workers(0, 1)
    assert found.is_chief


@pytest.mark.parametrize(
    ("cluster", "kind", "index", "number"),
    [
        ({"worker": ["a:1", "b:1", "c:1"]}, "worker", 0, 0),
        ({"worker": ["a:1", "b:1", "c:1"]}, "worker", 2, 2),
        ({"chief": ["a:1"], "worker": ["b:1", "c:1"]}, "chief", 0, 0),
        ({"chief": ["a:1"], "worker": ["b:1", "c:1"]}, "worker", 0, 1),
        ({"chief": ["a:1"], "worker": ["b:1", "c:1"]}, "worker", 1, 2),
    ],
)
def test_workers_are_counted_from_the_chief(cluster, kind, index, number):
    environment = _tf_config(cluster, kind, index)
    workers = find_workers("multi_worker", environment)
    assert workers == Workers(number, 3)
    assert workers.is_chief == (number == 0)
    assert cluster_config(environment) == json.loads(environment["TF_CONFIG"])


def test_tf_config_counts_before_slurm():
    environment = SLURM | _tf_config({"worker": ["a:1", "b:1"]}, "worker", 1)
    assert find_workers("multi_worker", environment) == Workers(1, 2)


def test_slurm_nodes_keep_their_order_and_tasks_their_ports():
    port = 20_000 + 1234567 % 10_000
    assert cluster_config(SLURM) == {
        "cluster": {
            "worker": [
                f"n9:{port}",
                f"n9:{port + 1}",
                f"n10:{port}",
                f"n10:{port + 1}",
                f"m5:{port}",
            ]
        },
        "task": {"type": "worker", "index": 3},
    }
    assert find_workers("multi_worker", SLURM) == Workers(3, 5)


@pytest.mark.parametrize(
    ("nodes", "hosts"),
    [
        ("gpu", ["gpu"]),
        ("a,b-1,c", ["a", "b-1", "c"]),
        ("n[1,4-5]", ["n1", "n4", "n5"]),
        ("n[008-011]", ["n008", "n009", "n010", "n011"]),
        ("r[1-2]n[3-4].x,z", ["r1n3.x", "r1n4.x", "r2n3.x", "r2n4.x", "z"]),
    ],
)
def test_lists_of_nodes_are_read_as_slurm_writes_them(nodes, hosts):
    tasks = {"SLURM_STEP_TASKS_PER_NODE": f"1(x{len(hosts)})", "SLURM_PROCID": "0"}
    addresses = cluster_config(SLURM | {"SLURM_STEP_NODELIST": nodes} | tasks)
    assert [a.split(":")[0] for a in addresses["cluster"]["worker"]] == hosts


@pytest.mark.parametrize("missing", sorted(SLURM))
def test_without_tf_config_and_slurm_the_rule_is_told(missing):
    environment = {name: value for name, value in SLURM.items() if name != missing}
    with pytest.raises(
        InputError, match=f"takes TF_CONFIG, or a job step .* and no {missing}"
    ):
        find_workers("multi_worker", environment)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("SLURM_PROCID", "5"),
        ("SLURM_PROCID", "first"),
        ("SLURM_JOB_ID", "x"),
        ("SLURM_STEP_NODELIST", "n[9-10"),
        ("SLURM_STEP_NODELIST", "n[a-b],m5,k"),
        ("SLURM_STEP_NODELIST", "n9"),
        ("SLURM_STEP_TASKS_PER_NODE", "2x2,1"),
    ],
)
def test_variables_of_slurm_that_make_no_sense_are_refused(name, value):
    with pytest.raises(InputError, match="SLURM describes the nodes") as caught:
        find_workers("multi_worker", SLURM | {name: value})
    assert f"{name}={value}" in str(caught.value)


@pytest.mark.parametrize(
    "text",
    [
        "{",
        "[]",
        '{"cluster": {"worker": ["a:1"]}}',
        '{"cluster": {"worker": ["a:1"]}, "task": {"type": "worker", "index": 1}}',
        '{"cluster": {"worker": ["a:1"]}, "task": {"type": "worker", "index": -1}}',
        '{"cluster": {"worker": ["a"]}, "task": {"type": "worker", "index": 0}}',
        '{"cluster": {"worker": ["a:1"]}, "task": {"type": "chief", "index": 0}}',
        '{"cluster": {"worker": [7]}, "task": {"type": "worker", "index": 0}}',
        '{"cluster": {"worker": ["a:1"], "ps": ["b:1"]}, '
        '"task": {"type": "worker", "index": 0}}',
        '{"cluster": {"chief": ["a:1", "c:1"], "worker": ["b:1"]}, '
        '"task": {"type": "worker", "index": 0}}',
    ],
)
def test_a_tf_config_that_describes_no_workers_is_refused(text):
    with pytest.raises(InputError, match="TF_CONFIG is JSON such as") as caught:
        find_workers("multi_worker", {"TF_CONFIG": text})
    assert str(caught.value).endswith(f"Received: {text}")
