"""What stops the start, and with which words."""

from pathlib import Path

import pytest

from app.settings import BadSetting, Settings

ENOUGH = {
    "DATABASE_URL": "postgresql://holdfast:pass%20word@db/holdfast",
    "REDIS_URL": "redis://:hunter2@cache/0",
    "JWT_SECRET": "0123456789abcdef0123456789abcdef",
}
PEM = "-----BEGIN PUBLIC KEY-----\nMCow\n-----END PUBLIC KEY-----\n"


def read(**others: str) -> Settings:
    return Settings.from_environment({**ENOUGH, **others})


def complaint(**others: str) -> str:
    with pytest.raises(BadSetting) as caught:
        read(**others)
    return str(caught.value)


def test_three_settings_are_enough() -> None:
    settings = read()
    assert settings.app_env == "production"
    assert settings.shards == 16
    assert settings.log_format == "json"
    assert settings.kafka_bootstrap_servers is None


def test_an_empty_variable_counts_as_not_set() -> None:
    assert read(SHARDS="").shards == 16
    assert complaint(REDIS_URL="") == "REDIS_URL must be set."


def test_development_ends_without_waiting_for_a_balancer_unless_told_otherwise() -> None:
    assert read().drain_seconds > 0
    assert read(APP_ENV="development").drain_seconds == 0
    assert read(APP_ENV="development", DRAIN_SECONDS="3").drain_seconds == 3


def test_development_logs_for_a_reader_unless_told_otherwise() -> None:
    assert read(APP_ENV="development").log_format == "text"
    assert read(APP_ENV="development", LOG_FORMAT="json").log_format == "json"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("SHARDS", "0"),
        ("SHARDS", "4097"),
        ("SHARDS", "many"),
        ("REDIS_TIMEOUT_MS", "0.5"),
        ("DATABASE_URL", "mysql://db"),
        ("DATABASE_URL", "postgresql://[db/holdfast"),
        ("REDIS_URL", "cache:6379"),
        ("REDIS_URL", "redis://cache:many/0"),
        ("WORKER_METRICS_BIND", "127.0.0.1:65536"),
        ("APP_ENV", "staging"),
        ("DRAIN_SECONDS", "61"),
        ("AUTH_MODE", "none"),
        ("PAYMENTS", "acme"),
        ("LOG_LEVEL", "loud"),
        ("ADMIN_TOKEN", "with a space in it"),
        ("ADMIN_TOKEN", "fifteen-letters"),
        ("JWT_SECRET", "31-bytes-are-one-too-few-for-us"),
        ("JWT_PUBLIC_KEY", "@/there/is/no/such/file"),
        ("JWT_PUBLIC_KEY", "not PEM"),
    ],
)
def test_what_cannot_be_used_stops_the_start_with_one_sentence_that_names_the_setting(name: str, value: str) -> None:
    sentence = complaint(**{name: value})
    assert sentence.startswith(f"{name} ")
    assert sentence.endswith(".")
    assert "\n" not in sentence


def test_the_sentence_never_tells_a_secret() -> None:
    assert "hush" not in complaint(JWT_SECRET="hush")
    assert "hush" not in complaint(DATABASE_URL="mysql://holdfast:hush@db")


def test_development_admits_short_secrets() -> None:
    assert read(APP_ENV="development", JWT_SECRET="short", ADMIN_TOKEN="short").jwt_secret == "short"


@pytest.mark.parametrize("environment", ["production", "development"])
def test_tokens_that_nobody_could_verify_stop_the_start(environment: str) -> None:
    assert "JWT_SECRET or JWT_PUBLIC_KEY" in complaint(APP_ENV=environment, JWT_SECRET="")


def test_a_gateway_needs_no_secret_of_ours_but_an_administrators_token() -> None:
    assert "ADMIN_TOKEN" in complaint(AUTH_MODE="gateway", JWT_SECRET="")
    assert read(AUTH_MODE="gateway", JWT_SECRET="", ADMIN_TOKEN="sixteen-letters!").auth_mode == "gateway"


def test_a_public_key_may_be_text_one_line_of_text_or_a_file(tmp_path: Path) -> None:
    (tmp_path / "key.pem").write_text(PEM)
    for given in (PEM, PEM.replace("\n", "\\n"), f"@{tmp_path}/key.pem"):
        assert read(JWT_PUBLIC_KEY=given).jwt_public_key == PEM


def test_nothing_secret_shows_when_settings_are_printed() -> None:
    shown = repr(read(ADMIN_TOKEN="sixteen-letters!", JWT_PUBLIC_KEY=PEM))
    for secret in ("hunter2", "pass%20word", "pass word", "0123456789abcdef", "sixteen", "MCow"):
        assert secret not in shown


def test_passwords_within_urls_are_secrets_too_as_written_and_as_meant() -> None:
    assert {"hunter2", "pass%20word", "pass word"} <= set(read().secrets())
