"""Hooks that raise or return what they must not: each is named, and no exchange goes another way than to a 500."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace

import pytest

from gateway import GatewayError, PluginError, Response, hookimpl
from gateway.pipeline import Pipeline, run, run_now, suspects, tell, wrap


def one(hook: str, function) -> Pipeline:
    """The pipeline of one plugin, `mine`, with one hook."""
    return Pipeline([("mine", type("Mine", (), {hook: hookimpl(function)})())])


@pytest.mark.parametrize("error", [asyncio.CancelledError(), SystemExit(3)])
class TestEndsOfItsOwn:
    """What ends tasks and processes is a failure like any other if a plugin raises it of its own accord."""

    async def test_on_the_way_in(self, make_exchange, error):
        async def on_request(self, exchange):
            raise error

        with pytest.raises(PluginError, match="plugin 'mine' failed in on_request"):
            await one("on_request", on_request).ask(make_exchange())

    async def test_on_the_way_out(self, make_exchange, error):
        async def on_response(self, exchange, response):
            raise error

        steps = one("on_response", on_response).on_response
        with pytest.raises(PluginError, match="plugin 'mine' failed in on_response"):
            await run(steps, make_exchange(), Response(), "on_response", 1)

    def test_in_synchronous_hooks(self, make_exchange, error, caplog):
        def raising(*parameters: str):
            scope: dict[str, object] = {"error": error}
            exec(f"def hook(self, {', '.join(parameters)}):\n    raise error", scope)
            return scope["hook"]

        exchange = make_exchange()
        with pytest.raises(PluginError, match="failed in on_request"):
            one("on_request", raising("exchange")).ask_now(exchange)
        with pytest.raises(PluginError, match="failed in on_select"):
            one("on_select", raising("exchange", "endpoints")).select(exchange, ())
        steps = one("on_response", raising("exchange", "response")).on_response
        with pytest.raises(PluginError, match="failed in on_response"):
            run_now(steps, exchange, Response(), "on_response", 1)
        assert one("on_error", raising("exchange", "error")).ask_error(exchange, GatewayError("x")) is None
        one("on_complete", raising("exchange")).complete(exchange)
        tell(one("on_attempt", raising("exchange", "attempt")).on_attempt, exchange, None, "on_attempt")
        for hook in ("on_error", "on_complete", "on_attempt"):
            assert f"plugin 'mine' failed in {hook}" in caplog.text


async def test_a_task_that_is_cancelled_within_a_hook_ends(make_exchange):
    entered = asyncio.Event()

    async def on_request(self, exchange):
        entered.set()
        await asyncio.Event().wait()

    task = asyncio.create_task(one("on_request", on_request).ask(make_exchange()))
    await entered.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_a_deadline_that_comes_within_a_hook_is_the_deadlines_error(make_exchange):
    async def on_response(self, exchange, response):
        await asyncio.Event().wait()

    steps = one("on_response", on_response).on_response
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0):
            await run(steps, make_exchange(), Response(), "on_response", 1)


async def some(result: object) -> object:
    return result


@pytest.mark.parametrize(
    ("result", "mend"),
    [
        (Response(404), "change the response that it is given"),
        (True, "change the response"),
        (some, "write async def"),
    ],
)
async def test_a_hook_without_a_result_that_returns_one_is_named(make_exchange, result, mend):
    def on_response(self, exchange, response):
        return some(1) if result is some else result

    steps = one("on_response", on_response).on_response
    with pytest.raises(PluginError, match=rf"'mine' returned .* from on_response, which has no result; {mend}"):
        run_now(steps, make_exchange(), Response(), "on_response", 1)
    with pytest.raises(PluginError, match=rf"'mine' returned .* from on_response, which has no result; {mend}"):
        await run(steps, make_exchange(), Response(), "on_response", 1)


def test_an_answer_to_an_error_that_is_no_response_is_logged_and_passed_over(make_exchange, caplog):
    wrong = type("Wrong", (), {"on_error": hookimpl(lambda self, exchange, error: "sorry")})()
    right = type("Right", (), {"on_error": hookimpl(lambda self, exchange, error: Response(error.status))})()
    response = Pipeline([("wrong", wrong), ("right", right)]).ask_error(make_exchange(), GatewayError("x"))
    assert response is not None
    assert response.status == 500
    assert "plugin 'wrong' answered in on_error with 'sorry', not a Response" in caplog.text


def test_a_selection_that_is_no_endpoint_names_its_plugin(make_exchange):
    pipeline = one("on_select", lambda self, exchange, endpoints: "10.0.0.1:80")
    with pytest.raises(PluginError, match=r"'mine' answered in on_select with '10\.0\.0\.1:80', not an Endpoint"):
        pipeline.select(make_exchange(), ())


@pytest.mark.parametrize("wrapped", [[b"a"], [], b"", lambda body: body])
def test_a_wrapper_that_gives_no_iterator_names_its_plugin(make_exchange, wrapped):
    pipeline = one("wrap_response_body", lambda self, exchange, body: wrapped)
    with pytest.raises(PluginError, match=r"'mine' answered in wrap_response_body with .*not an asynchronous iter"):
        wrap(pipeline.wrap_response_body, make_exchange(), None, "wrap_response_body", 1)


def test_who_may_have_spoiled_a_response_is_whoever_had_it(make_exchange):
    class Passing:
        @hookimpl
        def on_response(self, exchange, response): ...

    exchange = make_exchange()
    exchange.route = SimpleNamespace(pipeline=Pipeline())
    assert suspects(exchange) == "somebody"
    exchange.answered_by = "deny"
    assert suspects(exchange) == "plugin 'deny'"
    exchange.route.pipeline = Pipeline([("a", Passing()), ("b", Passing())])
    assert suspects(exchange) == "one of the plugins 'b', 'a', 'deny'"
