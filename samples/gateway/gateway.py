"""The gateway of a café: it puts a page together from two services and a store of the cluster."""

import os
import socket
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.request import urlopen


def page():
    # By the names of Services: in a pod the cluster knows them, on this machine the proxy that loopd has started does.
    dishes = get("http://menu/").split()
    lines = [f"{dish} {get('http://prices/' + dish)}" for dish in dishes]
    return "\n".join([f"Welcome, visitor {count('visits')}!", *lines, f"served by {socket.gethostname()}", ""])


def get(url):
    with urlopen(url, timeout=10) as answer:
        return answer.read().decode()


def count(name):
    # A plain protocol that no proxy helps with. The variable says store:6000 in a pod; on this machine "needs" in
    # loop.json leads to the store, and the variable there.
    host, port = os.environ["STORE"].split(":")
    with socket.create_connection((host, int(port)), timeout=10) as store:
        store.sendall(f"add {name}\n".encode())
        return store.makefile().readline().strip()


class Gateway(BaseHTTPRequestHandler):
    def do_GET(self):
        try:
            status, text = 200, page()
        except OSError as error:
            status, text = 502, f"{error}\n"
        self.send_response(status)
        self.end_headers()
        self.wfile.write(text.encode())


ThreadingHTTPServer((os.environ.get("LISTEN", ""), 18080), Gateway).serve_forever()
