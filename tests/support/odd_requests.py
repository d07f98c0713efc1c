"""Requests that two parsers may understand differently: by hand, after what is published on request smuggling
(CL.TE, TE.CL, TE.TE, CL.0, 0.CL, obfuscated fields, line ends), and by chance, from a seed."""

import random
from collections.abc import Iterator
from typing import Final

PLAIN: Final = b"GET /next HTTP/1.1\r\nHost: holdfast\r\n\r\n"
HIDDEN: Final = b"GET /admin HTTP/1.1\r\nHost: holdfast\r\n\r\n"
"""What an attacker wants to be seen as a request of its own."""


def post(fields: bytes, body: bytes = b"", line: bytes = b"POST / HTTP/1.1") -> bytes:
    return line + b"\r\nHost: holdfast\r\n" + fields + b"\r\n" + body


def get(target: bytes = b"/", fields: bytes = b"") -> bytes:
    return b"GET " + target + b" HTTP/1.1\r\nHost: holdfast\r\n" + fields + b"\r\n"


_CHUNKED: Final = b"5\r\nhello\r\n0\r\n\r\n"
_TRANSFER_ENCODINGS: Final = (
    b"Transfer-Encoding: chunked",
    b"transfer-encoding: chunked",
    b"Transfer-Encoding: Chunked",
    b"Transfer-Encoding : chunked",
    b"Transfer-Encoding:chunked",
    b"Transfer-Encoding:\tchunked",
    b"Transfer-Encoding: \x0bchunked",
    b"Transfer-Encoding: chunked ",
    b"Transfer-Encoding: xchunked",
    b"Transfer-Encoding: chunkedx",
    b"Transfer-Encoding: chunked, identity",
    b"Transfer-Encoding: identity, chunked",
    b"Transfer-Encoding: identity",
    b"Transfer-Encoding: gzip, chunked",
    b"Transfer-Encoding: gzip",
    b"Transfer-Encoding: cow",
    b'Transfer-Encoding: "chunked"',
    b"Transfer-Encoding: chunked\r\nTransfer-Encoding: cow",
    b"Transfer-Encoding: cow\r\nTransfer-Encoding: chunked",
    b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked",
    b"Transfer-Encoding:\r\n chunked",
    b"Transfer-Encoding\r\n: chunked",
    b" Transfer-Encoding: chunked",
    b"X: y\nTransfer-Encoding: chunked",
    b"X: y\rTransfer-Encoding: chunked",
    b"X: y\r\n\tTransfer-Encoding: chunked",
    b"Transfer_Encoding: chunked",
    b"Transfer-Encoding\x00: chunked",
    b"Transfer-Encoding: chunked\x00",
    b"\x00Transfer-Encoding: chunked",
    b"Transfer-Encoding: ch\xfcnked",
    b"Transf\xc3\xa9r-Encoding: chunked",
    b"Transfer-Encoding: ",
    b"Transfer-Encoding:",
    b"TE: trailers, chunked",
    b"Foo: bar\r\nTransfer-Encoding: chunked\r\nConnection: Transfer-Encoding",
)
_LENGTHS: Final = (
    b"Content-Length: 5",
    b"content-length: 5",
    b"Content-Length:5",
    b"Content-Length:  5",
    b"Content-Length: 5 ",
    b"Content-Length: 5\t",
    b"Content-Length : 5",
    b"Content-Length: +5",
    b"Content-Length: -5",
    b"Content-Length: 05",
    b"Content-Length: 0x5",
    b"Content-Length: 5.0",
    b"Content-Length: 5,5",
    b"Content-Length: 5, 6",
    b"Content-Length: 5 5",
    b"Content-Length: 1_0",
    b"Content-Length: 5;",
    b"Content-Length: \xb2",
    b"Content-Length: ",
    b"Content-Length:",
    b"Content-Length: 5\r\nContent-Length: 5",
    b"Content-Length: 5\r\nContent-Length: 6",
    b"Content-Length: 0\r\nContent-Length: 5",
    b"Content-Length: 5\r\ncontent-length: 0",
    b"Content_Length: 5",
    b"Content-Length: 0\r\nContent_Length: 5",
    b"Content-Length: 5\r\nContent_Length: 0",
    b"Content-Length: 0",
    b"Content-Length: 00",
    b"Content-Length: 99999999999999999999",
    b"Content-Length\r\n: 5",
    b" Content-Length: 5",
    b"X: y\nContent-Length: 5",
    b"Content-Length: 5\x00",
    b"Content-Length: 5\r\n 5",
    b"Connection: Content-Length\r\nContent-Length: 5",
)
_LINES: Final = (
    b"GET / HTTP/1.0",
    b"GET / HTTP/0.9",
    b"GET / HTTP/1.2",
    b"GET / HTTP/2.0",
    b"GET / HTTP/11.1",
    b"GET / HTTP/1.1 ",
    b"GET / http/1.1",
    b"GET / HTTP/1",
    b"GET / HTTP/1.1\x0b",
    b"GET /",
    b"GET",
    b"GET  / HTTP/1.1",
    b"GET /  HTTP/1.1",
    b"GET\t/\tHTTP/1.1",
    b" GET / HTTP/1.1",
    b"get / HTTP/1.1",
    b"GeT / HTTP/1.1",
    b"G / HTTP/1.1",
    b"GE T / HTTP/1.1",
    b"FOO / HTTP/1.1",
    b"PROPFIND / HTTP/1.1",
    b"TRACE / HTTP/1.1",
    b"HEAD / HTTP/1.1",
    b"HEAD /parts HTTP/1.1",
    b"DELETE /unread HTTP/1.1",
    b"PUT / HTTP/1.1",
    b"PATCH / HTTP/1.1",
    b"OPTIONS * HTTP/1.1",
    b"OPTIONS / HTTP/1.1",
    b"GET * HTTP/1.1",
    b"CONNECT holdfast:80 HTTP/1.1",
    b"CONNECT / HTTP/1.1",
    b"GET holdfast:80 HTTP/1.1",
    b"GET http://other/path?x HTTP/1.1",
    b"GET https://other:1/path HTTP/1.1",
    b"GET //other/path HTTP/1.1",
    b"GET ///a//b/ HTTP/1.1",
    b"GET /../../etc HTTP/1.1",
    b"GET /a/./b HTTP/1.1",
    b"GET /a;b=c HTTP/1.1",
    b"GET /a?b=c?d=e HTTP/1.1",
    b"GET /? HTTP/1.1",
    b"GET ?a=b HTTP/1.1",
    b"GET /a#fragment HTTP/1.1",
    b"GET /a?b#c HTTP/1.1",
    b"GET /a%20b%2Fc%00%zz%f HTTP/1.1",
    b"GET /%C3%A9?%C3%A9 HTTP/1.1",
    b"GET /\xc3\xa9 HTTP/1.1",
    b"GET /a\\b HTTP/1.1",
    b'GET /a"b HTTP/1.1',
    b"GET /a<b>c HTTP/1.1",
    b"GET /a|b^c`d{e} HTTP/1.1",
    b"GET /[::1] HTTP/1.1",
    b"GET /a\x00b HTTP/1.1",
    b"GET /a\x7fb HTTP/1.1",
    b"GET /:80 HTTP/1.1",
    b"GET /http://other/ HTTP/1.1",
    b"GET / HTTP/1.1\rX: y",
    b"PRI * HTTP/2.0",
    b"\xff\xfe",
    b"",
    b"hello",
    b"GET /" + b"x" * 3_000 + b" HTTP/1.1",
    b"GET /?" + b"x" * 4_080 + b" HTTP/1.1",
    b"GET /?" + b"x" * 4_090 + b" HTTP/1.1",
)
_FIELDS: Final = (
    b"Host: other",
    b"host: holdfast",
    b"Host : other",
    b"X_User_ID: eve",
    b"X-User-ID: ann",
    b"X-User-ID: ann\r\nX-User-ID: eve",
    b"X-User-ID: ann\r\nX_User_ID: eve",
    b"X-User-Id: ann\r\nx-user-id: eve",
    b"Accept: a\r\nAccept: b",
    b"Content-Type: a/b",
    b"Content-Type: a/b\r\nContent-Type: c/d",
    b"Content_Type: c/d",
    b"Connection: close",
    b"Connection: Close",
    b"Connection: keep-alive",
    b"Connection: Keep-Alive",
    b"Connection: upgrade",
    b"Connection: close, keep-alive",
    b"Connection: keep-alive\r\nConnection: close",
    b"Connection: x",
    b"Connection: \tclose",
    b"Keep-Alive: timeout=5",
    b"Proxy-Connection: close",
    b"Upgrade: websocket\r\nConnection: Upgrade",
    b"Upgrade: h2c\r\nConnection: Upgrade, HTTP2-Settings\r\nHTTP2-Settings: AAMAAABkAAQCAAAAAAIAAAAA",
    b"Upgrade: TLS/1.0",
    b"HTTP2-Settings: AAMAAABkAAQCAAAAAAIAAAAA",
    b"Expect: 100-continue",
    b"Expect: 100-Continue",
    b"Expect: something",
    b"Expect:",
    b"X-Forwarded-Proto: https",
    b"X-Forwarded-Proto: http",
    b"X-Forwarded-Proto: HTTPS",
    b"X-Forwarded-Proto: https\r\nX-Forwarded-Ssl: off",
    b"X-Forwarded-Proto: https\r\nX-Forwarded-Ssl: on",
    b"X-Forwarded-Protocol: ssl\r\nX-Forwarded-Proto: https\r\nX-Forwarded-Ssl: on",
    b"X_Forwarded_Proto: https",
    b"X-Forwarded-For: 1.2.3.4\r\nX-Forwarded-For: 5.6.7.8",
    b"Forwarded: for=1.2.3.4;proto=https",
    b"Script-Name: /x",
    b"SCRIPT_NAME: /x",
    b"Path_Info: /x",
    b"Proxy: http://other/",
    b"Remote-Addr: 1.2.3.4",
    b"X-Empty:",
    b"X-Empty: ",
    b"X-Spaces:   a   b   ",
    b"X-Tab: a\tb",
    b"X-None:a",
    b"X-Colon: a: b: c",
    b"X-Latin: \xe9",
    b"X-Utf8: \xc3\xa9",
    b"X-Nul: a\x00b",
    b"X-Del: a\x7fb",
    b"X-Bell: a\x07b",
    b"X-Esc: \x1b[31m",
    b"X-Cr: a\rb",
    b"X-Lf: a\nb",
    b"X-Fold: a\r\n b",
    b"X-Fold: a\r\n\tb",
    b"X-Fold:\r\n b",
    b" X-First: a",
    b"X Space: a",
    b"X-Tab\t: a",
    b": no name",
    b"no colon",
    b"X(y): a",
    b"X/y: a",
    b"X[y]: a",
    b'"X": a',
    b"X\xe9: a",
    b"X\x00: a",
    b"!#$%&'*+-.^`|~09: a",
    b"X-Long: " + b"x" * 3_000,
    b"X-Long: " + b"x" * 8_180,
    b"X-Long: " + b"x" * 8_190,
    b"\r\n".join(b"X-%d: y" % number for number in range(63)),
    b"\r\n".join(b"X-%d: y" % number for number in range(64)),
    b"\r\n".join(b"X_%d: y" % number for number in range(70)),
    b"TE: trailers",
    b"Trailer: X-User-ID",
    b"Authorization: Bearer aaa.bbb.ccc",
    b"Cookie: a=b; c=d",
    b"Cookie: a=b\r\nCookie: c=d",
    b"Range: bytes=0-1",
    b"HTTP-Host: other",
)
_PATHS: Final = (
    b"/unread",
    b"/raises",
    b"/raises-late",
    b"/parts",
    b"/empty",
    b"/not-modified",
    b"/too-much",
    b"/writes",
)


