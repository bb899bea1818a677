"""An App carries an exchange through the phases, turns failures into answers, and starts and stops its plugins."""

from __future__ import annotations

import asyncio
import logging

import pytest

from gateway import App, EndpointState, Exchange, NoEndpoint, PluginError, Request, Response, lifecycle
from gateway.bus import Bus
from gateway.forward import forward
from gateway.model import RawHeaders

PLUGINS = """
    import asyncio
    from gateway import Response, StateKey, hookimpl

    LOG = []
    PAGE = StateKey("page")

    class Noting:
        @hookimpl
        def on_request(self, exchange):
            LOG.append(f"{type(self).__name__} request")
        @hookimpl
        def on_upstream_response(self, exchange, response):
            LOG.append(f"{type(self).__name__} upstream {response.status}")
        @hookimpl
        def on_response(self, exchange, response):
            LOG.append(f"{type(self).__name__} response {response.status}")
        @hookimpl
        async def startup(self, app):
            LOG.append(f"{type(self).__name__} up")
        @hookimpl
        def shutdown(self, app):
            LOG.append(f"{type(self).__name__} down")

    class A(Noting):
        @hookimpl
        def register(self, registry):
            registry.add("probe", "log", lambda: LOG)

    class B(Noting):
        pass

    class Answering(Noting):
        @hookimpl
        def on_request(self, exchange):
            return Response(403, body="no")

    class Raising(Noting):
        @hookimpl
        def on_request(self, exchange):
            raise KeyError("user")

    class Refusing(Noting):
        @hookimpl
        def startup(self, app):
            raise RuntimeError("no store")

    class Hanging(Noting):
        @hookimpl
        async def startup(self, app):
            LOG.append("hanging")
            await asyncio.Event().wait()

    class Exiting(Noting):
        @hookimpl
        def startup(self, app):
            raise SystemExit

    class Spoiling(Noting):
        @hookimpl
        def on_response(self, exchange, response):
            raise ValueError("spoilt")

    class Apologising(Noting):
        @hookimpl
        def on_error(self, exchange, error):
            return Response(error.status, body="sorry")

    class Wrapping:
        @hookimpl
        def wrap_response_body(self, exchange, body):
            async def wrapped():
                yield b"<"
                async for piece in body:
                    yield piece
                yield b">"
            return wrapped()

    class Rewriting(Wrapping):
        @hookimpl
        def on_response(self, exchange, response):
            exchange[PAGE] = response.headers.text("content-type", "").startswith("text/html")
        @hookimpl
        def wrap_response_body(self, exchange, body):
            return super().wrap_response_body(exchange, body) if exchange.get(PAGE) else None
"""


async def upstream(exchange: Exchange) -> Response:
    """An upstream that always answers."""
    raw: RawHeaders = [(b"x-upstream", b"1")]
    return Response.adopt(200, raw, b"hello")


async def nobody(exchange: Exchange) -> Response:
    raise NoEndpoint("upstream 'app': no endpoint available")


@pytest.fixture
def with_plugins(app):
    """An App with plugins of the file above: `with_plugins("A", "B")`."""

    def build(*names: str, more: str = "") -> App:
        uses = ", ".join(f'"./hooks.py:{name}"' for name in names)
        return app(f"plugins = [{uses}]\n{more}", hooks__py=PLUGINS)

    return build


def log_of(app: App) -> list[str]:
    """What the plugins noted; needs plugin A."""
    return next(iter(app.plugins))[1].on_request.__globals__["LOG"]


async def respond(
    app: App, ask=upstream, target: str = "/", host: str = "example.com"
) -> tuple[Exchange, Response]:
    exchange = Exchange(app, Request("GET", target, {"host": host}))
    return exchange, await app.respond(exchange, ask)


async def test_the_phases_run_in_their_order(with_plugins):
    app = with_plugins("A", "B")
    _, response = await respond(app)
    assert response.body == b"hello"
    assert log_of(app) == [
        "A request", "B request", "B upstream 200", "A upstream 200", "B response 200", "A response 200",
    ]  # fmt: skip


async def test_an_answering_plugin_is_seen_by_those_listed_before_and_the_upstream_is_not_asked(with_plugins):
    app = with_plugins("A", "Answering", "B")
    exchange, response = await respond(app, nobody)
    assert (response.status, response.body) == (403, b"no")
    assert log_of(app) == ["A request", "A response 403"]
    assert exchange.response is response


