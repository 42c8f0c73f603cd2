"""A registry that takes no large requests (distribution-spec 1.1, "Pushing a blob in chunks").
usage: chunks.py PORT LIMIT LEAST LOG
A body over LIMIT bytes is answered with 413 before it has come, as proxies do; chunks must come in order, each but
the last of LEAST bytes at least, to the Location of the answer before. LOG gets a line a request of an upload:
method, bytes, Content-Range, status."""
import hashlib, http.server, json, re, socketserver, sys, threading
from urllib.parse import parse_qs, urlsplit

port, limit, least, log = int(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]), sys.argv[4]
lock, uploads, blobs, manifests = threading.Lock(), {}, {}, {}


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def answer(self, status, body=b"", **headers):
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def upload(self, status, **headers):
        with lock, open(log, "a") as out:
            length, part = self.headers.get("Content-Length", "0"), self.headers.get("Content-Range", "-")
            out.write(f"{self.command} {length} {part} {status}\n")
        self.answer(status, **headers)

    def place(self, number):
        return f"/v2/{self.name}/blobs/uploads/{number}?at={len(uploads[number])}"

    def do(self):
        url = urlsplit(self.path)
        query = {key: values[0] for key, values in parse_qs(url.query).items()}
        length = int(self.headers.get("Content-Length", 0))
        found = re.match(r"/v2/(.+)/(blobs/uploads|blobs|manifests)/(.*)", url.path)
        if not found:
            return self.answer(200)
        self.name, kind, what = found.groups()
        if kind == "blobs/uploads" and self.command == "POST":
            self.rfile.read(length)
            number = str(len(uploads))
            uploads[number] = b""
            return self.upload(202, Location=self.place(number), OCI_Chunk_Min_Length=str(least))
        if kind == "blobs/uploads":
            if length > limit:
                self.upload(413)
                # What is on its way is read, so that the answer is not lost with the connection.
                while length > 0:
                    length -= len(self.rfile.read(min(length, 1 << 16)) or b" " * length)
                self.close_connection = True
                return
            body = self.rfile.read(length)
            if query.get("at") != str(len(uploads[what])):
                return self.upload(416)
            if self.command == "PATCH":
                wanted = f"{len(uploads[what])}-{len(uploads[what]) + length - 1}"
                if self.headers.get("Content-Range") != wanted:
                    return self.upload(416)
                uploads[what] += body
                return self.upload(202, Location=self.place(what), Range=f"0-{len(uploads[what]) - 1}")
            whole = uploads.pop(what) + body
            uploads[what] = b""
            digest = "sha256:" + hashlib.sha256(whole).hexdigest()
            if digest != query.get("digest"):
                return self.upload(400)
            blobs[digest] = whole
            return self.upload(201, Docker_Content_Digest=digest)
        kept = blobs if kind == "blobs" else manifests
        if self.command == "PUT":
            body = self.rfile.read(length)
            digest = "sha256:" + hashlib.sha256(body).hexdigest()
            kept[what] = kept[digest] = body
            return self.answer(201, Docker_Content_Digest=digest)
        if what not in kept:
            return self.answer(404)
        kind = "application/octet-stream" if kind == "blobs" else json.loads(kept[what])["mediaType"]
        digest = "sha256:" + hashlib.sha256(kept[what]).hexdigest()
        self.answer(200, kept[what], Content_Type=kind, Docker_Content_Digest=digest)

    do_GET = do_HEAD = do_POST = do_PUT = do_PATCH = do


class Server(socketserver.ThreadingMixIn, http.server.HTTPServer):
    daemon_threads = True
    allow_reuse_address = True


Server(("127.0.0.1", port), Handler).serve_forever()
