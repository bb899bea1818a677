"""jwt: which tokens are good, what the upstream learns, and what clients are told."""

from __future__ import annotations

import asyncio
import base64
import json
import sys
import threading
import time

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat
from gateway_security import Jwt
from gateway_security.jwks import MAX_BYTES, KeySource, url_reader
from gateway_security.jwt_keys import keys_in
from gateway_security.passwords import parse_hash
from gateway_security.tokens import BadToken, Rules, header_value
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from gateway import Exchange, Request, Response
from gateway.pipeline import Pipeline
from gateway.testing import reply, wait_until

NOW = 2_000_000_000
SECRET = "0123456789abcdef0123456789abcdef"
RSA_KEY = rsa.generate_private_key(65537, 2048)
EC_KEY = ec.generate_private_key(ec.SECP256R1())
ED_KEY = ed25519.Ed25519PrivateKey.generate()


def pem(key: object) -> str:
    return key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()


def jwk(key: object, kid: str | None = None, **more: object) -> dict[str, object]:
    kinds = {rsa.RSAPrivateKey: jwt.algorithms.RSAAlgorithm, ec.EllipticCurvePrivateKey: jwt.algorithms.ECAlgorithm}
    kind = next((made for of, made in kinds.items() if isinstance(key, of)), jwt.algorithms.OKPAlgorithm)
    said = kind.to_jwk(key.public_key(), as_dict=True)
    said.pop("key_ops", None)
    return {**said, **({"kid": kid} if kid else {}), **more}


def document(*keys: dict[str, object]) -> bytes:
    return json.dumps({"keys": keys}).encode()


def token(key: object = SECRET, algorithm: str = "HS256", kid: str | None = None, **claims: object) -> str:
    said = {"sub": "ana", "exp": 4_000_000_000, **claims}
    said = {name: value for name, value in said.items() if value is not None}
    return jwt.encode(said, key, algorithm, {"kid": kid} if kid else None)


def made(clock=lambda: NOW, **settings: object) -> Jwt:
    if not {"secret", "public_keys", "jwks_url", "jwks_file"} & set(settings):
        settings["secret"] = SECRET
    return Jwt(Jwt.Config.model_validate(settings), clock)


def asked(*fields: tuple[str, str], bearer: str = "", method: str = "GET") -> Exchange:
    given = [("authorization", f"Bearer {bearer}")] if bearer else []
    return Exchange(None, Request(method, "/", [("host", "a.example"), *given, *fields]))


def answer(plugin: Jwt, exchange: Exchange) -> Response | None:
    said = plugin.on_request(exchange)
    assert said is None or isinstance(said, Response)
    return said


def status(plugin: Jwt, bearer: str) -> int:
    said = answer(plugin, asked(bearer=bearer))
    return 200 if said is None else said.status


@pytest.mark.parametrize(
    ("settings", "bearer"),
    [
        ({}, token()),
        ({"public_keys": pem(RSA_KEY)}, token(RSA_KEY, "RS256")),
        ({"public_keys": pem(RSA_KEY)}, token(RSA_KEY, "PS256")),
        ({"public_keys": [pem(RSA_KEY), pem(EC_KEY)]}, token(EC_KEY, "ES256")),
        ({"public_keys": [pem(ED_KEY)], "secret": SECRET}, token(ED_KEY, "EdDSA")),
    ],
)
def test_a_token_that_a_known_key_signed_lets_its_bearer_on(settings, bearer):
    exchange = asked(("X-Auth-User", "root"), ("x_auth_user", "root"), bearer=bearer)
    assert answer(made(**settings), exchange) is None
    assert exchange.request.headers.raw[2:] == [(b"x-auth-user", b"ana")]
    assert exchange.notes == [("jwt", "token of 'ana'")]
    assert exchange.user == "ana"


def unsigned(**header: object) -> str:
    parts = (json.dumps(part).encode() for part in (header, {"sub": "ana", "exp": 4_000_000_000}))
    return ".".join(base64.urlsafe_b64encode(part).rstrip(b"=").decode() for part in parts)


