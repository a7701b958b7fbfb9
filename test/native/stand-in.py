# A vfio-user server with one odd device, for tests of the preload library: BAR0 of 16 KiB whose
# pages 1 and 2 are a file, registers in pages 0 and 3 that remember, 256 bytes of config space.
# Each message is a JSON line on stdout. Written from the vfio-user specification alone.
#   stand-in.py SOCKET [--fds N] [--busy] [--refuse-map N] [--mute COMMAND] [--trap-all]

import argparse
import array
import json
import mmap
import os
import socket
import struct

EBUSY, EINVAL, ENOSPC = 16, 22, 28
VERSION, DMA_MAP, DMA_UNMAP, GET_INFO, GET_REGION, GET_IRQ = 1, 2, 3, 4, 5, 7
SET_IRQS, READ, WRITE, RESET = 8, 9, 10, 13

options = argparse.ArgumentParser()
options.add_argument("socket")
options.add_argument("--fds", type=int, default=8)
options.add_argument("--busy", action="store_true")
options.add_argument("--refuse-map", type=int, default=0)
options.add_argument("--mute", type=int, default=0)
options.add_argument("--trap-all", action="store_true")
args = options.parse_args()


def say(**what):
    print(json.dumps(what), flush=True)


class Device:
    def __init__(self):
        self.bar = os.memfd_create("bar")
        os.ftruncate(self.bar, 0x5000)  # BAR0 starts 4 KiB into the file
        self.pages = mmap.mmap(self.bar, 0x5000)
        self.config = bytearray(256)
        struct.pack_into("<HHHH", self.config, 0, 0x8086, 0x10ED, 0, 0x10)
        self.registers = {0x08: 0x12345678}
        self.maps = {}
        self.vectors = {}

    def read(self, region, offset, count):
        if region == 7:
            return bytes(self.config[offset : offset + count])
        value = self.registers.get(offset & ~3, 0) >> (offset & 3) * 8
        return struct.pack("<Q", value)[:count]

    def write(self, region, offset, data):
        if region == 7:
            self.config[offset : offset + len(data)] = data
            return
        self.registers[offset] = int.from_bytes(data, "little")
        if offset == 0x20:  # signals the vector that is written
            os.write(self.vectors[data[0]], struct.pack("<Q", 1))
        if offset == 0x28:  # shows VFRDT(0), which lies in a shared page
            say(shared=struct.unpack_from("<I", self.pages, 0x1000 + 0x1018)[0])
        if offset == 0x30:  # adds 1 to the 32-bit word at that IOVA
            iova = int.from_bytes(data, "little")
            for start, (size, memory) in self.maps.items():
                if start <= iova < start + size:
                    (word,) = struct.unpack_from("<I", memory, iova - start)
                    struct.pack_into("<I", memory, iova - start, word + 1)
                    return
            say(fault=iova)

    def answer(self, command, body, fds):
        """The reply's payload and an fd or None, or an errno."""
        if command == GET_INFO:
            return struct.pack("<4I", 16, 3, 9, 5), None
        if command == GET_REGION:
            index = struct.unpack_from("<I", body, 8)[0]
            if index == 0 and args.trap_all:
                return struct.pack("<4I2Q", 32, 3, 0, 0, 0x4000, 0), None
            if index == 0:  # sparse: pages 1 and 2
                head = struct.pack("<4I2Q", 64, 15, 0, 32, 0x4000, 0x1000)
                return head + struct.pack("<HHIII2Q", 1, 1, 0, 1, 0, 0x1000, 0x2000), self.bar
            size = {3: 0x4000, 7: 256}.get(index, 0)
            return struct.pack("<4I2Q", 32, 3 if size else 0, index, 0, size, 0), None
        if command == GET_IRQ:
            index = struct.unpack_from("<I", body, 8)[0]
            return struct.pack("<4I", 16, 1 if index == 2 else 0, index, 3 if index == 2 else 0), None
        if command == DMA_MAP:
            _, flags, offset, iova, size = struct.unpack_from("<IIQQQ", body)
            say(map=iova, size=size, flags=flags, fds=len(fds))
            if args.refuse_map and len(self.maps) + 1 >= args.refuse_map:
                return ENOSPC
            self.maps[iova] = (size, mmap.mmap(fds[0], size, offset=offset))
            return b"", None
        if command == DMA_UNMAP:
            _, _, iova, size = struct.unpack_from("<IIQQ", body)
            say(unmap=iova, size=size)
            del self.maps[iova]
            return body, None
        if command == SET_IRQS:
            _, flags, index, start, count = struct.unpack_from("<5I", body)
            say(irqs=flags, index=index, start=start, count=count, fds=len(fds))
            if flags == 0x24:
                for i in range(count):
                    self.vectors.pop(start + i, None)
                    if fds:
                        self.vectors[start + i] = os.dup(fds[i])
            return b"", None
        if command in (READ, WRITE):
            offset, region, count = struct.unpack_from("<QII", body)
            data = body[16:]
            if command == READ:
                say(read=offset, region=region, count=count)
                return body[:16] + self.read(region, offset, count), None
            say(write=offset, region=region, count=count, value=int.from_bytes(data, "little"))
            self.write(region, offset, data)
            return body[:16], None
        if command == RESET:
            say(reset=True)
            struct.pack_into("<H", self.config, 4, 0)
            return b"", None
        return EINVAL


def receive(connection):
    data, fds = b"", []
    while len(data) < 16 or len(data) < struct.unpack_from("<I", data, 4)[0]:
        want = 16 - len(data) if len(data) < 16 else struct.unpack_from("<I", data, 4)[0] - len(data)
        part, got, _, _ = socket.recv_fds(connection, want, 16)
        if not part:
            return None, fds
        data += part
        fds += got
    return data, fds


def serve(connection):
    device = Device()
    while True:
        message, fds = receive(connection)
        if message is None:
            break
        identity, command, _, _, _ = struct.unpack_from("<HHIII", message)
        body = message[16:]
        if command == args.mute:
            break
        if command == VERSION:
            text = json.dumps({"capabilities": {"max_msg_fds": args.fds}}).encode() + b"\0"
            answer = EBUSY if args.busy else (struct.pack("<HH", 0, 0) + text, None)
        else:
            answer = device.answer(command, body, fds)
        for fd in fds:
            os.close(fd)
        if isinstance(answer, int):
            connection.sendall(struct.pack("<HHIII", identity, command, 16, 0x21, answer))
            continue
        payload, fd = answer
        head = struct.pack("<HHIII", identity, command, 16 + len(payload), 1, 0)
        socket.send_fds(connection, [head + payload], [fd] if fd is not None else [])
    connection.close()


listener = socket.socket(socket.AF_UNIX)
listener.bind(args.socket)
listener.listen(4)
say(ready=True)
while True:
    serve(listener.accept()[0])
