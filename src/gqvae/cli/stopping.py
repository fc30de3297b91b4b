"""Ctrl-C and SIGTERM as one exception, so that both unwind, tell what to do next and leave nothing half done."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

_SIGNALS: dict[int, Any] = {signal.SIGINT: signal.default_int_handler, signal.SIGTERM: signal.SIG_DFL}


class Stopped(BaseException):
    """The process was asked to stop. No `Exception`, so that no cleaning up on the way takes it for a failure."""

    def __init__(self, number: int) -> None:
        super().__init__(f"stopped by {signal.Signals(number).name}")
        self.signal = number
        self.next_step = ""

    def __str__(self) -> str:
        return f"{super().__str__()}{self.next_step}"


@contextmanager
def stoppable() -> Iterator[None]:
    """Raise `Stopped` in the block when the process is asked to stop, unless it was started to ignore that."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    ours = [number for number, usual in _SIGNALS.items() if signal.getsignal(number) == usual]
    for number in ours:
        signal.signal(number, _stop)
    try:
        yield
    finally:
        for number in ours:
            signal.signal(number, _SIGNALS[number])


@contextmanager
def advising(next_step: str) -> Iterator[None]:
    """Have the message of a `Stopped` in this block say what to do next."""
    try:
        yield
    except Stopped as stopped:
        stopped.next_step = f"; {next_step}"
        raise


def _stop(number: int, frame: FrameType | None) -> None:
    raise Stopped(number)