def test_a_public_key_is_never_taken_for_a_secret():
    """The confusion of algorithms: a token whose HMAC is made with what everybody knows (RFC 8725 2.1)."""
    public = pem(RSA_KEY)
    part = unsigned(alg="HS256", typ="JWT")
    hmac = jwt.algorithms.HMACAlgorithm(jwt.algorithms.HMACAlgorithm.SHA256).sign(part.encode(), public.encode())
    forged = f"{part}.{base64.urlsafe_b64encode(hmac).rstrip(b'=').decode()}"
    assert status(made(public_keys=public), forged) == 401
    assert status(made(public_keys=public, secret=SECRET), forged) == 401
    assert status(made(public_keys=public), token(RSA_KEY, "RS256")) == 200


@pytest.mark.parametrize(
    "bearer",
    [
        unsigned(alg="none") + ".",
        unsigned(alg="none") + ".AAAA",
        unsigned(alg="None") + ".AAAA",
        unsigned() + ".AAAA",
        unsigned(alg="HS256", crit=["exp"], exp=1) + ".AAAA",
        unsigned(alg="HS256", kid=7) + ".AAAA",
        unsigned(alg=["HS256"]) + ".AAAA",
        token()[:-3] + "AAA",
        token("another secret of thirty-two bytes"),
        token(RSA_KEY, "RS256"),
        "a.b",
        "a.b.c",
        "e30.e30.e30",
        token() + ".more",
        token(iss="x" * 20_000),
        ("W" * 4000) + ".e30.e30",
    ],
)
def test_what_is_not_signed_by_a_known_key_is_refused(bearer, caplog):
    exchange = asked(bearer=bearer)
    response = answer(made(), exchange)
    assert response.status == 401
    assert response.headers.get("www-authenticate") == b'Bearer realm="gateway", error="invalid_token"'
    assert "jwt: answered 401 to 127.0.0.1: " in caplog.text
    assert bearer not in caplog.text


def test_what_stands_in_a_token_begins_no_line_in_the_log(caplog):
    assert status(made(), unsigned(alg="HS256", crit=["x\njwt: let in anybody\u2028"]) + ".AAAA") == 401
    assert len(caplog.messages[0].splitlines()) == 1


@pytest.mark.parametrize(
    ("settings", "claims", "wanted"),
    [
        ({}, {"exp": 1_000_000_000}, 401),
        ({}, {"exp": None}, 401),
        ({"require": []}, {"exp": None}, 200),
        ({"require": ["exp", "jti"]}, {}, 401),
        ({}, {"nbf": 3_900_000_000}, 401),
        ({}, {"iat": 3_900_000_000}, 401),
        ({"issuers": "a"}, {"iss": "a"}, 200),
        ({"issuers": ["a", "b"]}, {"iss": "b"}, 200),
        ({"issuers": "a"}, {"iss": "c"}, 401),
        ({"issuers": "ab"}, {"iss": "a"}, 401),
        ({"issuers": "a"}, {}, 401),
        ({"audiences": "api"}, {"aud": "api"}, 200),
        ({"audiences": "api"}, {"aud": ["web", "api"]}, 200),
        ({"audiences": "api"}, {"aud": "web"}, 401),
        ({"audiences": "api"}, {}, 401),
        ({}, {"aud": "api"}, 401),
        ({"scopes": ["read", "write"]}, {"scope": "write openid read"}, 200),
        ({"scopes": ["read"]}, {"scp": ["read"]}, 200),
        ({"scopes": ["read"]}, {"scope": "readall"}, 403),
        ({"scopes": ["read"]}, {}, 403),
        ({"claims": {"groups": ["staff", "ops"]}}, {"groups": ["ops"]}, 200),
        ({"claims": {"groups": "staff"}}, {"groups": "staff"}, 200),
        ({"claims": {"groups": "staff"}}, {"groups": ["staffing"]}, 403),
        ({"claims": {"groups": "staff"}}, {"groups": {"staff": 1}}, 403),
        ({"claims": {"groups": "staff"}}, {}, 403),
        ({"claims": {"admin": "true"}}, {"admin": True}, 200),
        ({"claims": {"realm_access.roles": "a"}}, {"realm_access": {"roles": ["a"]}}, 200),
        ({"claims": {"realm_access.roles": "a"}}, {"realm_access": "roles"}, 403),
        ({"claims": {"https://a.b/c": "1"}}, {"https://a.b/c": 1}, 200),
    ],
)
def test_the_claims_decide(settings, claims, wanted):
    assert status(made(**settings), token(**claims)) == wanted


