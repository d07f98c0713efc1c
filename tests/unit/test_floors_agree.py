"""One name for a refusal on every floor: the scripts, the functions and the constraints speak of the one table."""

import ast
import re
from collections.abc import Iterator
from itertools import chain
from pathlib import Path

import pytest

from app.api import refusals_page
from app.domain.errors import BY_CONSTRAINT, BY_SQLSTATE, KINDS
from app.factory import create_app
from app.settings import Settings
from app.stores import schema, scripts
from dev import docs
from dev.process import ROOT
from tests.unit.api.canned import ENVIRONMENT, Services

UNDOCUMENTED = {
    "NOT_FOUND": "there is no route to document it at",
    "METHOD_NOT_ALLOWED": "an operation is a route with the right method",
    "RATE_LIMITED": "no limit is applied yet",
}
SUCCESSES = {"OK", "REPLAYED"}
KEYS_OF_NO_SHARD = {"limit": r"\{CLIENT\}:limit"}
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
def test_a_script_has_no_function_that_it_does_not_use(name: str) -> None:
    text = scripts.source(name)
    for function in re.findall(r"^local function (\w+)", text, re.MULTILINE):
        code = re.sub(r"--.*", "", text)
        assert len(re.findall(rf"\b{function}\b", code)) > len(re.findall(rf"^local function {function}\(", code, re.M))


@pytest.mark.parametrize("name", scripts.names())
def test_a_script_opens_with_its_promise_its_keys_and_its_arguments(name: str) -> None:
    text = (scripts.LUA / f"{name}.lua").read_text()
    shebang, promise, *_ = text.splitlines()
    assert shebang.startswith("#!lua")
    assert re.match(rf"-- {name}: .+", promise)
    header = _header(text)
    first_key = KEYS_OF_NO_SHARD.get(name, r"\{NN\}:epoch$")
    assert re.search(rf"^-- KEYS\[1\]\s+{first_key}", header, re.MULTILINE)
    told = {int(n) for n in re.findall(r"^-- ARGV\[(\d+)", header, re.MULTILINE)}
    used = {int(n) for n in re.findall(r"ARGV\[(\d+)\]", scripts.source(name))}
    assert used <= told, f"ARGV {used - told} is used and not in the header"


@pytest.mark.parametrize(
    "name",
    [
        *("ceiling", "close", "confirm", "expire", "extend", "flip", "freeze", "install", "learn", "release", "settle"),
        "unpin",
    ],
)
def test_what_ends_or_mends_reservations_works_on_a_full_redis(name: str) -> None:
    assert "allow-oom" in scripts.source(name).splitlines()[0]


@pytest.mark.parametrize(("name", "text"), schema.function_files().items())
def test_a_function_opens_with_its_promise_and_defines_what_its_file_is_named_for(name: str, text: str) -> None:
    header = _header(text)
    assert re.match(rf"-- {name}: .+", header)
    for word in ("Locks", "dempoten", "aises"):
        assert word in header, f"{name}.sql does not tell: {word}"
    assert re.findall(r"CREATE OR REPLACE FUNCTION booking\.(\w+)", text) == [name]


@pytest.mark.parametrize("path", sorted(ROOT.glob("sql/[fr]*/*.sql")), ids=lambda path: path.stem)
def test_no_row_is_compared_with_a_clock_that_moves(path: Path) -> None:
    """`clock_timestamp()` is volatile: no index is searched for it, and every row is read."""
    assert not re.search(r"[<>]=?\s*clock_timestamp\(\)", path.read_text())


def test_the_functions_outcomes_are_codes_of_the_table_or_states_of_a_decision() -> None:
    outcomes = set(chain.from_iterable(_OUTCOME.findall(text) for text in schema.function_files().values()))
    assert outcomes - KINDS.keys() <= {
        *("CANCELLED", "CONFIRM", "CONFIRMED", "ENDED", "UNDECIDED"),
        *("OPEN", "VOIDED"),
    }


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


@pytest.fixture
def documented(monkeypatch: pytest.MonkeyPatch) -> set[str]:
    """Every code that some operation of /openapi.json names."""
    monkeypatch.setattr("app.factory.configure_logging", lambda *_: None)
    app = create_app(Settings.from_environment(ENVIRONMENT), lambda _: Services())
    document = app.test_client().get("/openapi.json").json
    assert document is not None
    responses = [
        response
        for item in document["paths"].values()
        for method, operation in item.items()
        if method != "parameters"
        for status, response in operation["responses"].items()
        if int(status) >= 400
    ]
    narrowed = [content["schema"]["allOf"][1] for r in responses for content in r["content"].values()]
    return {code for schema in narrowed for code in schema["properties"]["code"]["enum"]}


def test_the_openapi_document_names_exactly_the_codes_of_the_table(documented: set[str]) -> None:
    assert documented <= KINDS.keys()
    assert documented | UNDOCUMENTED.keys() == KINDS.keys(), "documented by no route, and no reason is given"
    assert not documented & UNDOCUMENTED.keys(), "documented by a route: the reason for not being so is out of date"


def _refusals_in_python() -> Iterator[tuple[str, str, set[str]]]:
    """(where, code, the extensions' names) of each call of `refusal` that spells them out."""
    for path in [*(ROOT / "app").rglob("*.py"), *(ROOT / "worker").rglob("*.py")]:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "refusal":
                names = {keyword.arg for keyword in node.keywords if keyword.arg}
                codes = [n.value for n in ast.walk(node.args[0]) if isinstance(n, ast.Constant)]
                yield from ((f"{path.name}:{node.lineno}", str(code), names - {"detail"}) for code in codes)


def test_a_refusal_in_python_is_of_the_table_and_carries_only_the_members_that_it_promises() -> None:
    found = list(_refusals_in_python())
    assert len(found) > 20
    for where, code, names in found:
        assert code in KINDS, where
        assert names <= {extension.name for extension in KINDS[code].extensions}, f"{where}: {code}"


def test_the_committed_page_of_refusals_is_the_one_that_the_table_makes() -> None:
    for path, text in docs.PAGES.items():
        assert path.read_text() == text(), f"{path.name} is out of date: make docs"
    for code, kind in KINDS.items():
        for told in (f"## {code}", kind.when, kind.then, *(f"`{e.name}`: {e.means}" for e in kind.extensions)):
            assert told in refusals_page.markdown()
