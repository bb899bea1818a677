"""What a worker says when it cannot do what it is asked: one line, and a traceback only for a bug of ours."""

from __future__ import annotations

import ssl

import pytest

from gateway import ConfigurationError
from gateway.process.worker import Worker


class Said(list):
    """A link that keeps what is sent."""

    def send(self, topic: str, message: object = None) -> None:
        self.append((topic, message))


async def asked(error: Exception | None) -> Said:
    said = Said()

    async def act(message: object) -> object:
        if error is not None:
            raise error
        return message

    await Worker(said, [])._reply("supervisor.configure", [7, "x"], act)
    return said


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (ConfigurationError("site.toml: workers: wrong"), "site.toml: workers: wrong"),
        (
            FileNotFoundError(2, "No such file or directory", "/etc/ca.pem"),
            "/etc/ca.pem: No such file or directory",
        ),
        (ssl.SSLError(185, "[X509] key values mismatch"), "[X509] key values mismatch"),
        (OSError("something"), "OSError('something')"),
    ],
)
async def test_what_an_operator_can_mend_is_one_line(caplog, error, line):
    assert await asked(error) == [("worker.failed", [7, line])]
    assert caplog.text == ""


async def test_a_bug_is_logged_with_its_traceback(caplog):
    assert await asked(ValueError("a bug")) == [("worker.failed", [7, "ValueError: a bug"])]
    assert "Traceback" in caplog.text


async def test_an_answer_has_the_number_of_its_question(caplog):
    assert await asked(None) == [("worker.answer", [7, "x"])]