def test_clocks_may_differ_a_little():
    late = token(exp=int(time.time()) - 30)
    assert status(made(clock=time.time, leeway="60s"), late) == 200
    assert status(made(clock=time.time, leeway="1s"), late) == 401


def test_what_a_token_lacks_is_told_as_the_rfc_has_it():
    response = answer(made(scopes=["read", "write"]), asked(bearer=token(scope="read")))
    assert response.headers.get("www-authenticate") == (
        b'Bearer realm="gateway", error="insufficient_scope", scope="read write"'
    )


def test_without_a_token_the_challenge_has_no_error_and_two_fields_are_a_bad_request():
    response = answer(made(realm="api"), asked(("authorization", "Basic YTpi")))
    assert (response.status, response.headers.get("www-authenticate")) == (401, b'Bearer realm="api"')
    response = answer(made(), asked(("authorization", f"Bearer {token()}"), bearer=token()))
    assert response.status == 400
    assert b'error="invalid_request"' in response.headers.get("www-authenticate")


def test_claims_go_into_headers_that_no_client_can_forge():
    headers = {"X-User": "sub", "x-roles": "realm_access.roles", "x-age": "age", "x-map": "map", "x-none": "none"}
    bearer = token(sub="zoë", realm_access={"roles": ["a", "b"]}, age=7, map={"é": 1})
    exchange = asked(("x-none", "forged"), ("X_Roles", "root"), ("connection", "x-user"), bearer=bearer)
    assert answer(made(headers=headers), exchange) is None
    assert exchange.request.headers.raw[2:] == [
        (b"x-user", "zoë".encode()),
        (b"x-roles", b"a,b"),
        (b"x-age", b"7"),
        (b"x-map", b'{"\\u00e9":1}'),
    ]


@pytest.mark.parametrize("subject", ["a\r\nx-admin: 1", "a\x00"])
def test_a_claim_that_would_be_a_header_of_its_own_refuses_the_token(subject):
    assert status(made(), token(sub=subject)) == 401


def test_a_member_of_a_list_cannot_pass_for_two():
    assert status(made(headers={"x-groups": "groups"}), token(groups=["a", "b,admin"])) == 401


@settings(deadline=None, database=None, max_examples=40)
@given(
    st.recursive(st.none() | st.booleans() | st.integers() | st.text(), lambda inner: st.lists(inner, max_size=3))
)
def test_no_claim_breaks_a_header(value):
    try:
        said = header_value(value)
    except BadToken:
        return
    assert said is None or not {0, 10, 13} & set(said)


def test_a_cookie_is_looked_at_where_it_is_named():
    assert answer(made(), asked(("cookie", f"session={token()}"))).status == 401
    plugin = made(cookie="session")
    exchange = asked(("cookie", f"a=b; session={token()}"))
    assert answer(plugin, exchange) is None
    assert exchange.request.headers.get("x-auth-user") == b"ana"
    assert answer(plugin, asked(("cookie", f"session={token()}; session=x"))).status == 401
    assert answer(plugin, asked(("cookie", f"session={token()}"), bearer="a.b.c")).status == 401
    assert answer(plugin, asked(("cookie", f"Session={token()}"))).status == 401


def test_the_token_is_taken_off_where_that_is_wanted():
    plugin = made(cookie="session", forward_token=False, headers={})
    exchange = asked(("cookie", "a=b; session=x; c=d"), bearer=token())
    assert answer(plugin, exchange) is None
    assert exchange.request.headers.raw == [(b"host", b"a.example"), (b"cookie", b"a=b; c=d")]


def test_a_response_to_a_token_that_a_cache_cannot_see_is_private():
    plugin = made(cookie="session")
    exchange, response = asked(("cookie", f"session={token()}")), Response(200)
    answer(plugin, exchange)
    plugin.on_upstream_response(exchange, response)
    assert response.headers.get("cache-control") == b"private"
    seen = Response(200)
    plugin.on_upstream_response(asked(bearer=token()), seen)
    assert b"cache-control" not in seen.headers
    assert not Pipeline([("jwt", made())]).on_upstream_response