async def test_a_failing_plugin_is_500_for_the_client_and_named_in_the_log(with_plugins, caplog):
    app = with_plugins("A", "Raising")
    exchange, response = await respond(app)
    assert response.status == 500
    assert "plugin 'Raising' failed in on_request: KeyError('user')" in caplog.text
    assert exchange.id in caplog.text
    assert exchange.id.encode() in response.body
    assert b"Raising" not in response.body
    assert isinstance(exchange.error, PluginError)


async def test_responses_to_failures_pass_the_plugins_too(with_plugins):
    app = with_plugins("A", "B")
    exchange, response = await respond(app, nobody)
    assert response.status == 503
    assert log_of(app)[2:] == ["B response 503", "A response 503"]
    assert isinstance(exchange.error, NoEndpoint)


async def test_a_plugin_may_answer_for_a_failure(with_plugins):
    _, response = await respond(with_plugins("Apologising"), nobody)
    assert (response.status, response.body) == (503, b"sorry")


async def test_a_plugin_that_spoils_every_response_still_leaves_an_answer(with_plugins, caplog):
    _, response = await respond(with_plugins("Spoiling"))
    assert response.status == 500
    assert "plugin 'Spoiling' failed in on_response" in caplog.text


async def test_an_unforeseen_failure_is_500_and_logged_with_the_request_id(with_plugins, caplog):
    async def broken(exchange):
        raise ZeroDivisionError

    exchange, response = await respond(with_plugins(), broken)
    assert response.status == 500
    assert exchange.id in caplog.text
    assert "ZeroDivisionError" in caplog.text


async def test_a_whole_body_is_wrapped_as_a_stream(with_plugins):
    _, response = await respond(with_plugins("Wrapping"))
    assert not isinstance(response.body, bytes)
    assert b"".join([piece async for piece in response.body]) == b"<hello>"


@pytest.mark.parametrize(("kind", "body"), [(b"text/html; charset=utf-8", b"<hello>"), (b"text/css", b"hello")])
async def test_a_body_is_rewritten_by_what_the_response_says_of_it(with_plugins, kind, body):
    async def pages(exchange):
        return Response.adopt(200, [(b"content-type", kind), (b"content-length", b"5")], once(b"hello"))

    _, response = await respond(with_plugins("Rewriting"), pages)
    assert b"".join([piece async for piece in response.body]) == body
    assert ("content-length" in response.headers) == (body == b"hello")


async def once(data: bytes):
    yield data


@pytest.mark.parametrize(
    ("choice", "said"),
    [
        ("1 / 0", "failed in choose: ZeroDivisionError('division by zero')"),
        ("endpoints[0].name", "chose '127.0.0.1:9', which is not an Endpoint"),
    ],
)
async def test_a_balancer_that_fails_is_named_with_its_upstream(app, caplog, choice, said):
    balancer = f"""
        from gateway import hookimpl

        class Mine:
            @hookimpl
            def register(self, registry):
                registry.add_balancer("mine", Mine)
            def choose(self, exchange, endpoints):
                return {choice}
    """
    endpoints = 'upstreams.app = { endpoints = ["http://127.0.0.1:9"], balancer = "mine" }'
    exchange, response = await respond(app(f'plugins = ["./b.py:Mine"]\n{endpoints}', b__py=balancer), forward)
    assert response.status == 500
    assert f"balancer 'mine' of upstream 'app' {said}" in caplog.text
    assert exchange.attempts == []


async def test_without_a_route_the_answer_is_404_and_the_plugins_of_the_gateway_see_it(with_plugins):
    app = with_plugins("A", more='routes = [{ upstream = "app", match = { path = "/v1" } }]')
    exchange, response = await respond(app)
    assert response.status == 404
    assert log_of(app) == ["A response 404"]
    assert exchange.route.name == "none"


async def test_what_is_refused_before_routing_is_answered_like_everything_else(with_plugins):
    _, response = await respond(with_plugins("A"), host="a b")
    assert response.status == 400


async def test_failures_of_clients_do_not_fill_the_log(with_plugins, caplog):
    caplog.set_level(logging.INFO, "gateway")
    await respond(with_plugins(), host="")
    assert caplog.records == []


async def test_plugins_start_in_order_and_stop_in_reverse(with_plugins):
    app = with_plugins("A", "B")
    await app.startup()
    await app.shutdown()
    assert log_of(app) == ["A up", "B up", "B down", "A down"]


