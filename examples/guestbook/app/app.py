"""The guestbook: GET shows the entries, POST adds one. Redis is spoken to directly; its protocol is a few lines."""
import html
import os
import signal
import socket
import sys
import urllib.parse
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


def redis(*words):
    """Sends one command, returns its reply (RESP: + line, : number, $ bulk, * array)."""
    with socket.create_connection((os.environ.get("REDIS_HOST", "db"), 6379), timeout=3) as link:
        link.sendall(b"*%d\r\n" % len(words) + b"".join(b"$%d\r\n%s\r\n" % (len(w), w) for w in map(str.encode, words)))
        stream = link.makefile("rb")

        def reply():
            kind, rest = (line := stream.readline().rstrip())[:1], line[1:]
            if kind == b"$":
                return None if rest == b"-1" else stream.read(int(rest) + 2)[:-2].decode()
            if kind == b"*":
                return [reply() for _ in range(int(rest))]
            if kind == b"-":
                raise RuntimeError(rest.decode())
            return rest.decode()

        return reply()


class Guestbook(BaseHTTPRequestHandler):
    def page(self, text, status=200):
        body = text.encode()
        self.send_response(status)
        self.send_header("Content-Type", "text/html; charset=utf-8")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self):
        visits = redis("INCR", "visits")
        entries = "".join(f"<li>{html.escape(e)}</li>" for e in redis("LRANGE", "entries", "0", "9"))
        self.page(f"<h1>Guestbook</h1><p>visit {visits}, served by {socket.gethostname()}</p><ul>{entries}</ul>\n")

    def do_POST(self):
        form = urllib.parse.parse_qs(self.rfile.read(int(self.headers.get("Content-Length", 0))).decode())
        redis("LPUSH", "entries", form.get("entry", ["(empty)"])[0][:200])
        self.page("<p>thank you</p>\n", 201)

    def log_message(self, form, *args):
        print(form % args, flush=True)


signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
print("guestbook listens on port 8000", flush=True)
ThreadingHTTPServer(("", 8000), Guestbook).serve_forever()
