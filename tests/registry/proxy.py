"""A proxy before a registry that makes faults in blobs. usage: proxy.py PORT UPSTREAM LOG FAULT
Faults: pass, cut:BYTES (each answer ends after so many), slow:BYTES (a second), corrupt (one bit of each blob),
corrupt-once, busy:TIMES (429, 503 and 500 first), silent:BYTES (nothing more after those). LOG gets a line a blob: bytes sent, Range asked for."""
import http.client, http.server, socketserver, sys, threading, time

port, upstream, log, fault = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3], sys.argv[4]
kind, _, number = fault.partition(":")
number = int(number or 0)
lock, state = threading.Lock(), {"busy": 0, "corrupt": 0}


class Handler(http.server.BaseHTTPRequestHandler):
    def log_message(self, *_):
        pass

    def do_GET(self):
        if kind == "busy":
            with lock:
                state["busy"] += 1
                turn = state["busy"]
            if turn <= number:
                self.send_response((429, 503, 500)[turn % 3])
                self.send_header("Retry-After", "0")
                self.send_header("Content-Length", "0")
                return self.end_headers()
        server = http.client.HTTPConnection("127.0.0.1", upstream)
        server.request(self.command, self.path, headers=dict(self.headers))
        answer = server.getresponse()
        self.send_response(answer.status)
        for name, value in answer.getheaders():
            if name.lower() not in ("connection", "transfer-encoding", "date", "server"):
                self.send_header(name, value)
        self.send_header("Connection", "close")
        self.close_connection = True
        self.end_headers()
        blob = "/blobs/sha256:" in self.path and self.command == "GET"
        sent = self.pour(answer, blob)
        if blob:
            with lock, open(log, "a") as out:
                out.write(f"{sent} {self.headers.get('Range')} {self.path}\n")

    do_HEAD = do_GET

    def pour(self, answer, blob):
        sent = 0
        try:
            while data := answer.read(1 << 14):
                if blob and kind == "slow":
                    time.sleep(len(data) / number)
                if blob and kind == "cut":
                    data = data[: number - sent]
                if blob and (kind == "corrupt" or kind == "corrupt-once" and state["corrupt"] == 0) and sent == 0:
                    state["corrupt"] += 1
                    data = data[:50] + bytes([data[50] ^ 1]) + data[51:]
                self.wfile.write(data)
                sent += len(data)
                if blob and kind == "cut" and sent >= number:
                    break
                if blob and kind == "silent" and sent >= number:
                    # Until the other side ends it.
                    self.connection.recv(1)
                    break
        except OSError:
            pass
        return sent


class Server(socketserver.ThreadingMixIn, http.server.HTTPServer):
    daemon_threads = True
    allow_reuse_address = True


Server(("127.0.0.1", port), Handler).serve_forever()
