"""A real Kafka of our own on loopback: one KRaft process, broker and controller in one."""

import logging
import os
import re
import shutil
import subprocess
from pathlib import Path

from kafka import KafkaAdminClient
from kafka.errors import KafkaError

from dev import kafka_jars, ports, steps
from dev.errors import DevError
from dev.process import Process

_FORMAT_TIMEOUT_S = 60.0
_PROBE_TIMEOUT_MS = 2_000
_JAVA_AT_LEAST = 17
# Small and quick to start rather than fast: 310 MB resident, ready after about 8 s on two cores. Some thirty large
# requests a second are too few for Java to find out what is worth compiling: without the last, most of what serves them
# would be interpreted for minutes, at twice the time.
_JVM = ["-Xmx384m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-XX:CompileThresholdScaling=0.05"]

SETTINGS = {
    "process.roles": "broker,controller",
    "node.id": "1",
    "controller.listener.names": "CONTROLLER",
    "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT",
    "auto.create.topics.enable": "false",  # the worker creates its topics; a typing error must not
    "offsets.topic.replication.factor": "1",
    "offsets.topic.num.partitions": "4",  # fifty by default: slow to start and to stop
    "transaction.state.log.replication.factor": "1",
    "transaction.state.log.num.partitions": "4",
    "transaction.state.log.min.isr": "1",
    "share.coordinator.state.topic.replication.factor": "1",
    "share.coordinator.state.topic.min.isr": "1",
    "group.initial.rebalance.delay.ms": "0",  # one worker joins: nobody else to wait for
    # As many threads as one worker keeps busy on two cores: each of them wakes up several times a second for nothing.
    "num.network.threads": "1",
    "num.io.threads": "2",
    "background.threads": "2",
    # The controller has nobody to whom it must show twice a second that it is alive.
    "metadata.max.idle.interval.ms": "5000",
}


class Kafka(Process):
    """Kafka with a data directory and two ports of its own."""

    name = "kafka"
    ready_timeout_s = 60.0
    stop_timeout_s = 20.0

    @property
    def bootstrap_servers(self) -> str:
        """host:port. Raises DevError before the first start."""
        port = ports.remembered(self.directory / "port")
        if port is None:
            raise DevError(f"Kafka was never started in {self.directory}.")
        return f"127.0.0.1:{port}"

    def command(self) -> list[str]:
        return [*self._java(), "kafka.Kafka", str(self._properties)]

    def environment(self) -> dict[str, str]:
        return {name: value for name, value in os.environ.items() if not name.startswith(("KAFKA_", "JAVA_TOOL_"))}

    def prepare(self) -> None:
        """Raises DevError when Java or the jars cannot be had."""
        java = self._java()
        (self.directory / "data").mkdir(mode=0o700, exist_ok=True)
        broker = ports.settle(self.directory / "port")
        controller = ports.settle(self.directory / "controller-port")
        settings = SETTINGS | {
            "listeners": f"PLAINTEXT://127.0.0.1:{broker},CONTROLLER://127.0.0.1:{controller}",
            "advertised.listeners": f"PLAINTEXT://127.0.0.1:{broker}",
            "controller.quorum.voters": f"1@127.0.0.1:{controller}",
            "log.dirs": str(self.directory / "data"),
        }
        self._properties.write_text("".join(f"{name}={value}\n" for name, value in settings.items()))
        (self.directory / "log4j2.xml").write_text(_LOG4J)
        if not (self.directory / "data" / "meta.properties").exists():
            self._format(java)

    def ready(self) -> bool:
        """Does it answer a request for metadata?"""
        if ports.is_free(int(self.bootstrap_servers.rpartition(":")[2])):
            return False  # nobody listens yet: spares the broker the processor time that the client would take
        logging.getLogger("kafka").setLevel(logging.CRITICAL)  # a refused connection is no news while we wait
        try:
            admin = KafkaAdminClient(
                bootstrap_servers=self.bootstrap_servers,
                bootstrap_timeout_ms=_PROBE_TIMEOUT_MS,
                request_timeout_ms=_PROBE_TIMEOUT_MS,
            )
        except (KafkaError, OSError):
            return False
        try:
            return bool(admin.describe_cluster()["brokers"])
        except (KafkaError, OSError):
            return False
        finally:
            admin.close()

    # --- inside ---

    @property
    def _properties(self) -> Path:
        return self.directory / "server.properties"

    def _java(self) -> list[str]:
        """java with the class path; what follows is the main class."""
        java = shutil.which("java")
        if java is None:
            raise DevError("Java is not installed.")
        answer = subprocess.run([java, "-version"], capture_output=True, text=True, check=False, timeout=30).stderr
        version = re.search(r'version "(\d+)', answer)
        if version is None or int(version[1]) < _JAVA_AT_LEAST:
            raise DevError(f"Kafka needs Java {_JAVA_AT_LEAST} or newer, and this one is {answer.splitlines()[:1]}.")
        jars = kafka_jars.provide()
        log4j = f"-Dlog4j2.configurationFile={self.directory / 'log4j2.xml'}"
        return [java, *_JVM, log4j, "-cp", f"{jars}/*"]

    def _format(self, java: list[str]) -> None:
        tool = [*java, "kafka.tools.StorageTool"]
        log = self.directory / "format.log"
        cluster = steps.run([*tool, "random-uuid"], log=log, timeout_s=_FORMAT_TIMEOUT_S).split()[-1]
        steps.run(
            [*tool, "format", "--cluster-id", cluster, "--config", str(self._properties)],
            log=log,
            timeout_s=_FORMAT_TIMEOUT_S,
        )


_LOG4J = """<?xml version="1.0" encoding="UTF-8"?>
<Configuration status="ERROR" shutdownHook="disable">
  <Appenders>
    <Console name="out"><PatternLayout pattern="%d{ISO8601} %-5p %c{1} %m%n"/></Console>
  </Appenders>
  <Loggers>
    <Root level="WARN"><AppenderRef ref="out"/></Root>
    <Logger name="kafka.server.KafkaRaftServer" level="INFO"/>
  </Loggers>
</Configuration>
"""
