"""The settings' models: addresses, endpoints, defaults, and what does not fit together."""

from __future__ import annotations

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from gateway.config.model import (
    Address,
    EndpointURL,
    Listener,
    Match,
    Route,
    Settings,
    Upstream,
    parse_bind,
    split_endpoint,
)
from gateway.config.types import parse_network


class TestBinds:
    @pytest.mark.parametrize(
        ("written", "address"),
        [
            ("127.0.0.1:8080", Address("127.0.0.1", 8080)),
            ("[::1]:8080", Address("::1", 8080)),
            (":8080", Address("0.0.0.0", 8080)),
            ("*:8080", Address("0.0.0.0", 8080)),
            ("8080", Address("0.0.0.0", 8080)),
            ("localhost:1", Address("127.0.0.1", 1)),
            ("0.0.0.0:0", Address("0.0.0.0", 0)),
            ("unix:/run/x.sock", Address(path="/run/x.sock")),
        ],
    )
    def test_an_address_is_read_as_people_write_it(self, written, address):
        assert parse_bind(written) == address

    @pytest.mark.parametrize(
        "written", ["", "nowhere", "example.com:80", "127.0.0.1", "127.0.0.1:", "127.0.0.1:x", "1.2.3.4:65536",
                    "1.2.3.4:-1", "[::1]", "unix:", "127.0.0.1:8_0", "127.0.0.1:+80", "300.0.0.1:80", "[[::1]]:80"],
    )  # fmt: skip
    def test_what_is_no_address_is_refused(self, written):
        with pytest.raises(ValueError, match=r"expected|unix"):
            parse_bind(written)

    def test_a_port_that_is_too_large_is_told_the_range(self):
        with pytest.raises(ValueError, match="expected a port from 0 to 65535, not 99999"):
            parse_bind("127.0.0.1:99999")

    @given(st.ip_addresses(), st.integers(0, 65535))
    def test_an_address_is_written_as_it_is_read(self, host, port):
        address = Address(str(host), port)
        assert parse_bind(str(address)) == address


class TestEndpoints:
    @pytest.mark.parametrize(
        ("url", "parts", "authority"),
        [
            ("http://10.0.0.1:8000", EndpointURL("http", Address("10.0.0.1", 8000)), "10.0.0.1:8000"),
            ("http://app", EndpointURL("http", Address("app", 80)), "app"),
            ("https://app/", EndpointURL("https", Address("app", 443)), "app"),
            ("https://app:80", EndpointURL("https", Address("app", 80)), "app:80"),
            ("http://[::1]:9", EndpointURL("http", Address("::1", 9)), "[::1]:9"),
            ("10.0.0.1:8000", EndpointURL("http", Address("10.0.0.1", 8000)), "10.0.0.1:8000"),
            ("app", EndpointURL("http", Address("app", 80)), "app"),
            ("HTTP://App", EndpointURL("http", Address("app", 80)), "app"),
            ("unix:/run/app.sock", EndpointURL("http", Address(path="/run/app.sock")), "localhost"),
        ],
    )
    def test_an_endpoint_is_scheme_host_and_port(self, url, parts, authority):
        assert split_endpoint(url) == parts
        assert split_endpoint(url).authority == authority

    @pytest.mark.parametrize(
        "url",
        [
            "", "ftp://a", "http://", "http://a:0", "http://a:65536", "http://a:x", "http://a/path", "http://a?x=1",
            "http://u:p@a", "http://[::1", "unix:", "http://:80", "http://a#b", "http://a b", "http://a\r\nx: y",
            "http://a\x00", "http://caf\xe9 ",
        ],
    )  # fmt: skip
    def test_what_is_no_endpoint_is_refused(self, url):
        with pytest.raises(ValueError, match=r"."):
            split_endpoint(url)

    @given(st.text(max_size=20))
    def test_any_text_is_an_endpoint_or_a_value_error(self, url):
        try:
            parts = split_endpoint(url)
        except ValueError:
            return
        assert parts.address.path or (parts.address.host and 0 < parts.address.port < 65536)

    def test_endpoints_are_urls_or_tables(self):
        upstream = Upstream.model_validate({"endpoints": ["http://a", {"url": "http://b", "weight": 3}]})
        assert [(each.url, each.weight) for each in upstream.endpoints] == [("http://a", 1), ("http://b", 3)]

    def test_an_upstream_has_at_least_one_endpoint_and_none_twice(self):
        for endpoints in ([], ["http://a", "http://a"]):
            with pytest.raises(ValidationError):
                Upstream.model_validate({"endpoints": endpoints})

    @pytest.mark.parametrize("weight", [-1, 65536, "heavy"])
    def test_a_weight_has_its_limits(self, weight):
        with pytest.raises(ValidationError):
            Upstream.model_validate({"endpoints": [{"url": "http://a", "weight": weight}]})


