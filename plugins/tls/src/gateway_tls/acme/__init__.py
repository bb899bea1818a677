"""Certificates that a listener gets by itself, from an ACME server (RFC 8555).

`automatic` is what a listener sees of it; the rest is used by that. Nothing here is imported where no listener has
`tls.acme`, and the library `acme` only by the worker that talks to the server.
"""
