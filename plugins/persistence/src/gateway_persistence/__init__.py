"""The plugin `persistence`: the exchanges of a session go to one endpoint."""

from __future__ import annotations

from gateway_persistence.cookie import CookieSessions
from gateway_persistence.none import NoSessions
from gateway_persistence.plugin import Persistence
from gateway_persistence.prefix import PrefixSessions
from gateway_persistence.remembered import RememberedSessions
from gateway_persistence.remote import RemoteSessions
from gateway_persistence.settings import Settings, StoreSettings
from gateway_persistence.stores import SessionStore, StoreAway

__all__ = [
    "CookieSessions",
    "NoSessions",
    "Persistence",
    "PrefixSessions",
    "RememberedSessions",
    "RemoteSessions",
    "SessionStore",
    "Settings",
    "StoreAway",
    "StoreSettings",
]
