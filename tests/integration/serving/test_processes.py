"""Real gunicorn processes with our worker, and nothing behind them."""

import http.client
import ipaddress
import ssl
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from dev.errors import DevError
from tests.support.buyers import until
from tests.support.hello_web import HelloWeb, hello


def address(web: HelloWeb) -> tuple[str, int]:
    host, port = web.bind.split(":")
    return host, int(port)


@pytest.fixture
def certificate(tmp_path: Path) -> tuple[Path, Path]:
    """Of 127.0.0.1, by itself, and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(hours=1))
        .add_extension(
            x509.SubjectAlternativeName([x509.IPAddress(ipaddress.IPv4Address("127.0.0.1"))]), critical=False
        )
        .sign(key, hashes.SHA256())
    )
    files = (tmp_path / "certificate.pem", tmp_path / "key.pem")
    files[0].write_bytes(made.public_bytes(serialization.Encoding.PEM))
    files[1].write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return files


class OverTls(HelloWeb):
    certificate: Path

    def ready(self) -> bool:
        try:
            return ask_by_tls(self, self.certificate) == [200, 200]
        except OSError:
            return False


def ask_by_tls(web: HelloWeb, certificate: Path) -> list[int]:
    context = ssl.create_default_context(cafile=str(certificate))
    with closing(http.client.HTTPSConnection(*address(web), context=context, timeout=5)) as connection:
        statuses = []
        for _ in range(2):
            connection.request("POST", "/", body=b"hello")
            answer = connection.getresponse()
            answer.read()
            statuses.append(answer.status)
        return statuses


def test_tls_is_served_by_the_stock_worker(session_directory: Path, certificate: tuple[Path, Path]) -> None:
    OverTls.certificate = certificate[0]
    options = f"--certfile {certificate[0]} --keyfile {certificate[1]}"
    with hello(session_directory / "web-of-tls", options, kind=OverTls, WEB_CONCURRENCY="1") as web:
        assert ask_by_tls(web, certificate[0]) == [200, 200]


def test_workers_that_have_had_their_requests_are_succeeded_and_lose_none(session_directory: Path) -> None:
    def ask(count: int) -> Counter[int | str]:
        """Over a connection that is kept until the server says that it closes it."""
        outcomes: Counter[int | str] = Counter()
        connection = http.client.HTTPConnection(*address(web), timeout=10)
        for _ in range(count):
            try:
                connection.request("POST", "/", body=b"hello")
                answer = connection.getresponse()
                answer.read()
                outcomes[answer.status] += 1  # http.client connects anew after `Connection: close`
            except (OSError, http.client.HTTPException) as error:
                outcomes[type(error).__name__] += 1
                connection.close()
        connection.close()
        return outcomes

    options = "--max-requests 40 --max-requests-jitter 20"
    with hello(session_directory / "web-of-max-requests", options, WEB_CONCURRENCY="2", DRAIN_SECONDS="2") as web:
        before = set(web.worker_pids())
        with ThreadPoolExecutor(4) as pool:
            outcomes = sum(pool.map(ask, [60] * 4), Counter[int | str]())
            assert outcomes == {200: 240}

            def others_have_come() -> bool:
                """The kernel gives each worker as many connections as it likes: asked until both have had enough."""
                assert set(ask(10)) == {200}
                return bool(web.worker_pids()) and not before & set(web.worker_pids())

            until(others_have_come, 30, "others have come")
            assert sum(pool.map(ask, [10] * 4), Counter[int | str]()) == {200: 40}


def test_a_worker_that_nobody_knows_does_not_start(session_directory: Path) -> None:
    with pytest.raises(DevError), hello(session_directory / "web-of-nobody", HTTP_WORKER="fast"):
        pass
    assert "HTTP_WORKER must be own or stock." in (session_directory / "web-of-nobody" / "log").read_text()
