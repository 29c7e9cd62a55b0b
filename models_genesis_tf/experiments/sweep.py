"""A sweep: the runs of a grid, one after the other, each in a process of its own.

Every run is an ordinary run in an ordinary folder, which its own command goes on with.
A sweep therefore keeps no state. Started again it starts all commands again: one whose
run is finished ends within a second, or refuses flags that are not those of the run.
"""

import signal
import subprocess
import sys

from models_genesis_tf.errors import InputError
from models_genesis_tf.experiments import run_folder
from models_genesis_tf.experiments.sweep_file import Sweep, SweepRun
from models_genesis_tf.experiments.sweep_table import describe_sweep
from models_genesis_tf.training.stopping import StopRequest

_SECONDS_BETWEEN_LOOKS = 0.5


def run_sweep(sweep: Sweep) -> None:
    """Does all runs that are not done; says before each, and at the end, what remains.

    A signal that asks for the end is passed on to the run in hand, which saves itself.

    Args:
      sweep: The sweep, its flags checked; one process at a time works in its folder.

    Raises:
      InputError: If runs failed, after all others; it names them.
    """
    copy = sweep.folder / "sweep.toml"
    if not copy.is_file() or copy.read_text(encoding="utf-8") != sweep.text:
        run_folder.write_text(copy, sweep.text)
    with StopRequest() as stop:
        failed = _run_all(sweep, stop)
        print(describe_sweep(sweep, failed))
        if stop:
            print(f"stopped by {stop.signal_name}; the same command goes on from there")
            return
    if failed:
        raise InputError(
            "all runs of a sweep come to their end; lines above say why some did not. "
            f"Received: {', '.join(f'{n} ({why})' for n, why in failed.items())}"
        )


def _run_all(sweep: Sweep, stop: StopRequest) -> dict[str, str]:
    """Runs what can be run; says of each run that failed why."""
    failed: dict[str, str] = {}
    for number, run in enumerate(sweep.runs, start=1):
        if run.needs in failed:
            failed[run.name] = f"needs {run.needs}"
            continue
        folder = sweep.folder / run.name
        was_done = run_folder.is_finished(folder)
        if not was_done:
            print(describe_sweep(sweep, failed))
            print(f"run {number} of {len(sweep.runs)}: {run.name}", flush=True)
        code = _run_command(_command(sweep, run), stop, quiet=was_done)
        if stop:
            break
        if code or not run_folder.is_finished(folder):
            failed[run.name] = f"exit code {code}" if code else "stopped"
            print(f"{run.name} failed: {failed[run.name]}", flush=True)
    return failed


def check_flags(sweep: Sweep) -> None:
    """Lets the commands look at the flags of each table.

    Args:
      sweep: The sweep.

    Raises:
      InputError: If a name or a value is not one that the command takes.
    """
    for table in sweep.tables:
        given = [
            f"--{name}={value}"
            for name, values in table.flags.items()
            for value in values  # a flag given twice is looked at twice
        ]
        done = subprocess.run(
            [*_module(table.command), "--only_check_args", *given],
            capture_output=True,
            text=True,
        )
        if done.returncode:
            lines = done.stderr.splitlines() or [f"exit code {done.returncode}"]
            raise InputError(
                f"{sweep.path}: [{table.title}] holds flags of {table.command}. "
                f"Received: {lines[-1].removeprefix('error: ')}"
            )


def _module(command: str) -> list[str]:
    return [sys.executable, "-m", f"models_genesis_tf.{command}"]


def _command(sweep: Sweep, run: SweepRun) -> list[str]:
    """What a user types for a run."""
    flags = run.flags | {"output_dir": sweep.folder / run.name}
    if run.command == "finetune":
        flags["cache_dir"] = sweep.folder / "prepared"
    return [
        *_module(run.command),
        *(f"--{name}={value}" for name, value in flags.items()),
    ]


def _run_command(command: list[str], stop: StopRequest, quiet: bool) -> int:
    """Runs a command in this terminal, of which `quiet` leaves it errors alone."""
    child = subprocess.Popen(command, stdout=subprocess.DEVNULL if quiet else None)
    told = False
    try:
        while True:
            try:
                return child.wait(_SECONDS_BETWEEN_LOOKS)
            except subprocess.TimeoutExpired:
                if stop and not told:
                    child.send_signal(getattr(signal, stop.signal_name))
                    told = True
    except KeyboardInterrupt:
        child.terminate()  # from the keyboard a signal reaches both, else only this one
        child.wait()
        print("the same command goes on from there", flush=True)
        raise
