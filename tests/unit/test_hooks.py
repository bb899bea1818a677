"""The hook specifications: the table of architecture.md, and the marker that plugin authors use."""

from __future__ import annotations

import inspect

import pytest

from gateway import hookimpl
from gateway.hooks import ASYNC_HOOKS, HOOK_NAMES, REVERSED_HOOKS, HookSpecs

PARAMETERS = {
    "register": ["registry"],
    "on_check": ["app"],
    "startup": ["app"],
    "shutdown": ["app"],
    "on_request": ["exchange"],
    "on_select": ["exchange", "endpoints"],
    "on_upstream_request": ["exchange", "attempt"],
    "on_attempt": ["exchange", "attempt"],
    "on_upstream_response": ["exchange", "response"],
    "wrap_request_body": ["exchange", "body"],
    "on_response": ["exchange", "response"],
    "wrap_response_body": ["exchange", "body"],
    "on_error": ["exchange", "error"],
    "on_complete": ["exchange"],
    "on_connect": ["connection"],
    "on_disconnect": ["connection"],
    "on_command": ["name", "arguments"],
    "on_endpoint": ["endpoint", "old", "new", "reason"],
}


def test_there_are_these_hooks_and_no_others():
    assert set(PARAMETERS) == HOOK_NAMES


@pytest.mark.parametrize("name", sorted(PARAMETERS))
def test_a_hook_has_the_parameters_that_plugins_are_promised(name):
    assert list(inspect.signature(getattr(HookSpecs, name)).parameters) == ["self", *PARAMETERS[name]]


@pytest.mark.parametrize("name", sorted(PARAMETERS))
def test_a_hook_says_when_it_runs(name):
    assert inspect.getdoc(getattr(HookSpecs, name))


def test_what_passes_back_out_runs_in_reverse():
    assert {"shutdown", "on_upstream_response", "on_response", "wrap_response_body"} == REVERSED_HOOKS
    assert REVERSED_HOOKS < HOOK_NAMES


def test_the_hooks_on_the_quick_way_are_synchronous():
    assert ASYNC_HOOKS.isdisjoint({"register", "on_select", "on_attempt", "on_complete", "on_endpoint", "on_error"})


def test_the_marker_works_with_and_without_options():
    @hookimpl
    def plain(self):
        return 1

    @hookimpl(tryfirst=True)
    def early(self):
        return 2

    assert (plain(None), early(None)) == (1, 2)
    assert plain.gateway_impl["tryfirst"] is False
    assert early.gateway_impl["tryfirst"] is True
