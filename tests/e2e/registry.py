#!/usr/bin/env python3
"""A registry over TLS for scenarios: one image, pushed and pulled in memory.

usage: registry.py READY KEY CERT [--address A] [--port N] [--client-ca FILE] [--user NAME:PASSWORD]
Writes its "host:port" to the file READY when it listens. Every request is a line on standard output."""
import argparse, base64, hashlib, os, ssl, sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

blobs, manifests = {}, {}


def digest(data):
    return 'sha256:' + hashlib.sha256(data).hexdigest()


class Handler(BaseHTTPRequestHandler):
    protocol_version = 'HTTP/1.1'

    def log_message(self, *_):
        pass

    def answer(self, status, body=b'', **headers):
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace('_', '-'), value)
        self.send_header('Content-Length', str(len(body)))
        self.end_headers()
        if self.command != 'HEAD':
            self.wfile.write(body)

    def handle_one(self):
        body = self.rfile.read(int(self.headers.get('Content-Length') or 0))
        path, _, query = self.path.partition('?')
        print(self.command, path, flush=True)
        if options.user and self.headers.get('Authorization') != 'Basic ' + base64.b64encode(options.user.encode()).decode():
            return self.answer(401, WWW_Authenticate='Basic realm="test"')
        name = path.rsplit('/', 1)[1]
        if path == '/v2/':
            return self.answer(200)
        if '/manifests/' in path:
            if self.command == 'PUT':
                manifests[name] = manifests[digest(body)] = (body, self.headers['Content-Type'])
                return self.answer(201)
            if name not in manifests:
                return self.answer(404)
            return self.answer(200, manifests[name][0], Content_Type=manifests[name][1], Docker_Content_Digest=digest(manifests[name][0]))
        if '/uploads/' in path:
            if self.command == 'POST':
                return self.answer(202, Location=path + 'one')
            if 'digest=' + digest(body).replace(':', '%3A') not in query:
                return self.answer(400)
            blobs[digest(body)] = body
            return self.answer(201)
        return self.answer(200, blobs[name]) if name in blobs else self.answer(404)

    do_GET = do_HEAD = do_POST = do_PUT = handle_one


parser = argparse.ArgumentParser()
parser.add_argument('ready')
parser.add_argument('key')
parser.add_argument('cert')
parser.add_argument('--address', default='127.0.0.1')
parser.add_argument('--port', type=int, default=0)
parser.add_argument('--client-ca')
parser.add_argument('--user')
options = parser.parse_args()


class Server(ThreadingHTTPServer):
    daemon_threads = True

    def finish_request(self, request, address):
        try:  # in the connection's own thread: a client that refuses us must not stop the others
            request.do_handshake()
            super().finish_request(request, address)
        except OSError as error:
            print('refused', error, flush=True)


server = Server((options.address, options.port), Handler)
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain(options.cert, options.key)
if options.client_ca:
    context.verify_mode = ssl.CERT_REQUIRED
    context.load_verify_locations(options.client_ca)
server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
with open(options.ready + '.new', 'w') as ready:
    ready.write('%s:%d' % server.server_address[:2])
os.rename(options.ready + '.new', options.ready)
server.serve_forever()
