"""The menu: the names of dishes, as they are in a file that loopd keeps equal to the one on your machine."""

from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path


class Menu(BaseHTTPRequestHandler):
    def do_GET(self):
        file = Path("/srv/menu/menu.txt")
        self.send_response(200)
        self.end_headers()
        self.wfile.write(file.read_bytes() if file.exists() else b"")


ThreadingHTTPServer(("", 8000), Menu).serve_forever()
