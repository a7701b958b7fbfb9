"""A station in a VLAN behind an Ethernet interface, for hosts whose kernel has no VLAN interfaces.

    wire-peer.py INTERFACE answer VID ADDRESS SECONDS   answers ARP and ICMP echo for ADDRESS in VLAN VID
    wire-peer.py INTERFACE send VID MAC COUNT           sends COUNT tagged frames to MAC

Prints what it counted. Tags of received frames come as auxiliary data (linux/if_packet.h).
"""

import select
import socket
import struct
import sys
import time

ETH_P_ALL = 0x0003
SOL_PACKET = 263
PACKET_AUXDATA = 8
TP_STATUS_VLAN_VALID = 0x10
PACKET_OUTGOING = 4


def checksum(data):
    total = sum(struct.unpack(f"!{len(data) // 2}H", data[: len(data) // 2 * 2]))
    if len(data) % 2:
        total += data[-1] << 8
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def tagged(destination, source, vid, rest):
    return (destination + source + struct.pack("!HH", 0x8100, vid) + rest).ljust(64, b"\0")


def answer(wire, mac, vid, address, seconds):
    ours = socket.inet_aton(address)
    answered = untagged = 0
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if not select.select([wire], [], [], 0.2)[0]:
            continue
        frame, ancillary, _, sender = wire.recvmsg(65536, 256)
        if sender[2] == PACKET_OUTGOING:
            continue
        tag = None
        for level, kind, data in ancillary:
            if level == SOL_PACKET and kind == PACKET_AUXDATA:
                status, _, _, _, _, tci, _ = struct.unpack("IIIHHHH", data[:20])
                tag = tci & 0xFFF if status & TP_STATUS_VLAN_VALID else None
        kind, rest = struct.unpack("!H", frame[12:14])[0], frame[14:]
        if kind == 0x8100:
            tag, kind, rest = struct.unpack("!H", rest[:2])[0] & 0xFFF, struct.unpack("!H", rest[2:4])[0], rest[4:]
        if tag != vid:
            untagged += tag is None
            continue
        if kind == 0x0806 and rest[6:8] == b"\0\1" and rest[24:28] == ours:
            reply = struct.pack("!H", 0x0806) + rest[:6] + b"\0\2" + mac + ours + rest[8:18]
        elif kind == 0x0800 and rest[9] == 1 and rest[16:20] == ours and rest[20] == 8:
            length = struct.unpack("!H", rest[2:4])[0]
            echo = b"\0\0\0\0" + rest[24:length]
            echo = echo[:2] + struct.pack("!H", checksum(echo)) + echo[4:]
            header = rest[:10] + b"\0\0" + ours + rest[12:16]
            header = header[:10] + struct.pack("!H", checksum(header)) + header[12:]
            reply = struct.pack("!H", 0x0800) + header + echo
        else:
            continue
        wire.send(tagged(frame[6:12], mac, vid, reply))
        answered += 1
    print(f"answered {answered}, untagged {untagged}")


def main():
    interface, role, vid, address, number = sys.argv[1:]
    wire = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ETH_P_ALL))
    wire.bind((interface, 0))
    wire.setsockopt(SOL_PACKET, PACKET_AUXDATA, 1)
    mac = wire.getsockname()[4]
    if role == "answer":
        print("listening", flush=True)
        answer(wire, mac, int(vid), address, float(number))
        return
    for i in range(int(number)):
        rest = struct.pack("!H", 0x88B5) + struct.pack("!I", i)
        wire.send(tagged(bytes.fromhex(address.replace(":", "")), mac, int(vid), rest))
    print(f"sent {number}")


main()