class TestHostRules:
    @pytest.mark.parametrize("host", ["keep", "endpoint", "app.internal", "app.internal:8080", "[::1]:80"])
    def test_endpoints_see_the_clients_host_their_own_or_a_literal(self, host):
        assert Upstream.model_validate({"endpoints": ["http://a"], "host": host}).host == host

    @pytest.mark.parametrize("host", ["", "a b", "a\r\nx: y", "caf\xe9", "http://a", "a/b"])
    def test_a_literal_that_is_no_host_is_refused(self, host):
        with pytest.raises(ValidationError, match="or a host such as"):
            Upstream.model_validate({"endpoints": ["http://a"], "host": host})


@pytest.mark.parametrize("written", ["round-robin", {"use": "round-robin"}])
def test_a_balancer_is_a_name_or_a_table(written):
    choice = Upstream.model_validate({"endpoints": ["http://a"], "balancer": written}).balancer
    assert (choice.use, choice.settings) == ("round-robin", {})


def test_the_settings_of_a_balancer_stand_beside_its_name():
    written = {"endpoints": ["http://a"], "balancer": {"use": "ring-hash", "key": "header:x"}}
    assert Upstream.model_validate(written).balancer.settings == {"key": "header:x"}


class TestNetworks:
    @pytest.mark.parametrize("written", ["10.0.0.0/8", "fd00::/8", "127.0.0.1", "::1"])
    def test_a_network_or_an_address_is_one(self, written):
        assert parse_network(written) == ipaddress.ip_network(written)

    def test_a_network_with_bits_of_a_host_is_refused_with_the_one_that_is_meant(self):
        with pytest.raises(ValueError, match=r'did you mean "10\.0\.0\.0/8"\?'):
            parse_network("10.0.0.1/8")

    @pytest.mark.parametrize("written", ["", "here", "10.0.0.0/33", "10.0.0"])
    def test_what_is_no_network_is_refused(self, written):
        with pytest.raises(ValueError, match="expected a network"):
            parse_network(written)


class TestMatches:
    def test_a_host_is_lower_case(self):
        assert Match(host="API.Example.COM").host == "api.example.com"

    @pytest.mark.parametrize("host", ["a.*.com", "*", "*a.com", "a/b", "http://a", "*.*.a", "a.com:8080", "a b"])
    def test_a_host_that_could_never_match_is_refused(self, host):
        with pytest.raises(ValidationError, match="expected"):
            Match(host=host)

    @pytest.mark.parametrize("host", ["", "a.com", "*.a.com", "localhost", "127.0.0.1", "[::1]", "a_b"])
    def test_a_host_may_be_exact_a_wildcard_or_any(self, host):
        assert Match(host=host).host == host

    @pytest.mark.parametrize("path", ["", "v1", "*", "http://a/"])
    def test_a_path_begins_with_a_slash(self, path):
        with pytest.raises(ValidationError, match="begins with"):
            Match(path=path)

    def test_a_route_is_called_by_its_name_or_what_it_matches(self):
        assert Route(upstream="a").label == "*/"
        assert Route(upstream="a", match=Match(host="x.y", path="/z")).label == "x.y/z"
        assert Route(upstream="a", name="api").label == "api"