def test_preflights_pass_only_where_that_is_set():
    fields = [("origin", "https://b"), ("access-control-request-method", "PUT"), ("x-auth-user", "root")]
    assert answer(made(), asked(*fields, method="OPTIONS")).status == 401
    exchange = asked(*fields, method="OPTIONS")
    assert answer(made(allow_preflight=True), exchange) is None
    assert b"x-auth-user" not in exchange.request.headers
    assert answer(made(allow_preflight=True), asked(method="OPTIONS")).status == 401


def test_a_valid_token_is_known_until_it_expires_and_no_longer_than_is_set(monkeypatch):
    now = [float(NOW)]
    plugin = made(lambda: now[0], leeway=10, remember=300)
    checks = []
    verify = Rules.verify
    monkeypatch.setattr(Rules, "verify", lambda *given: checks.append(1) or verify(*given))
    for moment, count in [(0, 1), (299, 1), (301, 2)]:
        now[0] = NOW + moment
        assert status(plugin, token()) == 200
        assert len(checks) == count
    now[0] = 4_000_000_000 - 5
    status(plugin, token())
    now[0] += 14
    status(plugin, token())
    assert len(checks) == 3
    now[0] += 2
    status(plugin, token())
    assert len(checks) == 4


def test_a_refusal_is_not_remembered():
    plugin = made(scopes="read")
    for _ in range(2):
        assert status(plugin, token()) == 403
    assert not plugin._known


# -- keys --------------------------------------------------------------------------------------------------------


def test_keys_of_a_document_are_for_their_own_algorithms(caplog):
    keys = keys_in(
        document(
            jwk(RSA_KEY, "a"),
            jwk(RSA_KEY, "b", alg="RS256"),
            jwk(EC_KEY, "c"),
            jwk(ED_KEY),
            jwk(RSA_KEY, "d", use="enc"),
            jwk(RSA_KEY, "e", alg="RSA-OAEP"),
            {"kty": "oct", "k": "AAAA", "kid": "f"},
            jwk(rsa.generate_private_key(65537, 1024), "weak"),
            jwk(RSA_KEY, "g", d="AQAB"),
            {"kty": "RSA"},
            7,
        ),
        ["RS256", "PS256", "ES256", "EdDSA", "HS256"],
    )
    assert [(key.kid, sorted(key.algorithms)) for key in keys] == [
        ("a", ["PS256", "RS256"]),
        ("b", ["RS256"]),
        ("c", ["ES256"]),
        (None, ["EdDSA"]),
    ]
    for words in ("never published", "1024 bits is too weak", "it is a private key"):
        assert words in caplog.text


@settings(deadline=None, database=None, max_examples=40)
@given(st.binary() | st.recursive(st.none() | st.text(), lambda x: st.lists(x) | st.dictionaries(st.text(), x)))
def test_any_document_is_keys_or_one_clear_error(data):
    texts = [data] if isinstance(data, bytes) else [json.dumps(each).encode() for each in (data, {"keys": data})]
    for text in texts:
        with pytest.raises(ValueError, match=r"not a JWKS|no key in it|more than"):
            keys_in(text, ["RS256"])


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({}, "no token could be checked"),
        ({"jwks_url": "http://issuer.example/"}, "over http anybody"),
        ({"jwks_url": "file:///etc/passwd"}, "expected a URL"),
        ({"jwks_url": "https://a:b@issuer.example/"}, "credentials"),
        ({"jwks_url": "https://a/", "jwks_file": "x"}, "leave one of them out"),
        ({"secret": SECRET, "algorithms": ["none"]}, "Input should be 'RS256'"),
        ({"secret": SECRET, "algorithms": []}, "at least 1"),
        ({"secret": SECRET, "headers": {"host": "sub"}}, "is set by the gateway"),
        ({"secret": SECRET, "cookie": "a b"}, "not a token"),
        ({"secret": SECRET, "scopes": ['a"b']}, "without quotes"),
    ],
)
def test_settings_that_cannot_be_are_refused(settings, words):
    with pytest.raises(ValidationError, match=words):
        Jwt.Config.model_validate(settings)


