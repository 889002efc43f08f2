#!/usr/bin/env python3
"""Serves what the test virtio_net reads: ci/network-server.py ADDRESS. Prints its port and serves until it is killed.

/data is 1,500,000 bytes, /sum what sha256sum says of them.
"""

import hashlib
import http.server
import random
import sys

DATA = random.Random(7).randbytes(1_500_000)
SUM = f"{hashlib.sha256(DATA).hexdigest()}  -\n".encode()


class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        body = {"/data": DATA, "/sum": SUM}.get(self.path)
        self.send_response(200 if body else 404)
        self.send_header("Content-Length", str(len(body or b"")))
        self.end_headers()
        self.wfile.write(body or b"")

    def log_message(self, *_):
        pass


server = http.server.ThreadingHTTPServer((sys.argv[1], 0), Handler)
print(server.server_address[1], flush=True)
server.serve_forever()
