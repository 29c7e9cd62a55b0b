"""Being asked to stop: signals that end a training run between two steps."""

import signal
import threading

_SIGNAL_NAMES = ("SIGTERM", "SIGUSR1")


class Stopped(Exception):
    """A signal asked for the end; it is raised between two steps, never inside one."""


class StopRequest:
    """Remembers that a signal asked for the end.

    Clusters announce the end of a job by SIGTERM or SIGUSR1 and kill it some seconds
    later. The handler only remembers, it never raises: an exception could come at any
    line, between the updates of two variables or inside the writing of a file. The
    step in hand is finished first, then a checkpoint is written.

    Use as a context manager: the earlier handlers are put back on leaving. Outside
    the main thread, where Python lets nobody install a handler, nothing is installed.

    Attributes:
      signal_name: "SIGTERM" or "SIGUSR1" once received, before that None.
    """

    def __init__(self):
        self.signal_name: str | None = None
        self._earlier = {}

    def __enter__(self) -> "StopRequest":
        if threading.current_thread() is threading.main_thread():
            for name in _SIGNAL_NAMES:
                if hasattr(signal, name):  # Windows has no SIGUSR1
                    number = getattr(signal, name)
                    self._earlier[number] = signal.signal(number, self._remember)
        return self

    def __exit__(self, kind, error, traceback) -> None:
        for number, handler in self._earlier.items():
            signal.signal(number, handler)
        self._earlier = {}

    def __bool__(self) -> bool:
        return self.signal_name is not None

    def check(self) -> None:
        """Ends the run if that was asked for; called between two steps.

        Raises:
          Stopped: If a signal was received.
        """
        if self:
            raise Stopped(f"{self.signal_name} asked for the end")

    def _remember(self, number: int, frame) -> None:
        self.signal_name = signal.Signals(number).name
