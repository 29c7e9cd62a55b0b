"""What a pre-training run says on the terminal before and after."""


def table(rows: dict[str, str]) -> str:
    """Lays out names and values in two columns.

    Args:
      rows: Name -> value.

    Returns:
      Lines of text.
    """
    width = max(map(len, rows)) + 2
    return "\n".join(f"{name:{width}}{value}" for name, value in rows.items())


def duration(seconds: float) -> str:
    """Writes a time as people say it.

    Args:
      seconds: From 0.

    Returns:
      For instance "8.2 s", "2 min 30 s", "5 h 12 min" or "3 d 4 h".
    """
    if seconds < 60:
        return f"{seconds:.1f} s"
    for unit, smaller, size in (("d", "h", 86400), ("h", "min", 3600)):
        if seconds >= size:
            count = int(seconds // size)
            rest = (seconds - count * size) * (24 if unit == "d" else 60) / size
            return f"{count} {unit} {int(rest)} {smaller}"
    return f"{int(seconds // 60)} min {int(seconds % 60)} s"


def quantity(size: float) -> str:
    """Writes a number of bytes.

    Args:
      size: In bytes.

    Returns:
      In MiB or GiB.
    """
    if size < 2**30:
        return f"{size / 2**20:.0f} MiB"
    return f"{size / 2**30:.1f} GiB"


def describe_end(record: dict, what: str = "cube") -> str:
    """Says how a run went.

    Args:
      record: What run.json holds.
      what: An example of the run.

    Returns:
      Lines of text.
    """
    losses = record["baselines"]
    return table(
        {
            "trained": f"{record['epochs']} epochs, {record['steps']} steps in "
            + duration(record["wall_seconds"]),
            "best val_loss": f"{record['best_val_loss']:.5f} (a constant {what} "
            f"{losses['constant']:.5f}, the deformed {what} "
            f"{losses['unchanged']:.5f})",
            "throughput": f"{record['examples_per_second']:g} {what}s/s, "
            f"{100 * record['input_wait_share']:.0f} % of training waits for input",
        }
    )
