"""A store of numbers: "get NAME" and "add NAME" are lines that it answers with the number.

With arguments it asks instead: python3 store.py 127.0.0.1:16000 get visits
"""

import socket
import socketserver
import sys
from collections import Counter
from threading import Lock

numbers, lock = Counter(), Lock()


class Store(socketserver.StreamRequestHandler):
    def handle(self):
        for line in self.rfile:
            word, name = line.decode().split()
            with lock:
                numbers[name] += word == "add"
                self.wfile.write(f"{numbers[name]}\n".encode())


if len(sys.argv) > 1:
    host, port = sys.argv[1].split(":")
    with socket.create_connection((host, int(port))) as store:
        store.sendall(" ".join(sys.argv[2:]).encode() + b"\n")
        print(store.makefile().readline().strip())
else:
    socketserver.ThreadingTCPServer.allow_reuse_address = True
    socketserver.ThreadingTCPServer(("", 6000), Store).serve_forever()
