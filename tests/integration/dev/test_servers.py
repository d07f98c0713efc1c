"""Real PostgreSQL, Redis and Kafka: what they keep when they are killed, and that they can be put to sleep."""

import os
import shutil
import socket
import stat
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
import redis
from kafka import KafkaAdminClient, KafkaConsumer, KafkaProducer
from kafka.admin import NewTopic

from dev import kafka_jars, ports
from dev.errors import DevError
from dev.kafka import Kafka
from dev.postgres import Postgres
from dev.process import Process
from dev.redis import Redis
from tests.support import servers


@pytest.fixture(scope="module")
def own_postgres(session_directory: Path) -> Iterator[Postgres]:
    with servers.started(Postgres(session_directory / "disturbed" / "postgres")) as server:
        yield server


@pytest.fixture(scope="module")
def own_redis(session_directory: Path) -> Iterator[Redis]:
    with servers.started(Redis(session_directory / "disturbed" / "redis")) as server:
        yield server


def restart(server: Process) -> None:
    server.start()
    server.wait_until_ready()


# --- PostgreSQL ---


def test_a_commit_survives_kill_9_and_the_address_stays(own_postgres: Postgres) -> None:
    address = own_postgres.create_database("kept")
    with psycopg.connect(address, autocommit=True) as connection:
        connection.execute("CREATE TABLE kept AS SELECT 1 AS one")
    own_postgres.kill()
    assert not own_postgres.running
    restart(own_postgres)
    assert own_postgres.url("kept") == address
    with psycopg.connect(address) as connection:
        assert connection.execute("SELECT one FROM kept").fetchall() == [(1,)]


def test_a_paused_postgres_answers_nobody_and_a_resumed_one_goes_on(own_postgres: Postgres) -> None:
    with psycopg.connect(own_postgres.url("postgres"), autocommit=True) as connection:
        own_postgres.pause()
        try:
            assert not own_postgres.ready()
        finally:
            own_postgres.resume()
        assert connection.execute("SELECT 1").fetchone() == (1,)


def test_a_copy_of_a_template_has_its_tables(own_postgres: Postgres) -> None:
    with psycopg.connect(own_postgres.create_database("pattern"), autocommit=True) as connection:
        connection.execute("CREATE TABLE pattern (a int)")
    with psycopg.connect(own_postgres.create_database("copy", template="pattern")) as connection:
        assert connection.execute("SELECT count(*) FROM pattern").fetchone() == (0,)
    own_postgres.drop_database("copy")
    own_postgres.drop_database("copy")


def test_postgres_wants_its_password(own_postgres: Postgres) -> None:
    with pytest.raises(psycopg.OperationalError):
        psycopg.connect(host="127.0.0.1", port=own_postgres.port, user="holdfast", password="wrong", dbname="postgres")


def test_data_and_secrets_are_private(own_postgres: Postgres, own_redis: Redis) -> None:
    for path in (own_postgres.directory / "data", own_redis.directory / "data"):
        assert stat.S_IMODE(path.stat().st_mode) == 0o700
    assert stat.S_IMODE((own_postgres.directory / "password").stat().st_mode) == 0o600


def test_data_goes_elsewhere_when_the_servers_user_may_not_enter(session_directory: Path) -> None:
    """As in a clone under /root. Without root there is no such user, and the data is where it always is."""
    closed = session_directory / "closed"
    closed.mkdir(mode=0o700)
    server = Postgres(closed / "postgres")
    restart(server)
    elsewhere = (server.directory / "data").resolve()
    assert elsewhere.is_relative_to(closed) == (os.geteuid() != 0)
    server.erase()
    assert not elsewhere.exists()


# --- Redis ---


def test_redis_keeps_its_data_over_kill_9(own_redis: Redis) -> None:
    address = own_redis.url
    with redis.Redis.from_url(address) as client:
        client.set("kept", "yes")
    own_redis.kill()
    restart(own_redis)
    assert own_redis.url == address
    with redis.Redis.from_url(address, decode_responses=True) as client:
        assert client.get("kept") == "yes"


def test_redis_never_evicts_and_appends_every_second(own_redis: Redis) -> None:
    with redis.Redis.from_url(own_redis.url, decode_responses=True) as client:
        assert client.config_get("maxmemory-policy", "appendonly", "appendfsync", "bind") == {
            "maxmemory-policy": "noeviction",
            "appendonly": "yes",
            "appendfsync": "everysec",
            "bind": "127.0.0.1",
        }


def test_a_paused_redis_times_out_and_a_resumed_one_goes_on(own_redis: Redis) -> None:
    with redis.Redis.from_url(own_redis.url, socket_timeout=0.3, retry=None) as client:
        own_redis.pause()
        try:
            with pytest.raises(redis.TimeoutError):
                client.ping()
        finally:
            own_redis.resume()
        own_redis.wait_until_ready()


def test_a_port_that_somebody_else_took_is_chosen_anew(own_redis: Redis) -> None:
    own_redis.stop()
    taken = own_redis.port
    with socket.socket() as somebody:
        somebody.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        somebody.bind(("127.0.0.1", taken))
        somebody.listen()
        assert not ports.is_free(taken)
        restart(own_redis)
        assert own_redis.port != taken


# --- Kafka ---


def test_kafka_keeps_its_records_over_kill_9_and_stop(kafka: Kafka) -> None:
    address = kafka.bootstrap_servers
    admin = KafkaAdminClient(bootstrap_servers=address)
    admin.create_topics([NewTopic(name="kept", num_partitions=1, replication_factor=1)])
    admin.close()
    producer = KafkaProducer(bootstrap_servers=address, acks="all")
    producer.send("kept", b"yes").get(timeout=20)
    producer.close()
    kafka.kill()
    assert not kafka.ready()
    restart(kafka)
    kafka.stop()
    restart(kafka)
    assert kafka.bootstrap_servers == address
    consumer = KafkaConsumer(
        "kept", bootstrap_servers=address, auto_offset_reset="earliest", consumer_timeout_ms=20_000
    )
    assert next(iter(consumer)).value == b"yes"
    consumer.close()


def test_a_paused_kafka_is_not_ready(kafka: Kafka) -> None:
    kafka.pause()
    try:
        assert not kafka.ready()
    finally:
        kafka.resume()
    kafka.wait_until_ready()


def test_a_changed_jar_is_noticed(kafka: Kafka, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    good = kafka_jars.provide()
    copy = tmp_path / "holdfast" / good.name
    shutil.copytree(good, copy)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert kafka_jars.provide() == copy
    with next(copy.glob("kafka_*.jar")).open("ab") as jar:
        jar.write(b"more")
    monkeypatch.setenv("PATH", "/nowhere")  # nor can it be fetched again
    with pytest.raises(DevError, match="Maven"):
        kafka_jars.provide()
