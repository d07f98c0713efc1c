"""What gunicorn.conf.py does once the application is loaded, in a process of its own."""

import subprocess
import sys

_MEASURE = """
import gc, runpy, time
configuration = runpy.run_path("gunicorn.conf.py")
loaded = [[] for _ in range(300_000)]
def full_collection():
    since = time.process_time()
    gc.collect()
    return time.process_time() - since
before = min(full_collection() for _ in range(3))
configuration["spare_what_is_loaded"]()
after = min(full_collection() for _ in range(3))
print(before > 5 * after, gc.get_freeze_count() > 300_000, gc.get_threshold()[0] > 700)
"""


def test_a_full_collection_passes_over_what_was_loaded() -> None:
    told = subprocess.run([sys.executable, "-c", _MEASURE], capture_output=True, text=True, check=True, timeout=60)
    assert told.stdout.split() == ["True", "True", "True"]
