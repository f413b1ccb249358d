"""All DNS messages of the namespace, as they pass: what was asked, and what each answer really said.

A packet socket on the loopback interface, where everything is, with the kernel's own timestamps: independent of the
library and of the servers. Clients are told apart by the server address that they ask (see `ControlPlane.nameserver`).
"""

from __future__ import annotations

import ctypes
import socket
import struct
import threading
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from ipaddress import IPv4Address, IPv6Address, ip_address

import dns.message
import dns.name
import dns.rdatatype
import dns.rdtypes.IN.A

ETH_P_IP = 0x0800  # incoming packets only; with ETH_P_ALL each would be seen twice
SO_ATTACH_FILTER = 26
SO_TIMESTAMPNS = 35
SO_RCVBUFFORCE = 33  # as root of the machine more than net.core.rmem_max
SOL_PACKET, PACKET_STATISTICS = 263, 6
ADDRESSES = (dns.rdatatype.A, dns.rdatatype.AAAA)
# Classic BPF: IPv4 and (source port 53 or destination port 53). (code, jump if true, jump if false, operand)
FILTER = [
    (0x30, 0, 0, 0),  # A = first octet
    (0x54, 0, 0, 0xF0),
    (0x15, 0, 6, 0x40),  # version 4
    (0xB1, 0, 0, 0),  # X = length of the IP header
    (0x48, 0, 0, 0),  # A = source port
    (0x15, 2, 0, 53),
    (0x48, 0, 0, 2),  # A = destination port
    (0x15, 0, 1, 53),
    (0x06, 0, 0, 0x40000),
    (0x06, 0, 0, 0),
]


@dataclass(frozen=True)
class Message:
    """One DNS message. `time` is time.time() when it was sent; `server` the address that was asked or answers."""

    time: float
    server: str
    response: bool
    tcp: bool
    wire: bytes

    @cached_property
    def parsed(self) -> dns.message.Message:
        return dns.message.from_wire(self.wire, ignore_trailing=True, raise_on_truncation=False)

    @cached_property
    def name(self) -> str:
        return dns.name.from_wire(self.wire, 12)[0].to_text(omit_final_dot=True).lower()

    @cached_property
    def qtype(self) -> str:
        end = 12 + dns.name.from_wire(self.wire, 12)[1]
        return dns.rdatatype.to_text(int.from_bytes(self.wire[end : end + 2], "big"))

    @property
    def rcode(self) -> int:
        return self.wire[3] & 0x0F

    @property
    def truncated(self) -> bool:
        return bool(self.wire[2] & 0x02)

    @cached_property
    def addresses(self) -> frozenset[str]:
        """Of all A and AAAA records, glue as well."""
        return addresses_of(self.parsed)

    @cached_property
    def targets(self) -> frozenset[str]:
        """The names that SRV records lead to."""
        return frozenset(
            rdata.target.to_text(omit_final_dot=True).lower()
            for rrset in self.parsed.answer
            if rrset.rdtype == dns.rdatatype.SRV
            for rdata in rrset
        )

    @cached_property
    def glue(self) -> dict[tuple[str, str], frozenset[str]]:
        """The addresses in the additional section, by name and record type."""
        found: dict[tuple[str, str], set[str]] = defaultdict(set)
        for rrset in self.parsed.additional:
            if rrset.rdtype in ADDRESSES:
                key = rrset.name.to_text(omit_final_dot=True).lower(), dns.rdatatype.to_text(rrset.rdtype)
                found[key].update(rdata.address for rdata in rrset)
        return {key: frozenset(addresses) for key, addresses in found.items()}

    @cached_property
    def spelled(self) -> frozenset[str]:
        """Of the targets of SRV records that spell an address, `10-244-0-7.` or `fd00--7.`: with and without glue."""
        labels = [target.partition(".")[0] for target in self.targets]
        return frozenset(
            str(address)
            for label in labels
            if (address := _address(label.replace("-", ".")) or _address(label.replace("-", ":"))) is not None
        )

    @property
    def negative(self) -> bool:
        """NXDOMAIN or NODATA."""
        return self.rcode == 3 or (self.rcode == 0 and int.from_bytes(self.wire[6:8], "big") == 0)


def _address(text: str) -> IPv4Address | IPv6Address | None:
    try:
        return ip_address(text)
    except ValueError:
        return None


