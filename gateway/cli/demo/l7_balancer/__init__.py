"""The tour of `l7-balancer`: three origins, strangers and visitors; one dies, one is drained, a canary comes."""

from gateway.cli.demo.l7_balancer.show import staged

__all__ = ["staged"]
