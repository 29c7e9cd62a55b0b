"""A signal is remembered, the step in hand ends, and earlier handlers come back."""

import signal
import subprocess
import sys
import threading
import time

import pytest

from models_genesis_tf.training.stopping import Stopped, StopRequest

NAMES = ("SIGTERM", "SIGUSR1")
# Counts steps; a step has a beginning and an end that belong together.
COUNTER = """
import time
from models_genesis_tf.training.stopping import Stopped, StopRequest

begun = ended = 0
with StopRequest() as stop:
    try:
        while True:
            begun += 1
            print("step", flush=True)
            time.sleep(0.05)
            ended += 1
            stop.check()
    except Stopped:
        print(stop.signal_name, begun - ended, flush=True)
"""


@pytest.fixture(autouse=True)
def handlers():
    """A handler for each signal that fails the test instead of ending the process."""

    def fail(number, frame):
        raise AssertionError(f"signal {number} was not caught")

    earlier = {name: signal.signal(getattr(signal, name), fail) for name in NAMES}
    yield fail
    for name, handler in earlier.items():
        signal.signal(getattr(signal, name), handler)


def _handlers() -> list:
    return [signal.getsignal(getattr(signal, name)) for name in NAMES]


def test_nothing_is_asked_for_at_first():
    with StopRequest() as stop:
        assert not stop
        assert stop.signal_name is None
        stop.check()


@pytest.mark.parametrize("name", NAMES)
def test_a_signal_is_remembered_and_raises_only_when_checked(name):
    with StopRequest() as stop:
        signal.raise_signal(getattr(signal, name))
        assert stop
        assert stop.signal_name == name
        for _ in range(2):
            with pytest.raises(Stopped, match=name):
                stop.check()
    assert stop.signal_name == name


@pytest.mark.parametrize("earlier", [signal.SIG_DFL, signal.SIG_IGN, print])
def test_earlier_handlers_come_back(earlier):
    signal.signal(signal.SIGTERM, earlier)
    before = _handlers()
    with StopRequest():
        assert not set(_handlers()) & set(before)
    assert _handlers() == before


def test_earlier_handlers_come_back_after_an_error(handlers):
    with pytest.raises(Stopped), StopRequest() as stop:
        signal.raise_signal(signal.SIGTERM)
        stop.check()
    assert _handlers() == [handlers, handlers]


def test_a_request_inside_another_gives_the_signals_back_to_it():
    with StopRequest() as outer:
        with StopRequest() as inner:
            signal.raise_signal(signal.SIGUSR1)
        assert inner
        assert not outer
        signal.raise_signal(signal.SIGTERM)
        assert outer.signal_name == "SIGTERM"


def test_outside_the_main_thread_nothing_is_installed(handlers):
    seen = []

    def work():
        with StopRequest() as stop:
            seen.append(_handlers())
            stop.check()
        seen.append(_handlers())

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert seen == [[handlers, handlers]] * 2


def test_a_platform_without_the_second_signal_has_the_first(handlers, monkeypatch):
    number = signal.SIGUSR1
    monkeypatch.delattr(signal, "SIGUSR1")
    with StopRequest() as stop:
        assert signal.getsignal(number) is handlers
        signal.raise_signal(signal.SIGTERM)
        assert stop.signal_name == "SIGTERM"


@pytest.mark.parametrize("name", NAMES)
def test_a_process_finishes_the_step_in_hand_and_ends_well(name):
    command = [sys.executable, "-c", COUNTER]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as counter:
        assert counter.stdout.readline() == "step\n"
        time.sleep(0.01)
        counter.send_signal(getattr(signal, name))
        lines, _ = counter.communicate(timeout=20)
    assert counter.returncode == 0
    assert lines.split("\n")[-2] == f"{name} 0"
