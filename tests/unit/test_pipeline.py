"""The compiled pipeline calls in pluggy's own order, ends where a plugin answers, and names who failed."""

from __future__ import annotations

import logging

import pluggy
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway import ClientError, EndpointState, GatewayError, PluginError, Response, hookimpl
from gateway.hooks import PROJECT, HookSpecs
from gateway.pipeline import Pipeline, compiled, run, tell, wrap

REQUESTS = ("on_request",)
MARKS = st.lists(st.sampled_from(["", "tryfirst", "trylast", "none"]), max_size=8)


def plugin_for(name: str, hook: str, parameters: str, mark: str, calls: list[str]) -> object:
    """A plugin that notes its name when its one hook is called."""
    body = f"def {hook}(self, {parameters}):\n    calls.append(name)"
    scope: dict[str, object] = {"calls": calls, "name": name}
    exec(body, scope)
    options = {mark: True} if mark in ("tryfirst", "trylast") else {}
    methods = {} if mark == "none" else {hook: hookimpl(**options)(scope[hook])}
    return type(name, (), methods)()


def in_pluggys_order(plugins: list[tuple[str, object]], calls: list[str], call) -> list[str]:
    """Whom pluggy calls, in which order, if the last listed plugin is registered first."""
    manager = pluggy.PluginManager(PROJECT)
    manager.add_hookspecs(HookSpecs)
    for name, plugin in reversed(plugins):
        manager.register(plugin, name=name)
    calls.clear()
    call(manager.hook)
    return list(calls)


@given(MARKS)
async def test_requests_pass_in_the_order_in_which_pluggy_calls(make_exchange, marks):
    calls: list[str] = []
    plugins = [
        (f"p{i}", plugin_for(f"p{i}", "on_request", "exchange", mark, calls)) for i, mark in enumerate(marks)
    ]
    expected = in_pluggys_order(plugins, calls, lambda hook: hook.on_request(exchange=None))
    calls.clear()
    assert await Pipeline(plugins).ask(make_exchange()) == (None, len(plugins))
    assert calls == expected


@given(MARKS)
async def test_responses_pass_in_exactly_the_reverse_of_pluggys_order(make_exchange, marks):
    calls: list[str] = []
    plugins = [
        (f"p{i}", plugin_for(f"p{i}", "on_response", "exchange, response", mark, calls))
        for i, mark in enumerate(marks)
    ]
    expected = in_pluggys_order(plugins, calls, lambda hook: hook.on_response(exchange=None, response=None))
    calls.clear()
    await run(Pipeline(plugins).on_response, make_exchange(), Response(), "on_response", len(plugins))
    assert calls == expected[::-1]


@given(MARKS)
def test_a_phase_that_nobody_implements_is_an_empty_tuple(marks):
    plugins = [(f"p{i}", plugin_for(f"p{i}", "on_request", "exchange", mark, [])) for i, mark in enumerate(marks)]
    pipeline = Pipeline(plugins)
    assert pipeline.on_response == pipeline.on_complete == pipeline.on_attempt == ()
    assert len(pipeline.on_request) == sum(mark != "none" for mark in marks)


class Onion:
    """Notes each pass; answers on the way in if told to."""

    def __init__(self, calls: list[str], name: str, answer: object = None) -> None:
        self._calls, self._name, self._answer = calls, name, answer

    @hookimpl
    def on_request(self, exchange):
        self._calls.append(f"{self._name} in")
        if isinstance(self._answer, Exception):
            raise self._answer
        return self._answer

    @hookimpl
    async def on_response(self, exchange, response):
        self._calls.append(f"{self._name} out")


class AsyncAnswer:
    @hookimpl
    async def on_request(self, exchange):
        return Response(202)


async def passed(plugins: list[tuple[str, object]], exchange) -> Response | None:
    """Through the pipeline and back, as an App does it."""
    pipeline = Pipeline(plugins)
    response, limit = await pipeline.ask(exchange)
    await run(pipeline.on_response, exchange, response or Response(), "on_response", limit)
    return response


async def test_without_an_answer_all_see_the_request_in_order_and_the_response_in_reverse(make_exchange):
    calls: list[str] = []
    plugins = [(name, Onion(calls, name)) for name in "abc"]
    assert await passed(plugins, make_exchange()) is None
    assert calls == ["a in", "b in", "c in", "c out", "b out", "a out"]


