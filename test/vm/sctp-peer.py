"""Both ends of an SCTP association, which Node.js cannot make.

    sctp-peer.py serve ADDRESS PORT          one association: answers with the count and digest of what came
    sctp-peer.py send ADDRESS PORT BYTES     sends that many bytes, compares the answer

Exit status 0: everything arrived as sent.
"""

import hashlib
import socket
import sys
import time

SCTP = 132
CHUNK = 1 << 14
LIMIT_S = 250


def main():
    role, address, port, *rest = sys.argv[1:]
    end = socket.socket(socket.AF_INET, socket.SOCK_STREAM, SCTP)
    end.settimeout(LIMIT_S)
    digest = hashlib.sha256()
    if role == "serve":
        end.bind((address, int(port)))
        end.listen(1)
        print("listening", flush=True)
        peer, _ = end.accept()
        peer.settimeout(LIMIT_S)
        count, total = 0, int(peer.recv(64))
        while count < total and (data := peer.recv(1 << 16)):
            count += len(data)
            digest.update(data)
        peer.send(f"{count} {digest.hexdigest()}".encode())
        peer.recv(64)
        return
    begin = time.monotonic()
    total, sent = int(rest[0]), 0
    end.connect((address, int(port)))
    end.send(str(total).encode())
    while sent < total:
        data = bytes((sent // 8 + i * 7) & 0xFF for i in range(min(CHUNK, total - sent)))
        digest.update(data)
        end.send(data)
        sent += len(data)
    answer, expected = end.recv(256).decode(), f"{total} {digest.hexdigest()}"
    end.close()
    if answer != expected:
        sys.exit(f"expected {expected}, got {answer}")
    print(f"{total / 1e6:.1f} MB in {time.monotonic() - begin:.1f} s")


main()
