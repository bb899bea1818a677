"""block-rules: where rules look, in what forms, and what becomes of what they find."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator, Iterable
from urllib.parse import unquote_to_bytes

import pytest
from gateway_security import BlockRules
from gateway_security.builtin_rules import BUILTIN
from gateway_security.rule_patterns import PatternSet
from gateway_security.written_forms import path_forms, text_forms
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from gateway import ClientError, Exchange, Request
from gateway.pipeline import Pipeline
from gateway.testing import GatewayDied, Response

ADMIN = {"where": "path", "patterns": "^/admin(/|$)"}


def block_rules(rules: dict[str, object] | None = None, **settings: object) -> BlockRules:
    return BlockRules(BlockRules.Config.model_validate({"rules": rules or {}, **settings}))


def status(plugin: BlockRules, target: str | bytes = "/", headers: object = (), method: str = "GET") -> int:
    """What a request without a body gets; 200 if it goes on."""
    try:
        plugin.on_request(Exchange(None, Request(method, target, headers)))
    except ClientError as error:
        return error.status
    return 200


async def pieces(*data: bytes) -> AsyncIterator[bytes]:
    for piece in data:
        yield piece


async def status_of_body(plugin: BlockRules, *data: bytes, headers: object = ()) -> tuple[int, bytes]:
    """What a request with this body gets, and what is left of the body to be forwarded."""
    request = Request("POST", "/", headers, body=pieces(*data))
    try:
        await plugin.on_request(Exchange(None, request))
    except ClientError as error:
        return error.status, b""
    return 200, b"".join([piece async for piece in request.body])


# -- the path --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "target",
    [
        b"/admin", b"/admin/", b"/admin/x?y=1", b"/ADMIN", b"/%61dmin", b"/%41DMIN/", b"//admin", b"/./admin",
        b"/x/../admin", b"/x/%2e%2e/admin", b"/x%2f..%2fadmin", b"/\\admin", b"/%5cadmin", b"/x\\..\\admin",
        b"/;/admin", b"/;a=b/admin", b"/admin;jsessionid=1", b"/admin/../x", b"//admin/../x", b"/..;/admin",
        b"/%2e/admin", b"/%2fadmin", b"/../admin", b"/admin%2f",
        b"/admin/.", b"/admin%00.png", b"/x/..//./%61dmin/y", b"/admin%3bx",
    ],
)  # fmt: skip
def test_a_path_is_found_however_it_is_written(target):
    assert status(block_rules({"admin": ADMIN}), target) == 403


@pytest.mark.parametrize(
    "target", [b"/", b"/administration", b"/x/admin", b"/?/admin", b"/%2561dmin", b"/adm%20in"]
)
def test_another_path_is_not_found(target):
    assert status(block_rules({"admin": ADMIN}), target) == 200


SEGMENTS = st.lists(st.text("abcdefgh", min_size=1, max_size=4), min_size=1, max_size=4)
GAPS = st.sampled_from(["/", "/./", "//", "/x/../", "\\", "/;p/", ";q=1/", "/.;/", "/x/y/..;z/../"])


@given(SEGMENTS, st.lists(GAPS, min_size=4, max_size=4), st.integers(0, 2**80))
def test_no_disguise_hides_a_path(segments, gaps, encoded):
    disguised = "".join(f"{gap}{segment}" for gap, segment in zip(gaps, segments, strict=False))
    disguised = disguised if disguised.startswith(("/", "\\")) else f"/{disguised}"
    letters = enumerate(disguised)
    raw = "".join(f"%{ord(letter):02x}" if encoded >> place & 1 else letter for place, letter in letters)
    assert f"/{'/'.join(segments)}".encode() in path_forms(raw.encode())


@given(st.binary(max_size=20) | st.text("%aF0/", max_size=20).map(str.encode))
def test_decoding_is_that_of_urls(raw):
    assert text_forms(b"%" + raw)[1] == unquote_to_bytes(b"%" + raw.replace(b"+", b" "))


@given(st.binary(max_size=40))
def test_every_path_has_forms_that_begin_with_itself(raw):
    assert path_forms(raw)[0] == raw
    assert text_forms(raw)[0] == raw


def test_capitals_are_told_apart_where_a_rule_says_so():
    plugin = block_rules({"a": {**ADMIN, "case_sensitive": True}, "b": {"where": "path", "patterns": "^/b"}})
    assert [status(plugin, target) for target in ("/admin", "/ADMIN", "/B")] == [403, 200, 403]


def test_a_path_in_which_nothing_was_found_is_remembered_and_no_other():
    plugin = block_rules({"admin": ADMIN, "log": {"where": "path", "patterns": "x", "log_only": True}})
    for _ in range(2):
        assert [status(plugin, target) for target in ("/a", "/admin", "/x", "/" + "a" * 999)] == [
            200,
            403,
            200,
            200,
        ]
    assert plugin._clean == {b"/a"}
    assert [watch.found for watch in plugin._watches] == [2, 2]


def test_no_more_paths_are_remembered_than_there_is_room_for(monkeypatch):
    monkeypatch.setattr("gateway_security.block_rules.MOST_REMEMBERED", 2)
    plugin = block_rules({"admin": ADMIN})
    assert [status(plugin, f"/{number}") for number in range(3)] == [200] * 3
    assert plugin._clean == {b"/2"}


# -- other places ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("rule", "found", "passed"),
    [
        ({"where": "query", "patterns": r"union\s+select"}, "/?q=1%20UNION+select%201", "/union%20select?q=select"),
        ({"where": "query", "patterns": r"(^|&)debug=1"}, "/?a&debug=1", "/?nodebug=1"),
        ({"where": ["path", "query"], "patterns": "<script"}, "/%3Cscript", "/script?<"),
        ({"where": ["path", "query"], "patterns": "<script"}, "/?x=%3cSCRIPT", "/script?<"),
        ({"where": "query", "patterns": ["a.*b", "c"]}, b"/?a\n\xffb", "/?d"),
    ],
)
def test_a_query_is_looked_at_as_it_came_and_decoded(rule, found, passed):
    plugin = block_rules({"rule": rule})
    assert [status(plugin, found), status(plugin, passed)] == [403, 200]


def test_a_method_is_found():
    plugin = block_rules({"method": {"where": "method", "patterns": "^(trace|debug)$", "status": 405}})
    assert [status(plugin, method=method) for method in ("DEBUG", "GET", "XDEBUG")] == [405, 200, 200]


def test_each_value_of_a_header_is_looked_at_and_all_of_them_together():
    plugin = block_rules({"agent": {"where": "header:X-A", "patterns": ["^bad$", "one, two"]}})
    assert status(plugin, headers=[("x-a", "good"), ("x-a", "BAD")]) == 403
    assert status(plugin, headers=[("x-a", "one"), ("x-b", "x"), ("x-a", "two")]) == 403
    assert status(plugin, headers=[("x-a", "not bad"), ("x-b", "bad")]) == 200


def test_any_header_is_looked_at_as_a_line_that_no_match_leaves():
    plugin = block_rules(
        {"any": {"where": "headers", "patterns": [r"^x-[^:]*: bad$", r"\$\{jndi:", "a[^x]*z$", "p, q"]}}
    )
    assert status(plugin, headers=[("a", "1"), ("x-y", "bad"), ("b", "2")]) == 403
    assert status(plugin, headers=[("referer", "${JNDI:ldap://x}")]) == 403
    assert status(plugin, headers=[("n", "p"), ("m", "1"), ("n", "q")]) == 403
    assert status(plugin, headers=[("n", "a"), ("m", "z"), ("y", "x-y: bad")]) == 200


# -- the body --------------------------------------------------------------------------------------------------

BODY = {"body": {"where": "body", "patterns": "<script"}}


@pytest.mark.parametrize("data", [(b"<script>",), (b"a=%3Cscr", b"ipt"), (b"\xff\0<SCRIPT",)])
async def test_a_body_is_found(data):
    assert (await status_of_body(block_rules(BODY), *data))[0] == 403


async def test_a_body_in_which_nothing_is_found_is_left_to_be_forwarded():
    assert await status_of_body(block_rules(BODY), b"a=1", b"&b=2%20") == (200, b"a=1&b=2%20")


async def test_a_body_over_the_limit_is_refused_or_looked_at_from_its_start():
    refusing = block_rules(BODY, max_body=16)
    assert await status_of_body(refusing, b"a" * 16) == (200, b"a" * 16)
    assert await status_of_body(refusing, b"a" * 16, b"a") == (413, b"")
    assert await status_of_body(refusing, headers={"content-length": "17"}) == (413, b"")
    looking = block_rules(BODY, max_body=16, larger_body="look-at-start")
    headers = {"content-length": "30"}
    assert (await status_of_body(looking, b"a" * 9 + b"<script", b"a" * 14, headers=headers))[0] == 403
    data = (b"a" * 10, b"<script", b"b" * 13)
    assert await status_of_body(looking, *data, headers=headers) == (200, b"".join(data))


async def test_an_encoded_body_is_refused_unless_it_may_pass():
    gzip = {"content-encoding": "gzip"}
    assert await status_of_body(block_rules(BODY), b"x", headers=gzip) == (415, b"")
    assert await status_of_body(block_rules(BODY, encoded_body="pass"), b"<script", headers=gzip) == (
        200,
        b"<script",
    )
    assert await status_of_body(block_rules(BODY), b"x", headers={"content-encoding": "Identity"}) == (200, b"x")


async def test_rules_that_only_log_refuse_no_body_that_they_cannot_look_at():
    plugin = block_rules({"body": {**BODY["body"], "log_only": True}}, max_body=4)
    assert await status_of_body(plugin, b"<script>") == (200, b"<script>")
    assert await status_of_body(plugin, b"x", headers={"content-encoding": "gzip"}) == (200, b"x")
    assert await status_of_body(plugin, b"12", b"345", headers={"content-length": "5"}) == (200, b"12345")


def test_without_a_body_or_a_rule_for_it_nothing_is_awaited():
    assert block_rules(BODY).on_request(Exchange(None, Request())) is None
    with_body = Request("POST", "/", body=pieces(b"<script"))
    assert block_rules({"admin": ADMIN}).on_request(Exchange(None, with_body)) is None


# -- what becomes of it ----------------------------------------------------------------------------------------


def test_the_first_rule_that_refuses_gives_the_status_and_those_that_log_are_counted(caplog):
    plugin = block_rules(
        {
            "seen": {"where": "path", "patterns": "admin", "log_only": True},
            "first": {"where": "path", "patterns": ["x", "/admin", "^/a"], "status": 404},
            "second": ADMIN,
        }
    )
    exchange = Exchange(None, Request("GET", "/admin", client="192.0.2.1"))
    with pytest.raises(ClientError) as caught:
        plugin.on_request(exchange)
    assert caught.value.status == 404
    assert [watch.found for watch in plugin._watches] == [1, 1, 0]
    assert exchange.notes == [
        ("block-rules", "would refuse: rule 'seen'"),
        ("block-rules", "refused: rule 'first'"),
    ]
    assert caplog.messages == [
        f"block-rules: would refuse 192.0.2.1: rule 'seen' (GET '/admin', request {exchange.id})",
        f"block-rules: refused 192.0.2.1: rule 'first' (GET '/admin', request {exchange.id})",
    ]


def test_the_plugin_as_a_whole_can_only_log(caplog):
    plugin = block_rules({"admin": ADMIN}, log_only=True, builtin=True)
    assert [status(plugin, "/admin"), status(plugin, "/.git/config")] == [200, 200]
    assert len(caplog.messages) == 2


@pytest.mark.parametrize("settings", [{}, {"builtin": []}, {"builtin": False}])
def test_without_rules_there_is_no_hook(settings):
    assert not Pipeline([("block-rules", block_rules(**settings))]).on_request


@pytest.mark.parametrize("by_line", [False, True])
def test_a_search_that_ran_out_of_memory_is_made_one_by_one(by_line):
    patterns = PatternSet([("b$", False), ("^a", True), ("x", False)], by_line=by_line)
    assert patterns.found_in(b"aB") == [0, 1]
    assert patterns._search(b"c\nc") == [3]  # the empty pattern, in every text
    patterns._search = lambda text: None
    assert patterns.found_in(b"aB") == [0, 1]
    assert patterns.found_in(b"A") == []


def test_a_hundred_rules_find_what_each_of_them_would():
    plugin = block_rules({f"r{number}": {"where": "path", "patterns": f"^/{number}$"} for number in range(100)})
    assert {number for number in range(120) if status(plugin, f"/{number}") == 403} == set(range(100))
    assert [watch.found for watch in plugin._watches] == [1] * 100


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"rules": {"a": {**ADMIN, "patterns": "(a"}}}, r"rules\.a\.patterns\.0.*'\(a' is no regular expression"),
        ({"rules": {"a": {**ADMIN, "patterns": ["b", r"(a)\1"]}}}, r"rules\.a\.patterns\.1.*invalid escape"),
        ({"rules": {"a": {**ADMIN, "patterns": ""}}}, r"rules\.a\.patterns\.0.*'' matches everything"),
        ({"rules": {"a": {**ADMIN, "patterns": "a*"}}}, "matches everything"),
        ({"rules": {"a": {**ADMIN, "patterns": []}}}, r"rules\.a\.patterns"),
        ({"rules": {"a": {**ADMIN, "where": "url"}}}, r'rules\.a\.where\.0.*expected "path", .*"header:NAME", not'),
        ({"rules": {"a": {"where": "header:a b", "patterns": "a"}}}, r"rules\.a\.where\.0.*is not a token"),
        ({"rules": {"a": {**ADMIN, "status": 200}}}, r"rules\.a\.status.*400"),
        ({"rules": {"a": {**ADMIN, "pattern": "x"}}}, "unknown key 'pattern'; did you mean 'patterns'"),
        ({"builtin": ["dotfiles"]}, r"^1 validation error.*builtin\n.*a list of 'dot-files', .*, not 'dotfiles'"),
        ({"builtin": "all"}, "not 'all'"),
        ({"max_body": 0}, "max_body"),
    ],
)  # fmt: skip
def test_what_cannot_be_is_refused_at_load(settings, message):
    with pytest.raises(ValidationError, match=rf"(?s){message}"):
        BlockRules.Config.model_validate(settings)


def test_an_empty_value_can_be_looked_for():
    plugin = block_rules({"agent": {"where": "header:user-agent", "patterns": "^$"}})
    assert [status(plugin, headers={"user-agent": value}) for value in ("", "curl")] == [403, 200]


def test_too_many_patterns_are_an_error_at_load(monkeypatch):
    monkeypatch.setattr("gateway_security.rule_patterns.MOST_MEMORY", 1024 * 1024)
    patterns = [f"{number}[a-z]{{500}}" for number in range(200)]
    assert status(block_rules({"few": {"where": "path", "patterns": patterns[:3]}}), "/1" + "a" * 500) == 403
    with pytest.raises(ValueError, match=r"rules for 'path': 200 patterns are too large together"):
        block_rules({"many": {"where": "path", "patterns": patterns}})


@pytest.mark.parametrize("settings", [{"rules": {"admin": ADMIN}}, {"builtin": True}])
def test_without_the_library_the_error_says_what_to_install(monkeypatch, settings):
    monkeypatch.setitem(sys.modules, "re2", None)
    monkeypatch.delitem(sys.modules, "gateway_security.rule_patterns", raising=False)
    with pytest.raises(ValueError, match=r"'google-re2': pip install 'gateway-security\[block-rules\]'"):
        block_rules(**settings)


# -- the built-in rules ----------------------------------------------------------------------------------------

REFUSED = {
    "dot-files": """/.git /.git/config /app/.GIT/HEAD /.svn/entries /.env /api/.env /.env.production /.env~
        /.htaccess /.aws/credentials /.ssh/id_rsa /x/.DS_Store /.vscode/sftp.json /%2egit/config /a/..;/.git/
        /.%65nv""",
    "traversal": """/../etc/passwd /a/../../b /%2e%2e/x /a/.%2e/x /a/..%2fx /a/..%5cx /a\\..\\b /a/..;/manager
        /%252e%252e%252fetc /a/..""",
    "null-bytes": "/a%00 /a.php%00.png /a%2500",
    "scanners": """/vendor/phpunit/phpunit/src/Util/PHP/eval-stdin.php /_ignition/execute-solution /HNAP1/
        /boaform/admin
        /wp-config.php.bak /wp-config.php~ /wp-config.php_old /id_rsa /x/sftp-config.json /etc/passwd""",
}
LEFT_ALONE = """/ /index.html /.well-known/acme-challenge/x /.well-known/security.txt /repo.git/info/refs /u/r.git
    /git/config /a.env /env /environment /a..b /a/...b/c /... /a/..b /wiki/Path_traversal /wp-login.php /wp-admin/
    /wp-config.php /phpmyadmin/ /docs/.nojekyll /.gitignore /.github/x /%20/a%2fb /caf%C3%A9 /a;v=1/b /a//b /50%25
    /wiki/etc/passwd /id_rsa.pub /cgi-bin/x /a/./b /x%252fy /server-status /@user/.config /v1.0..v2.0"""


@pytest.mark.parametrize("name", BUILTIN)
def test_a_builtin_rule_finds_what_it_is_for(name):
    plugin = block_rules(builtin=[name])
    assert [target for target in REFUSED[name].split() if status(plugin, target) != 403] == []


def test_builtin_rules_leave_alone_what_sites_serve():
    plugin = block_rules(builtin=True)
    assert [target for target in LEFT_ALONE.split() if status(plugin, target) != 200] == []


# -- in a gateway ----------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def app(module_origin):
    return module_origin()


@pytest.fixture(scope="module")
def site(module_gateway, app):
    rules = {
        "admin": {**ADMIN, "status": 404},
        "script": {"where": ["query", "body"], "patterns": "<script"},
        "curl": {"where": "header:user-agent", "patterns": "^curl/", "log_only": True},
    }
    plugins = [{"use": "block-rules", "builtin": True, "rules": rules, "max_body": "32KiB"}]
    routes = [
        {"upstream": "app", "match": {"path": "/open/"}, "plugins": {"block-rules": {"log_only": True}}},
        {"upstream": "app"},
    ]
    return module_gateway(endpoints=[app], plugins=plugins, routes=routes)


def post(site, body: Iterable[bytes], path: str = "/", fields: str = "") -> Response:
    data = b"".join(body)
    head = f"POST {path} HTTP/1.1\r\nHost: a\r\n{fields or f'Content-Length: {len(data)}{chr(13)}{chr(10)}'}\r\n"
    return site.request(head.encode() + data)


def test_what_is_refused_gets_the_page_of_the_gateway_and_does_not_reach_the_endpoint(site, app):
    app.reset()
    answer = site.get("/x/../%61dmin/.env", headers={"accept": "application/json"})
    assert answer.status == 404
    assert answer.text.startswith('{"status":404,"error":"Not Found"')
    assert [site.get(path).status for path in ("/.git/config", "/?q=%3Cscript", "/a%00")] == [403] * 3
    assert app.requests == []
    assert "block-rules: refused 127.0.0.1: rule 'builtin/dot-files' (GET '/.git/config'" in site.log


def test_a_body_that_was_looked_at_arrives_unchanged(site, app):
    app.reset()
    data = bytes(range(256)) * 100
    assert post(site, [data]).status == 200
    assert app.last.body == data
    chunks = b"6400\r\n" + data + b"\r\n0\r\n\r\n"
    assert post(site, [chunks], fields="Transfer-Encoding: chunked\r\n").status == 200
    assert app.last.body == data
    assert post(site, [b"a<script"]).status == 403
    assert post(site, [b"a" * 40000]).status == 413
    assert len(app.requests) == 2


def test_rules_that_log_let_pass_and_are_counted(site):
    assert site.get(headers={"user-agent": "curl/8"}).status == 200
    assert site.get("/open/.env").status == 200
    metrics = site.command("metrics").stdout
    assert 'gateway_block_rules_found_total{rule="curl",action="logged"} 1' in metrics
    assert 'gateway_block_rules_found_total{rule="builtin/dot-files",action="logged"} 1' in metrics
    assert "would refuse 127.0.0.1: rule 'curl'" in site.log


def test_a_wrong_pattern_stops_the_start_with_its_key_path(gateway, origin):
    rules = {"x": {"where": "path", "patterns": ["a", "(b"]}}
    with pytest.raises(
        GatewayDied, match=r"plugins\[0\].*rules\.x\.patterns\[1\]: '\(b' is no regular expression of RE2"
    ):
        gateway(endpoints=[origin()], plugins=[{"use": "block-rules", "rules": rules}])