async def test_the_first_response_ends_the_way_in_and_only_those_listed_before_see_it(make_exchange):
    calls: list[str] = []
    plugins = [("a", Onion(calls, "a")), ("b", Onion(calls, "b", Response(403))), ("c", Onion(calls, "c"))]
    exchange = make_exchange()
    response = await passed(plugins, exchange)
    assert response is not None
    assert response.status == 403
    assert calls == ["a in", "b in", "a out"]
    assert list(exchange.notes) == [("b", "answered 403")]


class Gives:
    """Answers everybody with one object."""

    def __init__(self, response: Response) -> None:
        self._response = response

    @hookimpl
    def on_request(self, exchange):
        return self._response


async def test_an_answer_that_a_plugin_keeps_is_nobodys_own(make_exchange):
    kept = Response(204, {"x-kept": "1"})
    pipeline = Pipeline([("a", Gives(kept))])
    first, second = [(await pipeline.ask(make_exchange()))[0] for _ in range(2)]
    assert kept is not first is not second is not kept
    first.headers["x-id"] = "first"
    assert kept.headers.raw == second.headers.raw == [(b"x-kept", b"1")]


async def test_an_answer_said_to_be_for_one_exchange_is_not_copied_and_believed_once(make_exchange):
    made = Response(204)
    made.is_for_one = True
    pipeline = Pipeline([("a", Gives(made))])
    first, second = [(await pipeline.ask(make_exchange()))[0] for _ in range(2)]
    assert first is made
    assert second is not made


async def test_an_asynchronous_plugin_answers_as_a_synchronous_one_does(make_exchange):
    calls: list[str] = []
    response = await passed([("a", Onion(calls, "a")), ("b", AsyncAnswer())], make_exchange())
    assert response is not None
    assert response.status == 202
    assert calls == ["a in", "a out"]


@given(st.integers(1, 6), st.data())
async def test_whoever_answers_is_seen_by_exactly_those_listed_before(make_exchange, count, data):
    who = data.draw(st.integers(0, count - 1))
    calls: list[str] = []
    await passed(
        [(str(i), Onion(calls, str(i), Response(200) if i == who else None)) for i in range(count)], make_exchange()
    )
    assert calls == [f"{i} in" for i in range(who + 1)] + [f"{i} out" for i in range(who - 1, -1, -1)]


async def test_a_failing_on_request_fails_closed_and_names_its_plugin(make_exchange):
    with pytest.raises(PluginError, match="plugin 'auth' failed in on_request: KeyError") as caught:
        await Pipeline([("auth", Onion([], "auth", KeyError("user")))]).ask(make_exchange())
    assert caught.value.status == 500
    assert isinstance(caught.value.__cause__, KeyError)


@pytest.mark.parametrize("answer", [True, (403, "no"), "text", object()])
async def test_an_answer_that_is_no_response_names_its_plugin(make_exchange, answer):
    with pytest.raises(PluginError, match="plugin 'auth'"):
        await Pipeline([("auth", Onion([], "auth", answer))]).ask(make_exchange())


async def test_an_error_of_ours_keeps_its_status(make_exchange):
    with pytest.raises(ClientError) as caught:
        await Pipeline([("a", Onion([], "a", ClientError("too many", status=429)))]).ask(make_exchange())
    assert caught.value.status == 429


class Failing:
    """Fails wherever it can."""

    @hookimpl
    def on_upstream_request(self, exchange, attempt):
        raise RuntimeError("boom")

    @hookimpl
    def on_attempt(self, exchange, attempt):
        raise RuntimeError("boom")

    @hookimpl
    def wrap_response_body(self, exchange, body):
        raise RuntimeError("boom")

    @hookimpl
    def on_error(self, exchange, error):
        raise RuntimeError("boom")

    @hookimpl
    def on_complete(self, exchange):
        raise RuntimeError("boom")

    @hookimpl
    def on_endpoint(self, endpoint, old, new, reason):
        raise RuntimeError("boom")


class Watching:
    """Sees everything that is told."""

    def __init__(self) -> None:
        self.seen: list[str] = []

    @hookimpl
    def on_attempt(self, exchange, attempt):
        self.seen.append("attempt")

    @hookimpl
    def on_error(self, exchange, error):
        self.seen.append("error")
        return Response(error.status, body="mine")

    @hookimpl
    def on_complete(self, exchange):
        self.seen.append("complete")

    @hookimpl
    def on_endpoint(self, endpoint, old, new, reason):
        self.seen.append(reason)


@pytest.fixture
def watching() -> Watching:
    return Watching()


@pytest.fixture
def pipeline(watching) -> Pipeline:
    return Pipeline([("bad", Failing()), ("good", watching)])


