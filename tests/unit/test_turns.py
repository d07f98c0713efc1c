"""What is done once for all of a turn of the event loop."""

import subprocess
import sys

from app.turns import AtTurnsEnd, is_gevent_patched

UNDER_GEVENT = """
from gevent.monkey import patch_all
patch_all()
import gevent
from app.turns import AtTurnsEnd
calls = []
written = AtTurnsEnd(lambda: calls.append(None))
def work():
    written.ask()
    assert not calls
gevent.joinall([gevent.spawn(work) for _ in range(50)], raise_error=True)
gevent.sleep(0)
print(len(calls))
written.ask()
gevent.sleep(0)
print(len(calls))
"""


def test_without_an_event_loop_it_is_done_at_once() -> None:
    calls: list[None] = []
    written = AtTurnsEnd(lambda: calls.append(None))
    assert not is_gevent_patched()
    written.ask()
    written.ask()
    assert len(calls) == 2


def test_under_gevent_it_is_done_once_for_all_of_a_turn() -> None:
    ran = subprocess.run([sys.executable, "-c", UNDER_GEVENT], capture_output=True, text=True, timeout=60)
    assert ran.stdout.split() == ["1", "2"], ran.stderr
