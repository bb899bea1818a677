"""The table of networks finds what a look at each of them would find."""

from __future__ import annotations

import ipaddress

from gateway_security.network_list import LINE_BITS, networks_in, packed_address, read_networks
from gateway_security.network_table import NOWHERE, NetworkTable
from hypothesis import given
from hypothesis import strategies as st

FEW_BITS = st.integers(0, 2**6 - 1)


@st.composite
def networks(draw) -> ipaddress.IPv4Network | ipaddress.IPv6Network:
    """Networks near the ends of either address space, so that many lie within each other."""
    bits, kind = draw(st.sampled_from([(32, ipaddress.IPv4Network), (128, ipaddress.IPv6Network)]))
    address = draw(addresses(bits))
    prefix = draw(st.one_of(st.integers(bits - 6, bits), st.integers(0, 6)))
    return kind((address >> bits - prefix << bits - prefix, prefix))


def addresses(bits: int) -> st.SearchStrategy[int]:
    return st.builds(lambda high, low: high << bits - 6 | low, FEW_BITS, FEW_BITS)


MARKS = (1 << LINE_BITS, 2 << LINE_BITS | 1 << LINE_BITS + 15)


@given(st.lists(networks(), max_size=12), st.lists(networks(), max_size=12), addresses(32), addresses(128))
def test_an_address_is_found_in_the_most_specific_network(allowed, denied, four, six):
    table = NetworkTable([networks_in(allowed, MARKS[0]), networks_in(denied, MARKS[1])])
    for address in (ipaddress.IPv4Address(four), ipaddress.IPv6Address(six)):
        if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped:
            continue
        around = [
            (network.prefixlen, mark | index)
            for mark, listed in zip(MARKS, (allowed, denied), strict=True)
            for index, network in enumerate(listed)
            if address in network and network.version == address.version
        ]
        wanted = max(around)[1] if around else NOWHERE
        assert table.find(address.packed) == wanted


TEXTS = st.one_of(
    st.ip_addresses().map(str),
    st.ip_addresses(v=6).map(lambda address: address.exploded),
    st.ip_addresses(v=4).map(lambda address: f"::ffff:{address}"),
    st.text(alphabet="0123456789abcdef:.", max_size=16),
)


@given(TEXTS)
def test_an_address_is_what_python_takes_for_one(text):
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        assert packed_address(text) is None
        return
    mapped = address.ipv4_mapped if address.version == 6 else None
    assert packed_address(text) == (mapped or address).packed


def test_a_long_list_is_read_in_whatever_order_it_is(tmp_path):
    listed = tmp_path / "long.txt"
    lines = [f"10.{number * 7919 % 20000 // 256}.{number * 7919 % 256}.0/24" for number in range(20000)]
    listed.write_text("\n".join(lines))
    table = NetworkTable([read_networks(listed, MARKS[0])])
    for number in (0, 9999, 19999):
        address = ipaddress.ip_network(lines[number])[9]
        entry = table.find(address.packed) & (1 << LINE_BITS) - 1
        assert lines[entry - 1] == lines[number]