def test_a_failing_on_complete_is_logged_and_disturbs_nobody(pipeline, watching, make_exchange, caplog):
    pipeline.complete(make_exchange())
    assert watching.seen == ["complete"]
    assert "plugin 'bad' failed in on_complete" in caplog.text


def test_a_failing_on_attempt_is_logged_and_disturbs_nobody(pipeline, watching, make_exchange, caplog):
    tell(pipeline.on_attempt, make_exchange(), None, "on_attempt")
    assert watching.seen == ["attempt"]
    assert "plugin 'bad' failed in on_attempt" in caplog.text


def test_a_failing_on_endpoint_is_logged_and_disturbs_nobody(pipeline, watching, caplog):
    pipeline.tell_endpoint(None, EndpointState.UP, EndpointState.DOWN, "refused")
    assert watching.seen == ["refused"]
    assert "plugin 'bad' failed in on_endpoint" in caplog.text


def test_a_failing_on_error_is_passed_over_and_the_next_may_answer(pipeline, make_exchange, caplog):
    exchange = make_exchange()
    response = pipeline.ask_error(exchange, GatewayError("x"))
    assert response is not None
    assert response.body == b"mine"
    assert list(exchange.notes) == [("good", "answered 500 for GatewayError")]
    assert "plugin 'bad' failed in on_error" in caplog.text


def test_nobody_need_answer_for_an_error(make_exchange):
    assert Pipeline().ask_error(make_exchange(), GatewayError("x")) is None


async def test_a_failing_on_upstream_request_names_its_plugin(pipeline, make_exchange):
    with pytest.raises(PluginError, match="plugin 'bad' failed in on_upstream_request"):
        await run(pipeline.on_upstream_request, make_exchange(), None, "on_upstream_request", 2)


def test_a_failing_wrapper_names_its_plugin(pipeline, make_exchange):
    with pytest.raises(PluginError, match="plugin 'bad' failed in wrap_response_body"):
        wrap(pipeline.wrap_response_body, make_exchange(), None, "wrap_response_body", 2)


class Wrapper:
    def __init__(self, mark: bytes) -> None:
        self._mark = mark

    @hookimpl
    def wrap_request_body(self, exchange, body):
        return self._around(body)

    @hookimpl
    def wrap_response_body(self, exchange, body):
        return self._around(body)

    async def _around(self, body):
        async for piece in body:
            yield self._mark + piece


class Uninterested:
    @hookimpl
    def wrap_response_body(self, exchange, body):
        return None


async def once(data: bytes):
    yield data


async def test_bodies_are_wrapped_from_the_first_listed_and_unwrapped_from_the_last(make_exchange):
    pipeline = Pipeline([("a", Wrapper(b"a")), ("none", Uninterested()), ("b", Wrapper(b"b"))])
    exchange = make_exchange()
    request = wrap(pipeline.wrap_request_body, exchange, once(b"-"), "wrap_request_body", 3)
    response = wrap(pipeline.wrap_response_body, exchange, once(b"-"), "wrap_response_body", 3)
    assert [piece async for piece in request] == [b"ba-"]
    assert [piece async for piece in response] == [b"ab-"]


async def test_a_body_is_wrapped_by_those_listed_before_the_one_that_answered(make_exchange):
    pipeline = Pipeline([("a", Wrapper(b"a")), ("b", Wrapper(b"b"))])
    body = wrap(pipeline.wrap_response_body, make_exchange(), once(b"-"), "wrap_response_body", 1)
    assert [piece async for piece in body] == [b"a-"]


async def test_a_body_that_nobody_wraps_is_the_same_object(make_exchange):
    pipeline, body = Pipeline([("none", Uninterested())]), once(b"-")
    assert wrap(pipeline.wrap_response_body, make_exchange(), body, "wrap_response_body", 1) is body
    await body.aclose()


def test_a_pipeline_shows_its_plugins_in_order(caplog):
    caplog.set_level(logging.DEBUG)
    assert repr(Pipeline([("a", Failing()), ("b", Watching())])) == "<Pipeline a → b>"
    assert repr(Pipeline()) == "<Pipeline empty>"


def test_routes_with_the_same_plugins_share_a_pipeline_and_others_do_not():
    one, other = Onion([], "one"), Onion([], "one")
    first, second, third, empty = compiled([[("a", one)], [("a", one)], [("a", other)], []])
    assert first is second
    assert first is not third
    assert third.plugins == (("a", other),)
    assert empty.plugins == ()
