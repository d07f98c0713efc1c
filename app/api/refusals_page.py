"""The table of refusals as a page for people: `docs/errors.md`, and rendered at `/errors`, where a `type` leads."""

import json
from functools import cache
from typing import Final

from app.api.refusals_doc import HEADERS, example, type_of
from app.domain.errors import KINDS, Kind

_HEAD: Final = """# Refusals

A request that is not answered with 2xx is answered with a problem document (RFC 9457, `application/problem+json`).
`code` is for programs, `detail` for people, `request_id` for asking us. A refusal is definite: nothing was changed.
Only after `SERVICE_UNAVAILABLE` and `INTERNAL_ERROR` is the outcome not known: a retry with the same idempotency key is
safe.
"""


def markdown() -> str:
    """The page. `make docs` writes it down."""
    summary = "\n".join(f"| [`{k.code}`](#{_anchor(k)}) | {k.status} | {k.title} |" for k in KINDS.values())
    table = f"| code | HTTP | title |\n|---|---|---|\n{summary}\n"
    return "\n".join([_HEAD, table, *map(_section, KINDS.values())])


@cache
def html() -> str:
    """The same, for a browser."""
    from markdown_it import MarkdownIt  # only for whoever looks at the page

    body = MarkdownIt("commonmark").enable("table").render(markdown())
    return f'<!doctype html>\n<html lang="en">\n<meta charset="utf-8">\n<title>Refusals</title>\n{body}</html>\n'


def _section(kind: Kind) -> str:
    lines = [f"- **When**: {kind.when}.", f"- **Then**: {kind.then}"]
    lines += [f"- **Header** `{name}`: {spec['description']}." for name, spec in HEADERS.get(kind.status, {}).items()]
    lines += [f"- **Member** `{extension.name}`: {extension.means}." for extension in kind.extensions]
    body = json.dumps(example(kind), indent=2)
    return "\n".join(
        [
            f'<a id="{_anchor(kind)}"></a>\n',
            f"## {kind.code}\n",
            f"{kind.status} {kind.title}\n",
            *lines,
            f"\n```json\n{body}\n```\n",
        ]
    )


def _anchor(kind: Kind) -> str:
    return type_of(kind).partition("#")[2]
