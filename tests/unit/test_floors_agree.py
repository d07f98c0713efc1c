"""One name for a refusal on every floor: the scripts, the functions and the constraints speak of the one table."""

import re
from itertools import chain

import pytest

from app.domain.errors import BY_CONSTRAINT, BY_SQLSTATE, KINDS
from app.stores import schema, scripts

SUCCESSES = {"OK", "REPLAYED"}
_REPLY = re.compile(r'return \{\s*"([A-Z_]+)"')
_HEADER_REPLY = re.compile(r"^-- ([A-Z_]{2,})\b", re.MULTILINE)
_OUTCOME = re.compile(r"(?:THEN|ELSE|outcome :?=) '([A-Z_]{4,})'")
_SQLSTATE = re.compile(r"ERRCODE = '(\w{5})'")


def _header(text: str) -> str:
    """The comment that a file opens with."""
    return "\n".join(
        line
        for line in text.splitlines()[: next((i for i, x in enumerate(text.splitlines()) if not x.strip()), None)]
        if line.startswith(("--", "#!"))
    )


@pytest.mark.parametrize("name", scripts.names())
def test_a_script_answers_only_codes_of_the_table_and_its_header_names_each(name: str) -> None:
    replies = set(_REPLY.findall(scripts.source(name)))
    assert replies - SUCCESSES <= KINDS.keys()
    documented = set(_HEADER_REPLY.findall(_header((scripts.LUA / f"{name}.lua").read_text()))) - {"KEYS", "ARGV"}
    assert documented == replies


@pytest.mark.parametrize("name", scripts.names())
def test_a_script_opens_with_its_promise_its_keys_and_its_arguments(name: str) -> None:
    text = (scripts.LUA / f"{name}.lua").read_text()
    shebang, promise, *_ = text.splitlines()
    assert shebang.startswith("#!lua")
    assert re.match(rf"-- {name}: .+", promise)
    header = _header(text)
    assert re.search(r"^-- KEYS\[1\]\s+\{NN\}:epoch$", header, re.MULTILINE)
    told = {int(n) for n in re.findall(r"^-- ARGV\[(\d+)", header, re.MULTILINE)}
    used = {int(n) for n in re.findall(r"ARGV\[(\d+)\]", scripts.source(name))}
    assert used <= told, f"ARGV {used - told} is used and not in the header"


@pytest.mark.parametrize("name", ["confirm", "expire", "flip", "freeze", "install", "learn", "release", "settle"])
def test_what_ends_or_mends_reservations_works_on_a_full_redis(name: str) -> None:
    assert "allow-oom" in scripts.source(name).splitlines()[0]


@pytest.mark.parametrize(("name", "text"), schema.function_files().items())
def test_a_function_opens_with_its_promise_and_defines_what_its_file_is_named_for(name: str, text: str) -> None:
    header = _header(text)
    assert re.match(rf"-- {name}: .+", header)
    for word in ("Locks", "dempoten", "aises"):
        assert word in header, f"{name}.sql does not tell: {word}"
    assert re.findall(r"CREATE OR REPLACE FUNCTION booking\.(\w+)", text) == [name]


def test_the_functions_outcomes_are_codes_of_the_table_or_states_of_a_decision() -> None:
    outcomes = set(chain.from_iterable(_OUTCOME.findall(text) for text in schema.function_files().values()))
    assert outcomes - KINDS.keys() <= {"CONFIRM", "CONFIRMED", "ENDED", "UNDECIDED"}


def test_every_sqlstate_that_is_raised_is_in_the_table_and_the_other_way_round() -> None:
    raised = set(chain.from_iterable(_SQLSTATE.findall(text) for text in schema.function_files().values()))
    assert raised == BY_SQLSTATE.keys()


def test_every_constraint_of_the_table_exists() -> None:
    tables = "\n".join(path.read_text() for path in (schema.SQL / "migrations").glob("*.sql"))
    for constraint in BY_CONSTRAINT:
        assert f"CONSTRAINT {constraint} " in tables


def test_no_script_names_a_key_of_its_own() -> None:
    """Keys have their names in one place, so that none can leave the shard's slot or the epoch's name space."""
    for path in scripts.LUA.rglob("*.lua"):
        if path.name in ("keys.lua", "shard.lua"):
            continue
        literals = set(re.findall(r'tag \.\. "(:\w+)"', path.read_text()))
        assert literals <= {":freeze"}, path.name