async def test_a_plugin_that_refuses_to_start_stops_those_that_did_and_is_named(with_plugins):
    app = with_plugins("A", "B", "Refusing")
    with pytest.raises(
        PluginError, match=r"plugins\.Refusing: failed in startup: hooks\.py line \d+: RuntimeError: no store$"
    ):
        await app.startup()
    assert log_of(app) == ["A up", "B up", "B down", "A down"]


async def test_a_startup_that_does_not_return_is_named_and_ended_by_the_deadline(with_plugins, caplog, monkeypatch):
    monkeypatch.setattr(lifecycle, "MAX_SECONDS", 0.02)
    monkeypatch.setattr(lifecycle, "SLOW_SECONDS", 0.0)
    app = with_plugins("A", "Hanging")
    with pytest.raises(PluginError, match=r"plugin 'Hanging': its startup has not returned within 0\.02 s"):
        await app.startup()
    assert log_of(app) == ["A up", "hanging", "A down"]
    assert "plugin 'Hanging': its startup has not returned for 0 s" in caplog.text


async def test_a_start_that_is_given_up_names_the_plugin_and_stops_those_that_are_up(with_plugins, caplog):
    app = with_plugins("A", "Hanging")
    starting = asyncio.ensure_future(app.startup())
    while log_of(app) != ["A up", "hanging"]:  # noqa: ASYNC110  # the plugin has no event of ours
        await asyncio.sleep(0)
    starting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await starting
    assert log_of(app) == ["A up", "hanging", "A down"]
    assert "plugin 'Hanging': its startup had not returned when the start was given up" in caplog.text


async def test_a_startup_that_ends_what_is_not_its_own_is_a_failure(with_plugins):
    with pytest.raises(
        PluginError, match=r"site.toml: plugins.Exiting: failed in startup: hooks.py line \d+: SystemExit"
    ):
        await with_plugins("Exiting").startup()


async def test_a_plugin_of_several_routes_starts_once(with_plugins):
    app = with_plugins("A", more='routes = [{ upstream = "app" }, { upstream = "app", match = { path = "/x" } }]')
    await app.startup()
    assert log_of(app) == ["A up"]
    assert len({id(plugin) for route in app.router.routes for _, plugin in route.pipeline.plugins}) == 1


async def test_a_route_may_drop_a_plugin(with_plugins):
    routes = 'routes = [{ upstream = "app", plugins = { "./hooks.py:B" = false } }]'
    app = with_plugins("A", "B", more=routes)
    await respond(app)
    assert log_of(app) == ["A request", "A upstream 200", "A response 200"]


def test_one_worker_runs_the_jobs_of_the_whole_gateway(app):
    first = app()
    assert first.once("health")
    assert not App(first.source, worker=1).once("health")
    first.is_retired = True
    assert not first.once("health")


async def test_a_mark_holds_for_as_long_as_the_plugin_that_answers_for_it_is_loaded(with_plugins):
    bus, endpoint = Bus(), "127.0.0.1:9"
    first = with_plugins("A", "B")
    marking = App(first.source, bus)
    await marking.startup()
    marking.mark("app", endpoint, "checks", EndpointState.DOWN, "refused", owner="B")
    marking.mark("app", endpoint, "operator", EndpointState.DRAINING, "new disk")
    states = []
    for names in (("A", "B"), ("A",)):
        app = App(with_plugins(*names).source, bus)
        await app.startup()
        states.append(app.upstreams["app"].find(endpoint).state)
        await app.shutdown()
    await marking.shutdown()
    assert states == [EndpointState.DOWN, EndpointState.DRAINING]


def test_the_repr_counts(app):
    assert repr(app()).endswith("site.toml: 1 routes, 1 upstreams>")


async def test_the_last_endpoint_that_goes_down_is_an_error_and_its_way_back_is_not(with_plugins, caplog):
    caplog.set_level(logging.INFO, "gateway")
    app = with_plugins()
    await app.startup()
    (endpoint,) = app.upstreams["app"].endpoints
    for state, reason in ((EndpointState.DOWN, "refused"), (EndpointState.UP, "answers")):
        app.mark("app", endpoint.name, "health", state, reason)
    told = [(record.levelname, record.getMessage().partition(f"{endpoint.name}: ")[2]) for record in caplog.records]
    assert told[0] == ("ERROR", "up → down: refused; 0 of 1 up")
    assert told[1][0] == "INFO"
    assert told[1][1].startswith("down → up")
    await app.shutdown()
