"""What the page about speed says of training steps, and of their input."""

from collections.abc import Mapping

from models_genesis_tf.benchmarks.page_figures import Bars
from models_genesis_tf.benchmarks.page_numbers import cell
from models_genesis_tf.evaluation.tables import MISSING, markdown_table


def describe_step(results: Mapping) -> str:
    """Writes what was measured of training steps.

    Args:
      results: Of the benchmark `step`.

    Returns:
      Markdown.
    """
    columns = {
        "seconds per step": "seconds_per_step",
        "first step": "first_step_seconds",
        "cubes/s": "cubes_per_second",
        "TFLOP/s": "tflops",
        "share of matrix product": "share_of_matrix_product",
        "over float32": "over_float32",
        "over official": "over_official",
    }
    rows = [
        [
            str(row.get("batch_size", MISSING)),
            _network_name(row),
            row.get("precision", MISSING),
            *(cell(row.get(key)) for key in columns.values()),
        ]
        for row in results.get("steps", ())
    ]
    parts = [markdown_table(["cubes", "network", "precision", *columns], rows)]
    parts.append("\n".join(_facts_of_step(results)))
    return "\n\n".join(parts)


def _facts_of_step(results: Mapping) -> list[str]:
    backend, device = results.get("backend"), results.get("device")
    lines = [f"Computed by {backend} on {device}."] if backend and device else []
    if "step_gflop_per_cube" in results:
        forward = cell(results.get("forward_gflop_per_cube"))
        lines.append(
            f"A cube takes {forward} GFLOP forward and "
            f"{cell(results['step_gflop_per_cube'])} in a step."
        )
    products = [
        f"{cell(product.get('tflops'))} TFLOP/s in {precision} "
        f"({product.get('size', MISSING)} rows)"
        for precision, product in results.get("matrix_product", {}).items()
    ]
    if products:
        lines.append(f"Products of square matrices: {', '.join(products)}.")
    official = results.get("official", "timed")
    if official != "timed":
        lines.append(f"The official network: {official}.")
    return lines


def _network_name(row: Mapping) -> str:
    name = row.get("network", MISSING)
    return "official (PyTorch)" if name == "official" else name


def bars_of_step(results: Mapping) -> Bars | None:
    """Picks what the figure of training steps shows.

    Args:
      results: Of the benchmark `step`.

    Returns:
      A bar for each network, precision and batch size; None without any.
    """
    rows = [row for row in results.get("steps", ()) if "seconds_per_step" in row]
    if not rows:
        return None
    several = len({row.get("batch_size") for row in rows}) > 1
    return Bars(
        "Time of a training step",
        "Seconds per step",
        tuple(_bar_name(row, several) for row in rows),
        tuple(row["seconds_per_step"] for row in rows),
        tuple(row.get("network") == "official" for row in rows),
    )


def _bar_name(row: Mapping, with_size: bool) -> str:
    parts = [row.get("precision", MISSING)]
    if row.get("network") == "official":
        parts.insert(0, _network_name(row))
    if with_size:
        parts.append(f"{row.get('batch_size', MISSING)} cubes")
    return ", ".join(parts)


def describe_input_share(step: Mapping, transforms: Mapping) -> str:
    """Derives what making the pairs would cost a GPU.

    Args:
      step: Results of the benchmark `step`.
      transforms: Results of the benchmark `transforms` on the same machine.

    Returns:
      Markdown; empty if the steps were not taken on a GPU, or a figure is missing.
    """
    made = transforms.get("pairs_per_second", {}).get("all_threads")
    rows = [
        [
            str(row.get("batch_size", MISSING)),
            row.get("precision", MISSING),
            cell(row["cubes_per_second"]),
            f"{100 * min(1.0, row['cubes_per_second'] / made):.1f} %",
            f"{100 * max(0.0, 1 - made / row['cubes_per_second']):.1f} %",
        ]
        for row in step.get("steps", ())
        if made and "cubes_per_second" in row and row.get("network") != "official"
    ]
    if step.get("device", "CPU") == "CPU" or not rows:
        return ""
    text = (
        f"Derived, not measured: the cores make {cell(made)} pairs/s (`transforms`) "
        "while the GPU\ntakes the cubes/s of `step`. The cores are busy for the one "
        "share of the time; the GPU waits\nfor the other, which is 0 while pairs are "
        "made as fast as they are taken."
    )
    header = ["cubes", "precision", "cubes/s", "cores busy", "GPU waits"]
    return f"{text}\n\n{markdown_table(header, rows)}"
