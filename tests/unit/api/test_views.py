"""A view names its contract and calls one service: no condition, no exception, no second call."""

import ast
import inspect
from types import ModuleType

import pytest

from app.api import admin, bookings, catalogue, health

DECIDES = (ast.If, ast.IfExp, ast.Try, ast.For, ast.While, ast.BoolOp, ast.Match, ast.Raise)


@pytest.mark.parametrize("module", [admin, bookings, catalogue, health])
def test_a_view_decides_nothing_and_calls_one_service_at_most(module: ModuleType) -> None:
    views = [node for node in ast.parse(inspect.getsource(module)).body if isinstance(node, ast.FunctionDef)]
    assert views
    for view in views:
        inside = list(ast.walk(view))
        assert not [node for node in inside if isinstance(node, DECIDES)], view.name
        calls = [n for n in inside if isinstance(n, ast.Call) and isinstance(n.func, ast.Name) and n.func.id == "wired"]
        assert len(calls) <= 1, view.name
