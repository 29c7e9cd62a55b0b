"""Scores of a finished segmentation on whole scans, beside those of patches.

Patches are cut as training cuts them, half of them around foreground, so their scores
do not count what a network finds where nothing is. Whole scans go the way that
`predict` takes, on their own grid, and are scored with and without cleaning.
"""

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from tqdm import tqdm

from models_genesis_tf.config import FinetuneConfig
from models_genesis_tf.errors import InputError
from models_genesis_tf.evaluation.segmentation_scores import SegmentationScores
from models_genesis_tf.evaluation.tables import (
    format_score,
    is_share,
    markdown_table,
    metric_title,
)
from models_genesis_tf.experiments import run_folder
from models_genesis_tf.experiments.evaluation import load_run
from models_genesis_tf.experiments.examples import Examples
from models_genesis_tf.experiments.finished_runs import read_finished
from models_genesis_tf.experiments.labelled_data import LabelledData
from models_genesis_tf.experiments.prediction import Predictor
from models_genesis_tf.experiments.scoring import (
    foreground_probability,
    make_predict,
    to_labels,
)
from models_genesis_tf.experiments.trial import cases_to_score
from models_genesis_tf.imaging.postprocessing import Postprocessing
from models_genesis_tf.models.pretrained import load_keras
from models_genesis_tf.tasks.whole_scans import group_by_scan, read_truth

_PATCHES, _WHOLE, _CLEANED = "patches", "whole scans", "whole scans, cleaned"


def evaluate_whole_scans(
    run: Path,
    folder: Path,
    split: str | None,
    data: dict,
    cache_dir: str | None,
    postprocessing: Postprocessing | None,
) -> Path:
    """Scores each trial's model on patches and on whole scans.

    Args:
      run: Folder of a run that came to its end.
      folder: Where the scores are written.
      split: "test" or "valid"; None is what the run was scored on.
      data: `manifest` or `data_dir`, if the cases moved; else they are where they were.
      cache_dir: Where prepared cases are kept; None is where the run keeps them.
      postprocessing: How masks are cleaned; None is the task's own way.

    Returns:
      Path of whole_scans.json.

    Raises:
      InputError: If the run is no segmentation, its cases are patches without their
        scans, or as `evaluation.evaluate`.
    """
    _check_segmentation(run)
    config, labelled, results = load_run(run, folder, split, data, cache_dir)
    group_by_scan(getattr(labelled.split, config.score_split))  # patches have none
    cleaning = postprocessing or labelled.task.postprocessing
    run_folder.make_folder(folder)
    trials = []
    for result in results["trials"]:
        number = result["trial"]
        model = run / f"trial_{number}" / "model.keras"
        scores = {_PATCHES: _score_patches(model, labelled, config, number)}
        for name, scored in _score_scans(
            model, labelled, config, number, cleaning
        ).items():
            stem = name.replace(", ", "_").replace(" ", "_")
            run_folder.write_rows(folder / f"trial_{number}_{stem}.csv", scored.rows)
            scores[name] = scored
        trials.append({name: _known(scored) for name, scored in scores.items()})
    about = {
        "run": str(run),
        "score_split": config.score_split,
        "synthetic": results["synthetic"],
        "postprocessing": vars(cleaning),
        "trials": trials,
    }
    run_folder.write_json(folder / "whole_scans.json", about)
    print(_table(trials, labelled.classes))
    print(f"cleaned: {_describe(cleaning)}; {config.score_split} part")
    if results["synthetic"]:
        print("synthetic data: no result of the task")
    return folder / "whole_scans.json"


def _check_segmentation(run: Path) -> None:
    """Refuses another run before its cases are prepared, which may take hours."""
    settings = read_finished(run)[0]["settings"]
    if settings["kind"] != "segmentation":
        raise InputError(
            "--whole_scans is for runs of a segmentation. "
            f"Received: --run={run} of --task={settings['task']}"
        )


def _score_patches(
    model: Path, data: LabelledData, config: FinetuneConfig, trial: int
) -> SegmentationScores:
    """Scores patches as validation draws them; each counts as a case."""
    cases = cases_to_score(data, config, trial)
    examples = Examples.of(data, cases, patches_per_case=config.patches_per_case)
    predict = make_predict(load_keras(model), config.fast_upsampling)
    scores = SegmentationScores(data.classes)
    for index, start in tqdm(
        examples.fixed_places(config.seed), _PATCHES, leave=False, disable=None
    ):
        patch, truth = examples.example_at((index, start))
        # In two dimensions examples have no axis z, which spacings have.
        truth = truth.reshape(data.patch_size)
        outputs = predict(patch.reshape(1, *data.patch_size, -1))[0]
        scores.add(
            cases[index].name,
            cases[index].patient,
            truth,
            to_labels(outputs),
            examples.cases[index].spacing_mm,
            foreground_probability(outputs),
        )
    return scores


def _score_scans(
    model: Path,
    data: LabelledData,
    config: FinetuneConfig,
    trial: int,
    cleaning: Postprocessing,
) -> dict[str, SegmentationScores]:
    """Scores stitched predictions as they are and cleaned."""
    predictor = Predictor(model, fast_upsampling=config.fast_upsampling)
    scores = {name: SegmentationScores(data.classes) for name in (_WHOLE, _CLEANED)}
    scans = group_by_scan(cases_to_score(data, config, trial))
    for name, cases in tqdm(scans.items(), _WHOLE, leave=False, disable=None):
        first = cases[0]
        arrays = predictor.read(first.images)
        labels, _ = predictor.segment(arrays, name)
        truth = read_truth(cases, arrays.source, data.preparation.label_values)
        masks = (labels, cleaning.apply(labels, arrays.spacing))
        for scored, mask in zip(scores.values(), masks, strict=True):
            scored.add(name, first.patient, truth, mask, arrays.spacing)
    return scores


def _known(scored: SegmentationScores) -> dict[str, float | None]:
    """Scores as JSON has them, which knows no number for what is none."""
    values, _ = scored.summary()
    return {k: v if math.isfinite(v) else None for k, v in values.items()}


def _table(trials: list[dict], classes: Sequence[str]) -> str:
    """One row for each metric, one column for each way of scoring."""
    ways = list(trials[0])
    metrics = list(dict.fromkeys(metric for way in ways for metric in trials[0][way]))
    if len(classes) == 2:  # a mean over one class says what that class says
        metrics = [name for name in metrics if not name.endswith("_mean")]
    rows = [
        [metric_title(metric), *(_cell(trials, way, metric) for way in ways)]
        for metric in metrics
    ]
    return markdown_table(["", *ways], rows)


def _cell(trials: list[dict], way: str, metric: str) -> str:
    values = [trial[way].get(metric) for trial in trials]
    if None in values:
        return format_score(None, None, percent=False)
    spread = float(np.std(values, ddof=1)) if len(values) > 1 else None
    return format_score(float(np.mean(values)), spread, is_share(metric))


def _describe(cleaning: Postprocessing) -> str:
    parts = []
    if cleaning.min_size_mm3:
        parts.append(f"pieces of {cleaning.min_size_mm3:.1f} mm^3 or more stay")
    if cleaning.largest_component:
        parts.append("the largest piece of each class stays")
    return ", then ".join(parts) or "in no way"
