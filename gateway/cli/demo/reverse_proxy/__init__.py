"""The tour of `reverse-proxy`: an origin that writes slowly, a folder of files, and many who read the same."""

from gateway.cli.demo.reverse_proxy.show import staged

__all__ = ["staged"]
