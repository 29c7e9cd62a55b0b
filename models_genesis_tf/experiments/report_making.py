"""What a report says of how its runs were made: commands, time, versions, weights."""

from collections.abc import Iterator, Sequence
from pathlib import Path

from models_genesis_tf.evaluation.tables import MISSING, markdown_table
from models_genesis_tf.experiments import run_folder
from models_genesis_tf.experiments.run_results import RunScores
from models_genesis_tf.models.weight_names import record_path


def describe_making(runs: Sequence[RunScores]) -> str:
    """Says how runs were made, for who wants to make them again.

    Args:
      runs: Those that a report is of; the file of their sweep lies beside them.

    Returns:
      Markdown: time, devices and versions; a table of the pre-trainings whose records
      lie beside their weights; the file of each sweep.
    """
    records = [run_folder.read_record(run.folder) for run in runs]
    results = [run_folder.read_json(run.folder / "results.json") for run in runs]
    parts = [_describe_training(records, results)]
    if table := _pretraining_table(results):
        parts.append(table)
    for path in dict.fromkeys(run.folder.parent for run in runs):
        if (path / "sweep.toml").is_file():
            parts += _describe_sweep(path)
    return "\n\n".join(parts)


def _describe_training(records: Sequence[dict], results: Sequence[dict]) -> str:
    trials = [trial for result in results for trial in result["trials"]]
    seconds = sum(trial.get("training", {}).get("wall_seconds", 0) for trial in trials)
    lines = [
        f"{len(records)} runs, {len(trials)} trials, {seconds / 3600:.1f} hours of "
        "training in sum.",
        _values("Devices", records, "devices"),
        _values("Processors", records, "processor"),
        _values("Precision", records, "precision"),
        _values("Commits", records, "git_commit"),
        _versions(records),
    ]
    return "\n".join(f"- {line}" for line in lines if line)


def _values(title: str, records: Sequence[dict], name: str) -> str:
    found = sorted({str(record[name]) for record in records if record.get(name)})
    return f"{title}: {', '.join(found)}." if found else ""


def _versions(records: Sequence[dict]) -> str:
    found = {
        ", ".join(f"{name} {version}" for name, version in record["packages"].items())
        for record in records
        if record.get("packages")
    }
    return f"Versions: {'; or '.join(sorted(found))}." if found else ""


def _pretraining_table(results: Sequence[dict]) -> str:
    """What is known of the weights that runs start from."""
    started = {
        weights["sha256"]: (weights, result["weights"])
        for result in results
        if (weights := result["pretraining"])
    }
    rows = [
        _pretraining_row(weights, run_folder.read_json(record_path(path)))
        for weights, path in sorted(started.values(), key=lambda one: one[1])
    ]
    header = (
        *("Pre-training", "Scheme", "Seed", "Cubes", "Steps", "Hours"),
        *("val_loss", "constant", "unchanged", "SHA-256"),
    )
    return markdown_table(header, rows) if rows else ""


def _pretraining_row(weights: dict, record: dict) -> list[str]:
    baselines = record.get("baselines", {})
    numbers = [
        record.get("best_val_loss"),
        baselines.get("constant"),
        baselines.get("unchanged"),
    ]
    seconds = record.get("wall_seconds")
    return [
        weights["name"],
        weights["scheme"] or MISSING,
        MISSING if weights.get("seed") is None else str(weights["seed"]),
        str(record["cubes"]["train"]) if "cubes" in record else MISSING,
        str(record.get("steps", MISSING)),
        MISSING if seconds is None else f"{seconds / 3600:.2f}",
        *(MISSING if value is None else f"{value:.5f}" for value in numbers),
        weights["sha256"][:12],
    ]


def _describe_sweep(path: Path) -> Iterator[str]:
    yield f"The file of the sweep `{path.name}`, done by `finetune --sweep`:"
    text = (path / "sweep.toml").read_text(encoding="utf-8").strip()
    yield f"```toml\n{text}\n```"