PRIVATE = RSA_KEY.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"secret": "short"}, "secret: HS256 needs a secret of at least 32 bytes, this one has 5"),
        ({"secret": SECRET, "algorithms": ["HS512"]}, "secret: HS512 needs a secret of at least 64 bytes"),
        ({"secret": SECRET, "algorithms": ["RS256"]}, "secret: no algorithm is allowed that uses a secret"),
        ({"secret": pem(RSA_KEY)}, "secret: this is a key in PEM"),
        ({"public_keys": PRIVATE}, r"public_keys\[0\]: this is a private key"),
        ({"public_keys": ["x"]}, r"public_keys\[0\]: expected a public key in PEM"),
        ({"public_keys": pem(EC_KEY), "algorithms": ["RS256"]}, "add one of ES256 to algorithms"),
        ({"public_keys": pem(rsa.generate_private_key(65537, 1024))}, "1024 bits is too weak"),
        ({"jwks_file": "/nowhere/keys.json"}, "jwks_file: .* cannot be read: No such file"),
    ],
)
def test_keys_that_cannot_be_are_refused_at_load(settings, words):
    with pytest.raises(ValueError, match=words) as refused:
        made(**settings)
    assert SECRET not in str(refused.value)


def test_a_document_that_is_none_refuses_the_start(tmp_path):
    path = tmp_path / "keys.json"
    path.write_bytes(b"<html>")
    with pytest.raises(ValueError, match=r"jwks_file: .*keys\.json: not a JWKS"):
        made(jwks_file=str(path))


class Issuer:
    """In the place of a URL: what it publishes, and how often it was asked."""

    def __init__(self, *keys: dict[str, object]) -> None:
        self.keys, self.asked, self.is_away = keys, 0, False

    def read(self) -> bytes:
        self.asked += 1
        if self.is_away:
            raise OSError("connection refused")
        return document(*self.keys)


def with_issuer(issuer: Issuer, now: list[float]) -> Jwt:
    plugin = made(jwks_url="https://issuer.example/")

    def parse(data: bytes):
        return keys_in(data, ["RS256", "ES256"])

    plugin._source = KeySource(
        issuer.read, parse, pause=30, patience=5, changed=plugin._known.clear, clock=lambda: now[0]
    )
    return plugin


async def judged(plugin: Jwt, bearer: str) -> int:
    said = plugin.on_request(asked(bearer=bearer))
    if asyncio.iscoroutine(said):
        said = await said
    return 200 if said is None else said.status


async def test_an_unknown_key_is_fetched_at_once_but_not_all_the_time():
    issuer, now = Issuer(jwk(RSA_KEY, "old")), [0.0]
    plugin = with_issuer(issuer, now)
    assert await judged(plugin, token(RSA_KEY, "RS256", "old")) == 200
    new = token(EC_KEY, "ES256", "new")
    issuer.keys = (jwk(EC_KEY, "new"),)
    assert await judged(plugin, new) == 401
    assert issuer.asked == 1
    now[0] = 31.0
    assert await asyncio.gather(*(judged(plugin, new) for _ in range(5))) == [200] * 5
    assert issuer.asked == 2


async def test_a_key_that_is_withdrawn_ends_tokens_that_were_known():
    issuer, now = Issuer(jwk(RSA_KEY, "old")), [0.0]
    plugin = with_issuer(issuer, now)
    old = token(RSA_KEY, "RS256", "old")
    assert await judged(plugin, old) == 200
    issuer.keys = (jwk(EC_KEY, "new"),)
    now[0] = 31.0
    await plugin._source.refresh()
    assert await judged(plugin, old) == 401


async def test_while_the_issuer_is_away_its_keys_hold_and_without_any_the_answer_is_503(caplog):
    issuer, now = Issuer(jwk(RSA_KEY, "a")), [0.0]
    issuer.is_away = True
    plugin = with_issuer(issuer, now)
    bearer = token(RSA_KEY, "RS256", "a")
    assert await judged(plugin, bearer) == 503
    issuer.is_away, now[0] = False, 31.0
    assert await judged(plugin, bearer) == 200
    issuer.is_away, now[0] = True, 62.0
    await plugin._source.refresh()
    plugin._known.clear()
    assert await judged(plugin, bearer) == 200
    assert "no token can be checked: connection refused" in caplog.text
    assert "the keys stay as they were: connection refused" in caplog.text


