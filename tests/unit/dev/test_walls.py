"""The two kinds of walls, each with a program that breaks it."""

from collections.abc import Iterable

import pytest
from grimp import ImportGraph
from importlinter import Contract

from dev.walls import MayImport, SoleImporter


def graph(imports: Iterable[tuple[str, str]]) -> ImportGraph:
    graph = ImportGraph()
    for importer, imported in imports:
        graph.add_import(importer=importer, imported=imported)
    return graph


def kept(contract: type[Contract], options: dict[str, object], *imports: tuple[str, str]) -> bool:
    wall = contract(name="wall", session_options={}, contract_options=options)
    return bool(wall.check(graph(imports), verbose=False).kept)


DOMAIN = {"source": "app.domain", "allowed": []}
SERVICES = {"source": "app.services", "allowed": ["app.domain"]}
DRIVERS = {"packages": ["redis"], "importers": ["app.stores"]}


@pytest.mark.parametrize(
    ("options", "importer", "imported", "allowed"),
    [
        (DOMAIN, "app.domain.model", "app.domain.errors", True),
        (DOMAIN, "app.domain.model", "dataclasses", True),
        (DOMAIN, "app.domain.model", "flask", False),
        (DOMAIN, "app.domain.model", "app.stores", False),
        (DOMAIN, "app.domains", "flask", True),
        (SERVICES, "app.services.reserve", "app.domain.model", True),
        (SERVICES, "app.services.reserve", "app.stores.lua", False),
    ],
)
def test_a_package_imports_what_it_may(options: dict[str, object], importer: str, imported: str, allowed: bool) -> None:
    assert kept(MayImport, options, (importer, imported)) is allowed


@pytest.mark.parametrize(
    ("importer", "imported", "allowed"),
    [
        ("app.stores.lua", "redis", True),
        ("app.stores.lua", "redis.exceptions", True),
        ("app.wiring", "redis", False),
        ("worker.relay", "redis.exceptions", False),
        ("app.wiring", "app.stores.lua", True),
    ],
)
def test_a_package_has_no_other_importer(importer: str, imported: str, allowed: bool) -> None:
    assert kept(SoleImporter, DRIVERS, (importer, imported)) is allowed
