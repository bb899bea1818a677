"""What a plugin author tests with: a scriptable origin, a real gateway process, a raw client.

Installed as a pytest plugin, so that a test needs nothing but the fixtures' names:

    def test_the_answer_of_the_endpoint_reaches_the_client(gateway, origin):
        app = origin(b"HTTP/1.1 200 OK\\r\\nContent-Length: 5\\r\\n\\r\\nhello")
        my_hook = Path(__file__).parent / "my_hook.py"
        answer = gateway(endpoints=[app], plugins=[f"{my_hook}:MyHook"]).get("/", headers={"x-key": "1"})
        assert answer.body == b"hello"

This file re-exports; each thing lives, documented, in the file that it is imported from.
"""

from gateway.testing.certificates import Authority, Certificate
from gateway.testing.client import Client
from gateway.testing.load import Load
from gateway.testing.origin import OK, Held, Origin, OriginConnection, Script, SeenRequest, reply
from gateway.testing.process import GatewayDied, GatewayProcess, Listening, run_command, wait_for_workers
from gateway.testing.programs import require_program
from gateway.testing.site import site_text
from gateway.testing.store_server import StoreServer
from gateway.testing.waiting import wait_until
from gateway.testing.wire import BadWire, CutShort, Message, RawHeaders, Response

__all__ = [
    "OK",
    "Authority",
    "BadWire",
    "Certificate",
    "Client",
    "CutShort",
    "GatewayDied",
    "GatewayProcess",
    "Held",
    "Listening",
    "Load",
    "Message",
    "Origin",
    "OriginConnection",
    "RawHeaders",
    "Response",
    "Script",
    "SeenRequest",
    "StoreServer",
    "reply",
    "require_program",
    "run_command",
    "site_text",
    "wait_for_workers",
    "wait_until",
]