@pytest.mark.parametrize(
    ("said", "words"),
    [
        (b"HTTP/1.1 302 Found\r\nLocation: file:///etc/passwd\r\nContent-Length: 0\r\n\r\n", "status 302"),
        (reply(b"", status=b"500 Oops"), "status 500"),
        (b"nonsense\r\n\r\n", "BadStatusLine"),
        (reply(b"x" * (MAX_BYTES + 1)), "more than 1048576 bytes"),
    ],
)
def test_a_url_that_gives_no_document_is_one_clear_error(origin, said, words):
    read = url_reader(f"{origin(said).url}/jwks.json", 5)
    with pytest.raises((OSError, ValueError), match=words):
        read()


@pytest.mark.parametrize(
    ("library", "make"),
    [
        ("jwt", made),
        ("cryptography", made),
        ("argon2", lambda: parse_hash("$argon2id$v=19$m=8,t=1,p=1$c2FsdHNhbHQ$aGFzaGhhc2hoYXNoaGFzaA")),
        ("bcrypt", lambda: parse_hash("$2b$05$" + "a" * 53)),
    ],
)
def test_a_library_that_is_missing_is_named_with_the_mend(monkeypatch, library, make):
    monkeypatch.setitem(sys.modules, library, None)
    with pytest.raises(ValueError, match=rf"needs {library}.*: pip install 'gateway-security\["):
        make()


async def test_keys_are_fetched_again_and_again():
    issuer = Issuer(jwk(RSA_KEY, "a"))
    source = KeySource(
        issuer.read, lambda data: keys_in(data, ["RS256"]), pause=0.001, patience=5, changed=lambda: None
    )
    running = asyncio.create_task(source.run(0.005))
    await asyncio.to_thread(wait_until, lambda: issuer.asked >= 3)
    running.cancel()
    assert [key.kid for key in source.keys] == ["a"]


async def test_nobody_waits_for_an_issuer_that_says_nothing():
    held = threading.Event()

    def hang() -> bytes:
        held.wait(10)
        return b""

    source = KeySource(hang, lambda data: (), pause=30, patience=0.01, changed=lambda: None)
    await source.refresh()
    assert not held.is_set()
    held.set()
    await source._task


async def test_a_wrong_signature_of_a_known_key_fetches_nothing():
    issuer = Issuer(jwk(RSA_KEY, "a"))
    plugin = with_issuer(issuer, [0.0])
    await plugin._source.refresh()
    forged = token(rsa.generate_private_key(65537, 2048), "RS256", "a")
    assert await judged(plugin, forged) == 401
    assert issuer.asked == 1


@pytest.mark.parametrize(
    ("bearer", "said"),
    [
        (token("another secret, of 32 bytes or more"), "its signature is wrong for every key that may be meant by"),
        (token(EC_KEY, "ES256", "b"), "there is no key for ES256 and kid 'b'"),
    ],
)
def test_the_log_says_whether_the_key_or_the_signature_is_wrong(caplog, bearer, said):
    assert status(made(), bearer) == 401
    assert said in caplog.text


def test_in_a_gateway_keys_come_from_the_issuer_and_others_get_nothing(gateway, origin):
    app, issuer = origin(reply(b"hello")), origin(reply(document(jwk(RSA_KEY, "a"))))
    uses = {"use": "jwt", "jwks_url": f"{issuer.url}/jwks.json", "audiences": ["api"], "scopes": ["read"]}
    site = gateway(endpoints=[app], plugins=[uses])
    assert [request.target for request in issuer.requests] == [b"/jwks.json"]
    good = token(RSA_KEY, "RS256", "a", aud="api", scope="read")
    forged = {"authorization": f"Bearer {good}", "x-auth-user": "root", "connection": "X-Auth-User"}
    assert site.get("/", headers=forged).body == b"hello"
    (seen,) = app.requests
    assert [value for name, value in seen.headers if name.lower() == b"x-auth-user"] == [b"ana"]
    poor = token(RSA_KEY, "RS256", "a", aud="api")
    for bearer, wanted in [(poor, 403), (token(), 401), (token(EC_KEY, "ES256", "b", aud="api"), 401)]:
        assert site.get("/", headers={"authorization": f"Bearer {bearer}"}).status == wanted
    assert site.get("/").status == 401
    assert len(app.requests) == 1