def by_hand() -> dict[str, bytes]:
    """By name. Each holds at least one request, and some an attacker's second."""
    cases = {"plain": get(), "plain with a body": post(b"Content-Length: 5\r\n", b"hello"), "nothing": b""}
    for field in _TRANSFER_ENCODINGS:
        cases[f"chunked: {field!r}"] = post(field + b"\r\n", _CHUNKED + HIDDEN)
        cases[f"CL.TE: {field!r}"] = post(b"Content-Length: 6\r\n" + field + b"\r\n", b"0\r\n\r\nG" + HIDDEN)
        cases[f"TE.CL: {field!r}"] = post(field + b"\r\nContent-Length: 4\r\n", b"27\r\n" + HIDDEN + b"\r\n0\r\n\r\n")
    for field in _LENGTHS:
        cases[f"length: {field!r}"] = post(field + b"\r\n", b"hello" + HIDDEN)
        cases[f"length of a GET: {field!r}"] = get(fields=field + b"\r\n") + HIDDEN
    for line in _LINES:
        cases[f"line: {line[:40]!r} {len(line)}"] = line + b"\r\nHost: holdfast\r\n\r\n" + HIDDEN
    for field in _FIELDS:
        cases[f"field: {field[:40]!r} {len(field)}"] = get(fields=field + b"\r\n") + HIDDEN
        cases[f"first field: {field[:40]!r} {len(field)}"] = b"GET / HTTP/1.1\r\n" + field + b"\r\n\r\n" + HIDDEN
    for path in (*_PATHS, b"/bad-header"):
        cases[f"answer: {path!r}"] = post(b"Content-Length: 5\r\n", b"hello", b"POST " + path + b" HTTP/1.1") + PLAIN
        cases[f"answer to HEAD: {path!r}"] = b"HEAD " + path + b" HTTP/1.1\r\nHost: h\r\n\r\n" + PLAIN
        cases[f"answer to 1.0: {path!r}"] = b"GET " + path + b" HTTP/1.0\r\nConnection: keep-alive\r\n\r\n" + PLAIN
        cases[f"last answer: {path!r}"] = get(path, b"Connection: close\r\n") + PLAIN
    cases |= {
        "line ends are LF": get().replace(b"\r\n", b"\n"),
        "line ends are CR": get().replace(b"\r\n", b"\r"),
        "the last line ends with LF": get()[:-2] + b"\n",
        "LF CR": get().replace(b"\r\n", b"\n\r"),
        "CR CR LF": get().replace(b"\r\n", b"\r\r\n"),
        "an empty line first": b"\r\n" + get(),
        "two empty lines first": b"\r\n\r\n" + get(),
        "an LF first": b"\n" + get(),
        "an empty line after a body": post(b"Content-Length: 5\r\n", b"hello\r\n") + PLAIN,
        "no field": b"GET / HTTP/1.1\r\n\r\n" + PLAIN,
        "no host": b"GET / HTTP/1.1\r\nAccept: x\r\n\r\n" + PLAIN,
        "a body that is announced and not sent": post(b"Content-Length: 5\r\n"),
        "a body that is too short": post(b"Content-Length: 50\r\n", b"hello"),
        "a body that nobody reads": post(b"Content-Length: 5\r\n", b"hel", b"POST /unread HTTP/1.1"),
        "a large body": post(b"Content-Length: 30000\r\n", b"x" * 30_000) + PLAIN,
        "a large body that nobody reads": post(b"Content-Length: 30000\r\n", b"x" * 30_000, b"PUT /unread HTTP/1.1")
        + PLAIN,
        "0.CL": post(b"Content-Length: 0\r\n", HIDDEN) + PLAIN,
        "a request in a body": post(b"Content-Length: %d\r\n" % len(HIDDEN), HIDDEN) + PLAIN,
        "chunks with an extension": post(b"Transfer-Encoding: chunked\r\n", b"5;a=b\r\nhello\r\n0\r\n\r\n") + PLAIN,
        "chunks with a bare LF": post(b"Transfer-Encoding: chunked\r\n", b"5\nhello\r\n0\r\n\r\n") + PLAIN,
        "chunks with an LF in the extension": post(b"Transfer-Encoding: chunked\r\n", b"5;\nxx\r\nhello\r\n0\r\n\r\n"),
        "chunks with a trailer": post(b"Transfer-Encoding: chunked\r\n", b"0\r\nX-User-ID: eve\r\n\r\n") + PLAIN,
        "chunks with a forbidden trailer": post(b"Transfer-Encoding: chunked\r\n", b"0\r\nHost: x\r\n\r\n") + PLAIN,
        "chunks with a negative size": post(b"Transfer-Encoding: chunked\r\n", b"-1\r\nx\r\n0\r\n\r\n") + PLAIN,
        "chunks with an 0x size": post(b"Transfer-Encoding: chunked\r\n", b"0x5\r\nhello\r\n0\r\n\r\n") + PLAIN,
        "chunks without an end": post(b"Transfer-Encoding: chunked\r\n", b"5\r\nhello\r\n"),
        "HTTP/2 preface": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\0" * 9,
        "TLS hello": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(range(100)),
        "PROXY": b"PROXY TCP4 1.2.3.4 5.6.7.8 1 2\r\n" + PLAIN,
        "many in a row": PLAIN * 50,
        "many of both": (PLAIN + post(b"Transfer-Encoding: chunked\r\n", _CHUNKED)) * 5,
    }
    return cases


