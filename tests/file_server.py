"""A web server of files in a thread, with the faults that real ones have. For tests of downloads."""

from __future__ import annotations

import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class FileServer:
    """What is served, which faults it has, and what was asked for."""

    def __init__(self, files):
        self.files = dict(files)  # name -> bytes
        self.cuts = []  # bytes of body after which the next answers are cut off
        self.ranges = True  # False: Range is ignored, the file comes from its start
        self.lengths = True  # False: no Content-Length
        self.versions = {}  # name -> ETag
        self.asked = []  # (name, Range or None)
        self.base = ""

    def url(self, name):
        return f"{self.base}/{name}"


@contextmanager
def serving(**files):
    """Serve `name=bytes` (or FILES as a dict under the keyword `files`) on a free port."""
    server = FileServer(files.pop("files", files))

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            answer(self, server)

        def log_message(self, *_):
            pass

    http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    http.daemon_threads = True
    server.base = f"http://127.0.0.1:{http.server_address[1]}"
    thread = threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        http.shutdown()
        http.server_close()


def answer(request, server):
    name, asked = request.path.strip("/"), request.headers.get("Range")
    server.asked.append((name, asked))
    if name not in server.files:
        request.send_error(404, "Not Found")
        return
    body, start = server.files[name], 0
    version = server.versions.get(name, "")
    condition = request.headers.get("If-Range")
    if asked and server.ranges and (condition is None or condition == version):
        start = int(asked.removeprefix("bytes=").split("-")[0])
        if start >= len(body):
            request.send_response(416)
            request.send_header("Content-Range", f"bytes */{len(body)}")
            request.end_headers()
            return
        request.send_response(206)
        request.send_header("Content-Range", f"bytes {start}-{len(body) - 1}/{len(body)}")
    else:
        request.send_response(200)
    if server.lengths:
        request.send_header("Content-Length", str(len(body) - start))
    if version:
        request.send_header("ETag", version)
    request.end_headers()
    cut = server.cuts.pop(0) if server.cuts else len(body)
    request.wfile.write(body[start:start + cut])
    request.close_connection = True
