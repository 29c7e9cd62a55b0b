"""Scans to files of cubes or slices: every fold in turn, its scans side by side.

A fold that is complete is not done again, an unfinished one leaves no file behind, and
every scan's draws depend on its own name only, so that shards, restarts and the number
of workers change nothing.
"""

import collections
import concurrent.futures
import contextlib
import csv
import dataclasses
import functools
import itertools
import json
import multiprocessing
import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from tqdm import tqdm

from models_genesis_tf.config import ALL_SCANS, CubeConfig, ScanChoice
from models_genesis_tf.errors import InputError
from models_genesis_tf.experiments.run_folder import make_folder, write_json
from models_genesis_tf.experiments.scan_folders import Scan, find_scans, held_out
from models_genesis_tf.imaging import (
    cube_files,
    cube_sampling,
    fingerprints,
    fold_writer,
    images,
    resampling,
    volumes,
)
from models_genesis_tf.phantoms.marker import pass_on


def extract_cubes(
    data_dir: str | Path,
    output_dir: str | Path,
    config: CubeConfig,
    choice: ScanChoice = ALL_SCANS,
    folds: Sequence[int] | None = None,
    shard: tuple[int, int] = (0, 1),
    num_workers: int = 0,
) -> list[Path]:
    """Cuts cubes, or takes axial slices, from all scans of a folder.

    Args:
      data_dir: Folder of scans, in LUNA16's layout or any other; where slices are
        taken, of pictures too.
      output_dir: Folder to write cube files, `cubes.json` and `skipped.csv` to, and
        the marker of phantoms if there are some among the scans.
      config: What to cut.
      choice: The scans that are taken.
      folds: Numbers of the folds to do; None does all.
      shard: (k, n): do every n-th fold, beginning with the k-th.
      num_workers: Scans read at the same time; 0 is one per core.

    Returns:
      The cube files of the folds asked for, sorted by fold.

    Raises:
      InputError: If there is no scan, none gives a cube, or the output folder holds
        cubes cut with other settings.
    """
    scans = find_scans(data_dir, choice, config.takes_slices)
    output_dir = make_folder(output_dir)
    settings = dataclasses.asdict(config)
    settings |= {"data_dir": Path(data_dir).resolve().name}
    settings |= {"include": choice.include, "exclude": choice.exclude}
    settings |= {"manifest": choice.manifest and fingerprints.sha256(choice.manifest)}
    chosen = {
        output_dir
        / fold_writer.fold_name(config.cubes_per_volume, config.cube_size, fold): scans
        for fold, scans in _choose_folds(scans, folds, shard).items()
    }
    _check_settings(output_dir, settings, shard)
    # Before the first cube: those of an interrupted run are synthetic, too.
    pass_on((scan.path for scan in scans), output_dir)
    pending = {path: scans for path, scans in chosen.items() if not path.is_file()}
    report = _skipped_path(output_dir, shard)
    todo = [scan for scans in pending.values() for scan in scans]
    skipped = _read_skipped([report])
    for scan in todo:  # tried again
        skipped.pop(scan.source, None)
    _print_held_out(data_dir, scans)
    _print_finished(output_dir, chosen, pending)
    notices: collections.Counter[str] = collections.Counter()
    with contextlib.closing(_sample_all(todo, config, num_workers)) as results:
        for path, scans in pending.items():
            skipped |= _write_fold(path, scans, results, config, notices)
            _write_skipped(report, skipped)
    for notice, count in sorted(notices.items()):
        print(f"{count} scan{'s' * (count > 1)}: {notice}")
    if skipped:
        print(f"{len(skipped)} skipped, see {report}")
    files = [path for path in chosen if path.is_file()]
    if chosen and not files:
        source = todo[0].source
        raise InputError(
            f"no scan of {data_dir} gave a {_what(config)[:-1]}. "
            f"Received: {source}: {skipped[source]}"
        )
    return files


def _choose_folds(
    scans: list[Scan], folds: Sequence[int] | None, shard: tuple[int, int]
) -> dict[int, list[Scan]]:
    by_fold = collections.defaultdict(list)
    for scan in scans:
        by_fold[scan.fold].append(scan)
    if folds is not None and not set(folds) <= set(by_fold):
        present = ",".join(str(fold) for fold in sorted(by_fold))
        raise InputError(
            f"--folds names folds that are there, here {present}. "
            f"Received: --folds={','.join(str(fold) for fold in folds)}"
        )
    wanted = sorted(by_fold if folds is None else set(folds))
    return {fold: by_fold[fold] for fold in wanted[shard[0] :: shard[1]]}


def _check_settings(output_dir: Path, settings: dict, shard: tuple[int, int]) -> None:
    """Cubes of one folder are cut with one setting, which lies beside them."""
    settings = json.loads(json.dumps(settings))
    path = output_dir / cube_files.SETTINGS
    if path.is_file():
        found = json.loads(path.read_text(encoding="utf-8"))
        differing = [key for key in settings if found.get(key) != settings[key]]
        if differing:
            raise InputError(
                f"a folder holds cubes of one setting; {output_dir} holds "
                f"{_pairs(found, differing)}. Received: {_pairs(settings, differing)}; "
                "choose another --output_dir"
            )
        return
    # Shards start at the same time: each writes under a name of its own first.
    part = output_dir / f".cubes_{shard[0]}of{shard[1]}.json"
    write_json(part, settings)
    os.replace(part, path)


