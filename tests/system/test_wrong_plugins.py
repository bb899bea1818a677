"""Plugins that break their contract: the client gets a clean 500, and the log says which plugin it was and how."""

from __future__ import annotations

import json

import pytest

from gateway.testing import wait_until

HOOKS = """
import asyncio
from gateway import ClientError, Response, hookimpl

class Cancelled:
    @hookimpl
    async def on_request(self, exchange):
        task = asyncio.ensure_future(asyncio.sleep(60))
        task.cancel()
        await task

class Late:
    @hookimpl
    async def on_response(self, exchange, response):
        raise asyncio.CancelledError

class Exits:
    @hookimpl
    def on_request(self, exchange):
        raise SystemExit(3)

class Excusing:
    @hookimpl
    def on_request(self, exchange):
        raise ClientError("no tea here", status=418)
    @hookimpl
    def on_error(self, exchange, error):
        return "sorry"

class Selecting:
    @hookimpl
    def on_select(self, exchange, endpoints):
        return "127.0.0.1:80"

class Text:
    @hookimpl
    def on_response(self, exchange, response):
        response.body = "text"

class Table:
    @hookimpl
    def on_request(self, exchange):
        return Response(200, body={"a": 1})

class Status:
    @hookimpl
    def on_response(self, exchange, response):
        response.status = 999

class Word:
    @hookimpl
    def on_response(self, exchange, response):
        response.status = "404"

class Listing:
    @hookimpl
    def wrap_response_body(self, exchange, body):
        return [b"a"]

class Replacing:
    @hookimpl
    def on_response(self, exchange, response):
        return Response(404)

class Cut:
    @hookimpl
    def wrap_response_body(self, exchange, body):
        return self.cut(body)
    async def cut(self, body):
        async for piece in body:
            raise asyncio.CancelledError
            yield piece

class Ending:
    @hookimpl
    def on_complete(self, exchange):
        raise SystemExit(3)
"""

WRONG = {
    "Cancelled": "plugin 'Cancelled' failed in on_request: CancelledError()",
    "Late": "plugin 'Late' failed in on_response: CancelledError()",
    "Exits": "plugin 'Exits' failed in on_request: SystemExit(3)",
    "Selecting": "plugin 'Selecting' answered in on_select with '127.0.0.1:80', not an Endpoint",
    "Text": "plugin 'Text' left a response with the body 'text': it is bytes",
    "Table": "a response's body is bytes, text or an asynchronous iterator of bytes",
    "Status": "plugin 'Status' left a response with status 999: it is a number from 200 to 599",
    "Word": "plugin 'Word' left a response with status '404': it is a number from 200 to 599",
    "Listing": "plugin 'Listing' answered in wrap_response_body with [b'a'], not an asynchronous iterator",
    "Replacing": "plugin 'Replacing' returned <Response 404, 0 bytes> from on_response, which has no result",
}

SITE = {
    "plugins": [{"use": "access-log", "batch": 1, "fields": ["target", "status"]}],
    "files": {"hooks.py": HOOKS},
    "routes": [
        {"match": {"path": f"/{name}"}, "upstream": "app", "plugins": [f"./hooks.py:{name}"]}
        for name in [*WRONG, "Excusing", "Cut", "Ending"]
    ],
}


def logged(site, path: str) -> list[int | None]:
    """The statuses that the access log has for a path."""
    lines = [json.loads(line) for line in site.output.splitlines() if line.startswith("{")]
    return [line["status"] for line in lines if line["target"] == path]


@pytest.mark.parametrize("name", WRONG)
def test_the_client_gets_a_page_and_the_logs_know_the_plugin(site, name):
    answer = site.get(f"/{name}")
    assert answer.status == 500
    assert b"request id: " in answer.body
    site.wait_for_log(WRONG[name])
    wait_until(lambda: logged(site, f"/{name}") == [500], within=5, message=f"no line: {site.output}")


def test_an_answer_for_a_failure_that_is_none_is_passed_over(site):
    assert site.get("/Excusing").status == 418
    site.wait_for_log("plugin 'Excusing' answered in on_error with 'sorry', not a Response")


def test_a_wrapper_that_fails_in_the_midst_of_a_body_is_named(site):
    with site.connect() as client:
        client.send(b"GET /Cut HTTP/1.1\r\nHost: example.com\r\n\r\n")
        assert b"200 OK" in client.read_until_closed()
    site.wait_for_log("failed while its response was sent; its body may be wrapped by 'Cut'")


def test_one_that_wants_to_exit_does_not_end_the_worker(site):
    workers = site.workers
    assert site.get("/Ending").status == 200
    site.wait_for_log("plugin 'Ending' failed in on_complete")
    assert site.get("/Ending").status == 200
    assert site.workers == workers
