"""What the page about speed says of each benchmark: a sentence, tables, bars.

Fields that a file lacks, as those of an earlier version, are left out.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from models_genesis_tf.benchmarks.page_figures import Bars
from models_genesis_tf.benchmarks.page_numbers import cell, ratio
from models_genesis_tf.benchmarks.page_step import bars_of_step, describe_step
from models_genesis_tf.evaluation.tables import MISSING, markdown_table

_PARTS_OF_PREDICTION = {
    "read": "reading the scan",
    "network": "the network alone",
    "segment": "segmenting: the network, its windows and blending",
    "write": "writing the mask",
    "all": "all",
}
_PARTS_OF_EXTRACTION = {
    "read": "SimpleITK reads the scan",
    "read_and_extract": "this package reads it and cuts cubes",
    "official": "the official script reads it and cuts cubes",
}
_WAYS_OF_INPUT = {
    "official": "official generator",
    "one_thread": "one thread",
    "all_threads": "a thread for each core",
    "tf_data": "tf.data, as training",
}


@dataclass(frozen=True)
class Section:
    """Of one benchmark.

    Attributes:
      title: Of the section.
      text: What is measured.
      describe: Makes Markdown of a file's results.
      bars: Makes the bars of a figure of them, None where they have nothing to show;
        or None.
    """

    title: str
    text: str
    describe: Callable[[Mapping], str]
    bars: Callable[[Mapping], Bars | None] | None = None


def _describe_input(results: Mapping) -> str:
    rates = results.get("pairs_per_second", {})
    rows = [
        [
            title,
            cell(rates[way]),
            cell(ratio(rates[way], rates.get("one_thread"))),
            cell(ratio(rates[way], rates.get("official"))),
        ]
        for way, title in _WAYS_OF_INPUT.items()
        if way in rates
    ]
    header = ["way", "pairs/s", "over one thread", "over official"]
    return markdown_table(header, rows)


def _bars_of_input(results: Mapping) -> Bars | None:
    rates = results.get("pairs_per_second", {})
    ways = [way for way in _WAYS_OF_INPUT if way in rates]
    if not ways:
        return None
    return Bars(
        "Pairs of cubes of 64x64x32 voxels",
        "Pairs per second",
        tuple(_WAYS_OF_INPUT[way] for way in ways),
        tuple(rates[way] for way in ways),
        tuple(way == "official" for way in ways),
    )


def _describe_transforms(results: Mapping) -> str:
    ours, theirs = (
        results.get(key, {}) for key in ("milliseconds", "official_milliseconds")
    )
    rows = [
        [
            name,
            cell(value),
            cell(theirs.get(name)),
            cell(ratio(theirs.get(name), value)),
        ]
        for name, value in ours.items()
    ]
    parts = [markdown_table(["transform", "ms", "official ms", "official/ours"], rows)]
    rates, facts = results.get("pairs_per_second", {}), []
    if {"one_thread", "all_threads"} <= rates.keys():
        facts.append(
            f"{cell(rates['one_thread'])} pairs/s in one thread, "
            f"{cell(rates['all_threads'])} with a thread for each core."
        )
    if "import_seconds" in results:
        facts.append(f"Importing them takes {cell(results['import_seconds'])} s.")
    return "\n\n".join([*parts, *(["\n".join(facts)] if facts else [])])


def _describe_extract(results: Mapping) -> str:
    seconds, peaks = results.get("seconds", {}), results.get("peak_mib", {})
    counts = results.get("cubes", {})
    rows = [
        [
            title,
            cell(seconds[part]),
            cell(ratio(seconds[part], seconds.get("read_and_extract"))),
            cell(peaks.get(part)),
            str(counts.get(part, MISSING)),
        ]
        for part, title in _PARTS_OF_EXTRACTION.items()
        if part in seconds
    ]
    header = ["work", "seconds", "over ours", "peak MiB", "cubes"]
    lines = [_scan_size(results)]
    if "official" in seconds:
        lines.append(
            "Both draw places by the same rule until they have the cubes; what they "
            "draw differs."
        )
    return f"{markdown_table(header, rows)}\n\n" + "\n".join(filter(None, lines))


def _describe_predict(results: Mapping) -> str:
    seconds = results.get("seconds", {})
    rows = [
        [
            title,
            cell(seconds[part]),
            cell(ratio(seconds[part], seconds.get("network"))),
        ]
        for part, title in _PARTS_OF_PREDICTION.items()
        if part in seconds
    ]
    table = markdown_table(["work", "seconds", "over the network"], rows)
    lines = [_scan_size(results)]
    if "windows" in results:
        sides = _sides(results.get("patch_size", ()))
        lines.append(f"{results['windows']} windows of {sides} voxels.")
    if "voxels_per_second" in results:
        lines.append(f"{cell(results['voxels_per_second'])} voxels of the scan/s.")
    if "peak_mib" in results:
        lines.append(f"Peak of memory: {cell(results['peak_mib'])} MiB.")
    return f"{table}\n\n" + "\n".join(line for line in lines if line)


def _scan_size(results: Mapping) -> str:
    if "size" not in results:
        return ""
    held = results.get("float32_mib")
    in_memory = f", {cell(held)} MiB in float32" if held else ""
    return f"The scan has {_sides(results['size'])} voxels{in_memory}."


def _sides(size: Sequence[int]) -> str:
    return "x".join(map(str, size)) or MISSING


SECTIONS = {
    "step": Section(
        "Training step",
        "A step of the U-Net on a batch in memory: forward, backward and the update of "
        "the weights.\nOperations are counted from the layers as they are written; the "
        "faster decoder\n(`--fast_upsampling`) gets by with fewer, so its share of the "
        "rate of large matrix\nproducts in the same precision can be above 1.",
        describe_step,
        bars_of_step,
    ),
    "input": Section(
        "Input",
        "Pairs of a transformed cube and its original, in batches of 6, as training "
        "takes them.",
        _describe_input,
        _bars_of_input,
    ),
    "transforms": Section(
        "Transforms",
        "Each transform alone on one cube of 64x64x32 voxels in one thread, and all of "
        "them as a pair.",
        _describe_transforms,
    ),
    "extract": Section(
        "Extraction",
        "Cubes of 64x64x32 voxels cut from one scan, from its file to theirs, each in "
        "a process of its\nown. The peak is memory above what imported libraries take.",
        _describe_extract,
    ),
    "predict": Section(
        "Prediction",
        "A whole scan by overlapping windows in float32, from its file to that of its "
        "mask. Without\nloading the model.",
        _describe_predict,
    ),
}
