"""`python -m worker` as it is run: as a process that is started, told to stop, and killed."""

import itertools
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from app.domain.ids import shard_of_event
from app.wiring import Wiring
from dev.kafka import Kafka
from dev.redis import Redis
from dev.worker import Worker
from tests.integration.worker.conftest import wait_until
from tests.support.figures import figures
from tests.support.seats import Sale, reopen
from tests.support.servers import environment
from tests.support.without_kafka import carry

Start = Callable[..., Worker]
_numbers = itertools.count(1)


@pytest.fixture
def start(session_directory: Path, shop: Wiring, database: str, redis_server: Redis, kafka: Kafka) -> Iterator[Start]:
    """Starts a worker process on the shop: `start()` all loops, `start("relay", KAFKA_BOOTSTRAP_SERVERS="")`."""
    started: list[Worker] = []

    def start(*loops: str, **settings: str) -> Worker:
        common = {
            "APP_ENV": "development",
            "DATABASE_URL": database,
            "REDIS_URL": redis_server.url,
            "KAFKA_BOOTSTRAP_SERVERS": kafka.bootstrap_servers,
            "AUTH_MODE": "gateway",
            "ADMIN_TOKEN": "admin-token-of-the-tests",
        }
        worker = Worker(session_directory / f"worker-{next(_numbers)}", environment(**(common | settings)), loops)
        worker.start()
        started.append(worker)
        return worker

    yield start
    for worker in started:
        worker.stop()


def stop(worker: Worker) -> tuple[int | None, float]:
    """Its exit status, and the seconds that it took to end."""
    assert worker.pid is not None
    process = psutil.Process(worker.pid)
    began = time.monotonic()
    process.terminate()
    assert worker._child is not None
    return worker._child.wait(10), time.monotonic() - began


def says(worker: Worker, text: str) -> bool:
    return text in worker.log.read_text()


def recorded(sale: Sale) -> int:
    ((count,),) = sale.rows("SELECT count(*) FROM booking.bookings WHERE event_id = %s", sale.event_id)
    return int(count)


def test_a_reservation_is_recorded_and_a_worker_told_to_stop_ends_well_within_five_seconds(
    sale: Sale, start: Start
) -> None:
    worker = start()
    sale.reserve("ann")
    wait_until(lambda: recorded(sale) == 1)
    status, seconds = stop(worker)
    assert status == 0
    assert seconds < 5
    assert "Traceback" not in worker.log.read_text()


def test_a_killed_worker_is_succeeded_by_the_next_and_nothing_is_lost(sale: Sale, start: Start) -> None:
    first = start()
    sale.reserve("user-0")
    wait_until(lambda: recorded(sale) == 1)
    for n in range(1, 5):
        sale.reserve(f"user-{n}")
    first.kill()
    sale.reserve("user-5")
    start()
    # The group waits for the session of the dead before its partitions go to the living.
    wait_until(lambda: recorded(sale) == 6, 30)


@pytest.mark.parametrize("wanted", [10, 0])
def test_it_stands_back_for_others_on_its_machine_with_all_its_threads(sale: Sale, start: Start, wanted: int) -> None:
    worker = start(WORKER_NICE=str(wanted))
    wait_until(lambda: says(worker, "worker runs"))
    assert worker.pid is not None
    ours = os.getpriority(os.PRIO_PROCESS, 0)  # it never puts itself before whoever starts it
    threads = [thread.id for thread in psutil.Process(worker.pid).threads()]
    assert {os.getpriority(os.PRIO_PROCESS, thread) for thread in threads} == {max(ours, wanted)}


def test_all_threads_share_one_heap(start: Start) -> None:
    """glibc maps another for a thread at a multiple of its size."""
    worker = start()
    wait_until(lambda: says(worker, "worker runs"))
    mapped = (line.split() for line in Path(f"/proc/{worker.pid}/maps").read_text().splitlines())
    heaps = [at for at, rights, _, _, inode, *_ in mapped if (rights, inode) == ("rw-p", "0") and _multiple(at)]
    assert not heaps


def _multiple(addresses: str) -> bool:
    return int(addresses.split("-")[0], 16) % 2**26 == 0