class TestListeners:
    @pytest.mark.parametrize(
        ("settings", "mode", "url"),
        [
            ({"bind": "127.0.0.1:80"}, "1", "http://127.0.0.1:80"),
            ({"bind": "[::1]:80", "http": "2"}, "2", "http://[::1]:80"),
            ({"bind": "127.0.0.1:443", "tls": {"cert": "c", "key": "k"}}, "auto", "https://127.0.0.1:443"),
            (
                {"bind": "127.0.0.1:443", "http": "1", "tls": {"cert": "c", "key": "k"}},
                "1",
                "https://127.0.0.1:443",
            ),
        ],
    )
    def test_plaintext_speaks_http_1_and_tls_both_unless_told_otherwise(self, settings, mode, url):
        listener = Listener.model_validate(settings)
        assert (listener.http_mode, listener.url) == (mode, url)

    def test_a_listener_is_called_by_its_name_or_its_address(self):
        assert Listener.model_validate({"bind": "127.0.0.1:80"}).label == "127.0.0.1:80"
        assert Listener.model_validate({"bind": "127.0.0.1:80", "name": "public"}).label == "public"

    @pytest.mark.parametrize("key", ["max_connections", "backlog"])
    def test_a_listener_takes_at_least_one_connection(self, key):
        with pytest.raises(ValidationError):
            Listener.model_validate({"bind": "127.0.0.1:80", key: 0})

    @pytest.mark.parametrize(
        "binds",
        [
            (":0", ":0"),
            (":80", ":81"),
            (":80", "[::]:80"),
            ("127.0.0.1:80", "127.0.0.2:80", "[::1]:80"),
            ("unix:/run/a", "unix:/run/b"),
        ],
    )
    def test_listeners_have_addresses_that_can_be_bound_side_by_side(self, binds):
        Settings.model_validate({"listeners": [{"bind": bind} for bind in binds]})

    @pytest.mark.parametrize(
        ("binds", "said"),
        [
            (("localhost:80", "127.0.0.1:80"), r"listeners\[1\]\.bind: the same as listeners\[0\]\.bind"),
            (("[::1]:80", "[0:0::1]:80"), r"listeners\[1\]\.bind: .* beside \[::1\]:80, listeners\[0\]\.bind"),
            (("[::1]:1", "[::1]:80", "[::]:80"), r"listeners\[2\]\.bind: .* beside .*, listeners\[1\]\.bind"),
        ],
    )
    def test_listeners_of_which_one_alone_could_be_bound_are_refused(self, binds, said):
        with pytest.raises(ValidationError, match=said):
            Settings.model_validate({"listeners": [{"bind": bind} for bind in binds]})

    def test_a_protocol_that_is_not_there_is_refused(self):
        with pytest.raises(ValueError, match="should be 'http'"):
            Listener(bind="127.0.0.1:8080", protocol="tcp")


def test_a_route_to_an_upstream_that_is_not_defined_is_refused_with_those_that_are():
    written = {
        "listeners": [{"bind": ":0"}],
        "upstreams": {"app": {"endpoints": ["http://a"]}},
        "routes": [{"upstream": "ap"}],
    }
    with pytest.raises(ValidationError, match=r"routes\[0\]\.upstream: no upstream 'ap'; did you mean 'app'\?"):
        Settings.model_validate(written)


def test_every_setting_has_a_default_but_the_listeners():
    settings = Settings.model_validate({"listeners": [{"bind": ":0"}]})
    assert settings.workers >= 1
    assert settings.limits.max_header == 64 * 1024
    assert settings.drain_timeout == 30.0


def test_the_settings_have_a_json_schema():
    assert Settings.model_json_schema()["required"] == ["listeners"]
