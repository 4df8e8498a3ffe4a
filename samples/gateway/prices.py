"""The prices: /tea is what a tea costs."""

from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

PRICES = {"tea": "2.50", "coffee": "3.00", "cake": "4.20"}


class Prices(BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
        self.wfile.write(PRICES.get(self.path.strip("/"), "on request").encode())


ThreadingHTTPServer(("", 8000), Prices).serve_forever()