def test_only_the_loops_that_are_named_run(sale: Sale, start: Start) -> None:
    worker = start("sweeper")
    wait_until(lambda: says(worker, "worker runs: sweeper"))
    sale.reserve("ann")
    time.sleep(1)
    assert recorded(sale) == 0


def test_without_kafka_the_worker_says_so_once_and_sweeps(sale: Sale, start: Start) -> None:
    worker = start(KAFKA_BOOTSTRAP_SERVERS="")
    wait_until(lambda: says(worker, "worker runs"))
    time.sleep(1)
    assert worker.log.read_text().count("KAFKA_BOOTSTRAP_SERVERS is empty") == 1
    assert stop(worker)[0] == 0


def test_with_kafka_away_the_worker_says_so_in_one_line_and_still_ends_in_time(sale: Sale, start: Start) -> None:
    worker = start(KAFKA_BOOTSTRAP_SERVERS="192.0.2.1:9100")
    sale.reserve("ann")
    wait_until(lambda: says(worker, "Kafka is away"))
    time.sleep(8)
    assert worker.log.read_text().count("Kafka is away") == 1
    status, seconds = stop(worker)
    assert status == 0
    assert seconds < 5


def test_with_every_store_away_the_worker_stays_and_still_ends_in_time(start: Start) -> None:
    worker = start(DATABASE_URL="postgresql://holdfast@192.0.2.1:9100/none", REDIS_URL="redis://192.0.2.1:9100/0")
    time.sleep(5)
    assert worker.running
    status, seconds = stop(worker)
    assert status == 0, worker.log.read_text()
    assert seconds < 5


def test_a_setting_that_cannot_be_used_and_a_loop_that_does_not_exist_are_one_sentence(start: Start) -> None:
    for worker, sentence in ((start(SHARDS="many"), "SHARDS must be"), (start("baker"), "there is no baker")):
        assert worker._child is not None
        assert worker._child.wait(20) in (1, 2)
        (line,) = worker.log.read_text().splitlines()
        assert sentence in line


def test_the_figures_tell_what_waits_what_is_late_and_what_is_closed(start: Start, sale: Sale) -> None:
    carry(sale.shop)  # what other tests have left in the same outbox
    sale.reserve("ann", 2)
    shard = shard_of_event(sale.event_id, len(sale.shop.shards))
    worker = start("sweeper", PHOTOGRAPH_SECONDS="1")  # no relay: what is to be told waits
    wait_until(lambda: figures(worker).get(f"holdfast_outbox_entries {shard}") == 1)
    told = figures(worker)
    assert told["holdfast_store_answered redis"] == told["holdfast_store_answered postgres"] == 1
    assert told[f"holdfast_shard_closed {shard}"] == 0
    assert 0 < told[f"holdfast_outbox_oldest_seconds {shard}"] < 60
    assert "holdfast_worker_done_total expired" in told
    wait_until(lambda: figures(worker).get(f"holdfast_drift_seats {sale.event_id} A") == 2)
    relay = start("relay", "consumer")
    wait_until(lambda: figures(relay).get(f"holdfast_outbox_entries {shard}") == 0)
    wait_until(lambda: figures(worker).get(f"holdfast_drift_seats {sale.event_id} A") is None)
    assert figures(relay)["holdfast_consumer_lag_records recorder"] == 0
    assert figures(relay)["holdfast_worker_done_total entries_relayed"] >= 1
    sale.shop.close_shard(shard)
    assert figures(worker)[f"holdfast_shard_closed {shard}"] == 1
    reopen(sale.shop)


def test_a_place_for_metrics_that_cannot_be_had_stops_the_start_with_one_sentence(start: Start) -> None:
    told = {}
    for bind in ("192.0.2.1:9100", "nowhere"):
        worker = start("sweeper", WORKER_METRICS_BIND=bind)
        wait_until(lambda worker=worker: not worker.running)
        told[bind] = worker.log.read_text().splitlines()[-1]
    assert "WORKER_METRICS_BIND must be host:port" in told["nowhere"]
    assert told["192.0.2.1:9100"].startswith("WORKER_METRICS_BIND cannot be listened at")