def addresses_of(message: dns.message.Message) -> frozenset[str]:
    return frozenset(
        rdata.address
        for section in (message.answer, message.additional)
        for rrset in section
        if rrset.rdtype in ADDRESSES
        for rdata in rrset
    )


class Wire:
    """Listens from construction to `close()`."""

    def __init__(self) -> None:
        self._messages: list[Message] = []
        self._streams: dict[tuple[bytes, ...], _Stream] = {}
        self._socket = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, 0)
        program = b"".join(struct.pack("HBBI", *step) for step in FILTER)
        buffer = ctypes.create_string_buffer(program)
        self._socket.setsockopt(
            socket.SOL_SOCKET, SO_ATTACH_FILTER, struct.pack("HL", len(FILTER), ctypes.addressof(buffer))
        )
        self._socket.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
        try:
            self._socket.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, 1 << 25)
        except PermissionError:
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 25)
        self._socket.settimeout(0.2)
        self._socket.bind(("lo", ETH_P_IP))  # with its protocol number, not before the filter is in place
        self._closed = False
        self._thread = threading.Thread(target=self._listen, name="wire", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Raises `RuntimeError` if packets were lost on the way here: then nobody knows what was said."""
        self._closed = True
        self._thread.join()
        _, dropped = struct.unpack("II", self._socket.getsockopt(SOL_PACKET, PACKET_STATISTICS, 8))
        self._socket.close()
        if dropped:
            raise RuntimeError(f"{dropped} DNS packets were not seen")

    def queries(self, server: str, since: float = 0.0, until: float = float("inf")) -> list[Message]:
        return [m for m in self._at(server) if not m.response and since <= m.time < until]

    def responses(self, server: str, names: Iterable[str] = ()) -> list[Message]:
        wanted = frozenset(names)
        return [m for m in self._at(server) if m.response and (not wanted or m.name in wanted)]

    def _at(self, server: str) -> list[Message]:
        return [m for m in list(self._messages) if m.server == server]

    def _listen(self) -> None:
        while not self._closed:
            try:
                packet, ancillary, _, _ = self._socket.recvmsg(1 << 17, 64)
            except TimeoutError:
                continue
            seconds, nanoseconds = struct.unpack("qq", ancillary[0][2])
            self._took(packet, seconds + nanoseconds / 1e9)

    def _took(self, packet: bytes, at: float) -> None:
        length = (packet[0] & 0x0F) * 4
        total = int.from_bytes(packet[2:4], "big") or len(packet)  # 0: more than 64 KiB at once (GSO)
        source, target, payload = packet[12:16], packet[16:20], packet[length:total]
        response = payload[:2] == b"\0\x35"
        server = socket.inet_ntoa(source if response else target)
        if packet[9] == socket.IPPROTO_UDP:
            self._add(Message(at, server, response, False, payload[8:]))
        elif packet[9] == socket.IPPROTO_TCP:
            key = (source, target, payload[:4])
            stream = self._streams.setdefault(key, _Stream())
            for wire in stream.segment(payload):
                self._add(Message(at, server, response, True, wire))
            if stream.ended:
                del self._streams[key]

    def _add(self, message: Message) -> None:
        if len(message.wire) > 16:
            self._messages.append(message)


class _Stream:
    """One direction of one TCP connection: segments in, messages out (RFC 1035, 4.2.2). Nothing is reordered on lo."""

    def __init__(self) -> None:
        self.ended = False
        self._next: int | None = None
        self._buffer = b""

    def segment(self, payload: bytes) -> list[bytes]:
        sequence, flags = int.from_bytes(payload[4:8], "big"), payload[13]
        data = payload[(payload[12] >> 4) * 4 :]
        if flags & 0x02:  # SYN
            self._next, self._buffer = (sequence + 1) % 2**32, b""
        self.ended = bool(flags & 0x05)  # FIN, RST
        if not data or self._next is None:
            return []
        known = (self._next - sequence) % 2**32
        if known >= len(data):  # sent again
            return []
        data = data[known:]
        self._next = (self._next + len(data)) % 2**32
        self._buffer += data
        found = []
        while len(self._buffer) >= 2 and len(self._buffer) >= 2 + (size := int.from_bytes(self._buffer[:2], "big")):
            found.append(self._buffer[2 : 2 + size])
            self._buffer = self._buffer[2 + size :]
        return found
