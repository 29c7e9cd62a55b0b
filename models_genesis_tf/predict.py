"""Segments or classifies whole scans with a model of finetune.

How a scan becomes the model's input is read from the model's own file.

Examples:
  python -m models_genesis_tf.predict --model=model.keras --input=scan.nii.gz
  python -m models_genesis_tf.predict --model=model.keras --input=scans \\
    --output=masks --largest_component --preview
"""

from pathlib import Path

from absl import flags

from models_genesis_tf import command_line, run_flags, task_flags
from models_genesis_tf.errors import InputError

run_flags.define_model()
flags.DEFINE_boolean(
    "probabilities",
    False,
    "Write float32 probabilities instead of a mask: of the foreground, or one file for "
    "each of more than two classes.",
)
flags.DEFINE_boolean(
    "test_time_augmentation",
    False,
    "Take the mean over the flips of each window, eight of a cube; as much slower.",
)
task_flags.define_postprocessing()
flags.DEFINE_string(
    "candidates",
    None,
    "Of a classification: csv file of seriesuid, coordX, coordY, coordZ (world, mm), "
    "places that are classified instead of each scan's middle; seriesuid is the name "
    "of a scan's file or folder.",
)
flags.DEFINE_boolean("preview", False, "Draw a PNG beside each mask.")
run_flags.define_input()
run_flags.define_output()
run_flags.define_overwrite()
run_flags.define_fast_upsampling()

_OF_MASKS = ("probabilities", "largest_component", "min_size_mm3", "preview")
_AFTERWARDS = ("largest_component", "min_size_mm3")


def main() -> None:
    """Reads the flags and predicts."""
    values = flags.FLAGS
    for name in ("model", "input"):
        if not values[name].value:
            raise InputError(f"predict takes --{name}. Received: none")
    if values.probabilities:
        command_line.refuse_flags("--probabilities", _AFTERWARDS)
    from models_genesis_tf.experiments.prediction import Predictor  # loads TensorFlow

    predictor = Predictor(
        Path(values.model), values.test_time_augmentation, values.fast_upsampling
    )
    predict = _classify if predictor.facts.kind == "classification" else _segment
    for path in predict(predictor, values):
        print(path, flush=True)


def _segment(predictor, values: flags.FlagValues):
    from models_genesis_tf.experiments.predicted_masks import Options, segment_scans

    command_line.refuse_flags("a segmentation", ["candidates"])
    options = Options(
        values.probabilities,
        task_flags.postprocessing(),
        values.preview,
        values.overwrite,
    )
    return segment_scans(predictor, values.input, values.output, options)


def _classify(predictor, values: flags.FlagValues):
    from models_genesis_tf.experiments.predicted_table import classify_scans

    command_line.refuse_flags("a classification", _OF_MASKS)
    return classify_scans(
        predictor, values.input, values.output, values.candidates, values.overwrite
    )


def cli() -> None:
    """Runs the command."""
    command_line.run(main)


if __name__ == "__main__":
    cli()