def by_chance(seed: int, count: int) -> Iterator[tuple[str, bytes]]:
    """`count` conversations of one to three requests; most have something odd, half of them a broken byte besides."""
    chance = random.Random(seed)
    for number in range(count):
        data = b"".join(_request(chance) for _ in range(chance.randint(1, 3)))
        if chance.random() < 0.5:
            data = _broken(chance, data)
        yield f"seed {seed}, number {number}", data


def _request(chance: random.Random) -> bytes:
    odd = chance.random()
    method = chance.choice([b"GET", b"POST", b"POST", b"PUT", b"DELETE", b"HEAD"])
    target = chance.choice([b"/", b"/a/b", b"/a?b=c&d=%20", b"//x", b"/a%2Fb%C3%A9", *_PATHS])
    line = chance.choice(_LINES[:-3]) if odd < 0.15 else method + b" " + target + b" HTTP/1.1"
    fields = [b"Host: holdfast", b"User-Agent: chance/1", b"Accept: */*"]
    if odd > 0.3:
        fields += chance.sample([field for field in _FIELDS if len(field) < 200], chance.randint(0, 2))
    body = bytes(chance.choices(b"abc\r\n:0 /", k=chance.choice([0, 0, 1, 5, 40])))
    framing = chance.random()
    if framing < 0.5:
        fields.append(b"Content-Length: %d" % len(body))
    elif framing < 0.65:
        fields.append(chance.choice(_LENGTHS))
    elif framing < 0.8:
        fields.append(chance.choice(_TRANSFER_ENCODINGS))
        body = chance.choice([_CHUNKED, b"%x\r\n%b\r\n0\r\n\r\n" % (len(body), body), body])
    chance.shuffle(fields)
    end = b"\n" if chance.random() < 0.02 else b"\r\n"
    return end.join([line, *fields, b"", b""]) + body


def _broken(chance: random.Random, data: bytes) -> bytes:
    place = chance.randrange(len(data) + 1)
    other = bytes([chance.choice(b'\x00\t\n\r :,;_-/%#?"AaZz019\x7f\x80\xff')])
    return data[:place] + chance.choice([b"", other, other, other + other]) + data[place + chance.randint(0, 1) :]
