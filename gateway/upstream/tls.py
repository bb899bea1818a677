"""TLS towards endpoints: verification and SNI are on unless the configuration says otherwise."""

from __future__ import annotations

import ssl

from gateway.config.model import UpstreamTLS
from gateway.errors import ConfigurationError


def client_context(settings: UpstreamTLS) -> ssl.SSLContext:
    """A context for connections to endpoints. Raises ConfigurationError for unreadable files."""
    try:
        context = ssl.create_default_context(cafile=str(settings.ca) if settings.ca else None)
        if settings.cert:
            context.load_cert_chain(settings.cert, settings.key)
    except (OSError, ssl.SSLError) as error:
        raise ConfigurationError(f"tls: {settings.ca or settings.cert}: {error.strerror or error}") from None
    context.set_alpn_protocols(["http/1.1"])
    if not settings.verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context