def _pairs(settings: dict, keys: list[str]) -> str:
    return ", ".join(f"{key}={settings.get(key)}" for key in keys)


def _print_held_out(data_dir: str | Path, scans: list[Scan]) -> None:
    """Says that pictures are kept for tests, where there are pictures."""
    count = len(held_out(data_dir)) if any(scan.picture for scan in scans) else 0
    if count:
        print(f"test_list.txt names {count} picture{'s' * (count > 1)}, left out")


def _print_finished(
    output_dir: Path, chosen: dict[Path, list[Scan]], pending: dict[Path, list[Scan]]
) -> None:
    """Says which folds are complete, and what was added to the data since."""
    finished = {path: scans for path, scans in chosen.items() if path not in pending}
    if not finished:
        return
    print(f"{len(finished)} of {len(chosen)} cube files are complete already")
    skipped = _read_skipped(output_dir.glob("skipped*.csv"))
    for path, scans in finished.items():
        known = skipped.keys() | cube_files.sources_of(path)
        added = [scan.source for scan in scans if scan.source not in known]
        if added:
            print(
                f"{path.name} is older than {len(added)} of its scans, such as "
                f"{added[0]}, which stay out; remove it to cut it anew"
            )


def _write_fold(
    path: Path,
    scans: list[Scan],
    results: Iterator[cube_sampling.Sample | str],
    config: CubeConfig,
    notices: collections.Counter,
) -> dict[str, str]:
    """Writes one fold; gives the scans skipped with their reasons."""
    skipped = {}
    with fold_writer.FoldWriter(path, config.cube_size) as writer:
        for scan, sample in zip(
            scans, itertools.islice(results, len(scans)), strict=True
        ):
            if isinstance(sample, str):
                skipped[scan.source] = sample
                continue
            dataset = "luna16" if scan.luna16 else "other"
            places = zip(sample.starts.tolist(), sample.tissue.tolist(), strict=True)
            rows = [
                (scan.source, *start, *sample.spacing, f"{tissue:.4f}", dataset)
                for start, tissue in places
            ]
            writer.add(sample.cubes, rows)
            notices[f"rule {sample.rule}, window {sample.window}"] += 1
            if sample.notice:
                notices[sample.notice] += 1
            wanted = 1 if scan.picture else config.cubes_per_volume
            if len(rows) < wanted:
                notices[f"fewer {_what(config)} than {wanted} were found"] += 1
    return skipped


def _what(config: CubeConfig) -> str:
    return "slices" if config.takes_slices else "cubes"


def _sample_all(
    scans: list[Scan], config: CubeConfig, num_workers: int
) -> Iterator[cube_sampling.Sample | str]:
    """Cubes of every scan in order, or the reason why there are none."""
    workers = min(num_workers or _num_cores(), len(scans))
    sample = functools.partial(_sample_scan, config)
    bar = tqdm(total=len(scans), desc=_what(config), unit="scan", disable=None)
    with bar, contextlib.ExitStack() as stack:
        if workers <= 1:
            results = map(sample, scans)
        else:
            # SimpleITK holds the interpreter's lock while it reads, so threads would
            # wait for each other. Processes start afresh: forked ones can inherit a
            # lock that is taken.
            context = multiprocessing.get_context("spawn")
            pool = concurrent.futures.ProcessPoolExecutor(workers, mp_context=context)
            results = _in_order(stack.enter_context(pool), sample, scans, 2 * workers)
            stack.enter_context(contextlib.closing(results))
        try:
            for result in results:
                bar.update()
                yield result
        except concurrent.futures.BrokenExecutor as error:
            raise InputError(
                "every worker has to hold a scan in memory, and one was killed; "
                f"--num_workers sets how many there are. Received: {workers} workers"
            ) from error


def _num_cores() -> int:
    """Cores that this process may use: fewer than the machine has, in a batch job."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _in_order(pool, function, items: Iterable, ahead: int) -> Iterator:
    """Maps over a pool; results that nobody has taken yet do not pile up."""
    waiting = collections.deque()
    try:
        for item in items:
            waiting.append(pool.submit(function, item))
            if len(waiting) > ahead:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        for future in waiting:
            future.cancel()


def _sample_scan(config: CubeConfig, scan: Scan) -> cube_sampling.Sample | str:
    try:
        read = images.read_image2d if scan.picture else volumes.read_volume
        volume = read(scan.path)
        if config.spacing is not None:
            volume = resampling.resample_volume(volume, config.spacing)
        return cube_sampling.sample_cubes(volume, config, scan.source, scan.luna16)
    except (InputError, OSError, MemoryError) as error:
        return " ".join(str(error).split()) or type(error).__name__


def _skipped_path(output_dir: Path, shard: tuple[int, int]) -> Path:
    name = "skipped.csv" if shard[1] == 1 else f"skipped_{shard[0]}of{shard[1]}.csv"
    return output_dir / name


def _read_skipped(reports: Iterable[Path]) -> dict[str, str]:
    """What earlier runs skipped: sources and reasons."""
    skipped = {}
    for path in reports:
        if path.is_file():
            with path.open(newline="", encoding="utf-8") as stream:
                rows = csv.DictReader(stream)
                skipped |= {row["source"]: row["reason"] for row in rows}
    return skipped


def _write_skipped(path: Path, skipped: dict[str, str]) -> None:
    part = path.with_name(f".{path.name}.part")
    with part.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(("source", "reason"))
        writer.writerows(sorted(skipped.items()))
    os.replace(part, path)
