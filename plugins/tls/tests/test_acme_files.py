"""Settings of ACME and the folder in which it keeps keys and certificates."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import pytest
from gateway_tls.acme import automatic
from gateway_tls.acme.keys import stand_in
from gateway_tls.acme.settings import Acme
from gateway_tls.acme.storage import Storage
from pydantic import ValidationError

from gateway import App, ConfigurationError, PluginError
from gateway.config.loader import load
from gateway.testing import site_text


def settings(storage: Path, *domains: str, **others: Any) -> Acme:
    given = {"domains": domains or ("a.test",), "storage": storage, "agree_to_terms": True}
    return Acme.model_validate({**given, **others})


# -- settings ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ({"domains": []}, "at least 1 item"),
        ({"domains": ["*.a.test"]}, "a wildcard is proven by DNS"),
        ({"domains": ["ü.test"]}, "with xn--"),
        ({"domains": ["127.0.0.1"]}, "expected a host such as"),
        ({"domains": ["a..test"]}, "expected a host such as"),
        ({"domains": ["../a"]}, "expected a host such as"),
        ({"domains": ["a.test", "A.test."]}, "'a.test' stands there twice"),
        ({"agree_to_terms": False}, "once you have read the terms"),
        ({"directory": "http://a.test/dir"}, "expected a URL such as"),
        ({"challenge": "dns-01"}, "tls-alpn-01"),
        ({"eab": {"key_id": "1", "hmac": "no base64!"}}, "expected a key in base64url"),
    ],
)
def test_a_setting_that_cannot_be_is_refused(tmp_path, wrong, told):
    with pytest.raises(ValidationError) as caught:
        settings(tmp_path, **wrong)
    assert told in str(caught.value)


def test_a_key_of_the_servers_owner_is_not_shown(tmp_path):
    bound = settings(tmp_path, eab={"key_id": "1", "hmac": "c2VjcmV0"})
    assert "c2VjcmV0" not in repr(bound)
    with pytest.raises(ValidationError) as caught:
        settings(tmp_path, eab={"key_id": "1", "hmac": "c2V jcmV0"})
    assert "expected a key" in str(caught.value).partition("[")[0]


def test_terms_are_not_agreed_to_by_silence(tmp_path):
    with pytest.raises(ValidationError, match="agree_to_terms = true"):
        Acme.model_validate({"domains": ["a.test"], "storage": tmp_path})


def build(tmp_path: Path, acme: dict[str, Any], plaintext: bool = True, **plugin: Any) -> App:
    listeners: list[dict[str, Any]] = [{"bind": "127.0.0.1:0"}] if plaintext else []
    listeners.append({"bind": "127.0.0.1:0", "tls": {"acme": {"agree_to_terms": True, **acme}}})
    site = tmp_path / "site.toml"
    plugins = [{"use": "tls", **plugin}]
    site.write_text(site_text(["http://127.0.0.1:9"], plugins=plugins, listeners=listeners))
    return App(load(str(site)))


def test_a_missing_library_is_one_clear_error(tmp_path, monkeypatch):
    monkeypatch.setattr(automatic, "find_spec", lambda name: None)
    with pytest.raises(ConfigurationError) as caught:
        build(tmp_path, {"domains": ["a.test"], "storage": "acme"})
    assert "tls.acme: needs the package 'acme': pip install 'gateway-tls[acme]'" in str(caught.value)


def test_a_storage_that_is_of_no_use_is_one_clear_error(tmp_path):
    (tmp_path / "open").mkdir(mode=0o755)
    (tmp_path / "file").write_text("")
    for name, told in (("open", "chmod 700"), ("file", "is no folder"), ("file/below", "Not a directory")):
        with pytest.raises(ConfigurationError) as caught:
            build(tmp_path, {"domains": ["a.test"], "storage": name})
        assert "tls.acme.storage: " in str(caught.value)
        assert told in str(caught.value)


def test_building_an_app_writes_nothing(tmp_path):
    build(tmp_path, {"domains": ["a.test"], "storage": "acme"})
    assert not (tmp_path / "acme").exists()


@pytest.mark.parametrize(
    ("plaintext", "plugin", "told"),
    [(False, {"http_01": True}, "needs a listener without TLS"), (True, {}, "needs plugins.tls.http_01 = true")],
)
async def test_http_01_that_nobody_would_answer_is_refused(tmp_path, plaintext, plugin, told):
    acme = {"domains": ["a.test"], "storage": "acme", "challenge": "http-01"}
    app = build(tmp_path, acme, plaintext, **plugin)
    with pytest.raises(PluginError, match=told):
        await app.startup()
    with pytest.raises(ConfigurationError, match=told):
        dict(app.plugins)["tls"].on_check(app)


# -- files ---------------------------------------------------------------------------------------------------------


def test_what_is_written_can_be_read_by_nobody_else(storage):
    storage.save_certificate(b"certificate")
    storage.save_account_key(b"key")
    storage.pause_until(5)
    storage.show_answers("http-01", {"token": "answer"})
    files = list(storage.certificate.parent.iterdir())
    assert len(files) == 4
    assert {path.stat().st_mode & 0o777 for path in files} == {0o600}
    assert storage.certificate.parent.stat().st_mode & 0o777 == 0o700


def test_the_order_of_further_domains_does_not_matter_and_the_server_does(tmp_path):
    def place(*domains: str, **others: str) -> Path:
        return Storage(settings(tmp_path, *domains, **others)).certificate

    assert place("a.test", "b.test", "c.test") == place("a.test", "c.test", "b.test")
    assert place("a.test") != place("a.test", "b.test")
    assert place("a.test") != place("a.test", directory="https://staging.test/")


def test_until_a_host_more_has_its_certificate_the_former_one_serves(tmp_path):
    former = Storage(settings(tmp_path, "a.test"))
    former.prepare()
    former.save_certificate(stand_in(["a.test"]))
    other = Storage(settings(tmp_path, "c.test"))
    other.save_certificate(stand_in(["c.test"]))
    (tmp_path / former.certificate.parent / "broken.pem").write_text("broken")
    now = Storage(settings(tmp_path, "a.test", "b.test"))
    assert now.serving() == former.certificate
    now.save_certificate(stand_in(["a.test", "b.test"]))
    assert now.serving() == now.certificate
    assert Storage(settings(tmp_path, "d.test")).serving() is None


def test_answers_are_there_for_others_until_the_order_is_over(storage, tmp_path):
    other = Storage(settings(tmp_path / "acme", "b.test"))
    assert other.answer("tls-alpn-01", "a.test") is None
    storage.show_answers("tls-alpn-01", {"a.test": "what the server wants"})
    assert other.answer("tls-alpn-01", "a.test") == "what the server wants"
    assert other.answer("http-01", "a.test") is None
    assert other.answer("tls-alpn-01", "b.test") is None
    storage.forget_answers()
    storage.forget_answers()
    assert other.answer("tls-alpn-01", "a.test") is None


def test_one_at_a_time_deals_with_the_server(storage):
    entered = threading.Event()

    def enter() -> None:
        with storage.lock():
            entered.set()

    waiting = threading.Thread(target=enter)
    with storage.lock():
        waiting.start()
        assert not entered.wait(0.05)
    assert entered.wait(5)
    waiting.join()
