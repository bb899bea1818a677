"""The benchmark: what a request costs in CPU, through the gateway and through its peers.

Run it with `python -m perf`. Nothing in `gateway` imports this package.
"""
