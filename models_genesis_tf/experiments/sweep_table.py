"""Where a sweep stands: which runs are done, and how long the others will take."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from statistics import fmean

from models_genesis_tf.config import FinetuneConfig
from models_genesis_tf.experiments import run_folder
from models_genesis_tf.experiments.run_summary import duration, table
from models_genesis_tf.experiments.sweep_file import Sweep, SweepRun

_DEFAULT = FinetuneConfig()
_STATE_WIDTH = 24


@dataclass(frozen=True)
class Standing:
    """How far a run has come.

    Attributes:
      run: The run.
      state: For people: "done", "to do", or how much of it is done.
      left: How many of its trials are to be done; a pre-training counts as one.
      seconds: What the training took of each that is done.
    """

    run: SweepRun
    state: str
    left: int
    seconds: tuple[float, ...]

    @property
    def fraction(self) -> float:
        """Share of the training cases used, in (0, 1], with which the time grows."""
        return float(self.run.flags.get("train_fraction", _DEFAULT.train_fraction))


def describe_sweep(sweep: Sweep, failed: Collection[str] = ()) -> str:
    """Draws up what is done, what remains, and about how long that takes.

    Args:
      sweep: The sweep.
      failed: Names of runs that are not tried again.

    Returns:
      Lines of text: one for each run, and the sum.
    """
    standings = [read_standing(sweep, run) for run in sweep.runs]
    rows = {"run": f"{'state':{_STATE_WIDTH}}estimate"}
    waiting = []
    for one in standings:
        rows[one.run.name] = "failed" if one.run.name in failed else one.state
        if rows[one.run.name] not in ("failed", "done"):
            seconds = estimate_seconds(one, standings)
            waiting.append((one.run.command, seconds))
            text = "unknown" if seconds is None else duration(seconds)
            rows[one.run.name] = f"{one.state:{_STATE_WIDTH}}{text}"
    if not waiting:
        rest = "nothing remains but what failed" if failed else "nothing remains"
    else:
        rest = _describe_sum(waiting)
    return f"{table(rows)}\n{rest}"


def _describe_sum(waiting: Sequence[tuple[str, float | None]]) -> str:
    """Adds up what is left of runs, given by command and seconds."""
    unknown = [command for command, seconds in waiting if seconds is None]
    if unknown:
        first = "trial" if "finetune" in unknown else "pre-training"
        return f"the time that remains is unknown until the first {first} ends"
    return f"about {duration(sum(seconds for _, seconds in waiting))} remain"


def read_standing(sweep: Sweep, run: SweepRun) -> Standing:
    """Reads how far a run has come.

    Args:
      sweep: The sweep.
      run: One of its runs; its folder may be missing.

    Returns:
      What its folder says.
    """
    folder = sweep.folder / run.name
    record = run_folder.read_record(folder)
    done = record.get("finished", False)
    if run.command == "pretrain":
        seconds = (record["wall_seconds"],) if done else ()
        begun, left = "begun", 1 - len(seconds)
    else:
        trials = int(run.flags.get("trials", _DEFAULT.trials))
        results = (
            run_folder.read_json(folder / f"trial_{number}" / "result.json")
            for number in range(trials)
        )
        seconds = tuple(one["training"]["wall_seconds"] for one in results if one)
        begun, left = f"begun, {len(seconds)} of {trials} trials", trials - len(seconds)
    state = "done" if done else begun if record else "to do"
    return Standing(run, state, left, seconds)


def estimate_seconds(one: Standing, standings: Sequence[Standing]) -> float | None:
    """Guesses how long the rest of a run takes, from what others took.

    Pre-training is compared with pre-training; trials with those of the same task, or
    of any if there are none, each by the share of the cases that it trains on.

    Args:
      one: How far the run has come.
      standings: The same of all runs, this one among them.

    Returns:
      Seconds, or None as long as there is nothing to compare with.
    """
    alike = [other for other in standings if other.run.command == one.run.command]
    same_task = [other for other in alike if other.run.task == one.run.task]
    for others in (same_task, alike):
        whole = [time / other.fraction for other in others for time in other.seconds]
        if whole:
            return fmean(whole) * one.fraction * one.left
    return None
