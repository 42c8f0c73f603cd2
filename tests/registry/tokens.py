"""A token server for docker-registry. usage: tokens.py PORT KEY CERTIFICATE LOG
Gives tokens to me:secret, and to nobody else. Its tokens name the certificate (x5c); RS256 by openssl."""
import base64, http.server, json, subprocess, sys, time, urllib.parse

port, key, certificate, log = int(sys.argv[1]), sys.argv[2], sys.argv[3], sys.argv[4]
der = "".join(line for line in open(certificate).read().splitlines() if "---" not in line)


def b64(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


class Handler(http.server.BaseHTTPRequestHandler):
    def log_message(self, *_):
        pass

    def do_GET(self):
        with open(log, "a") as out:
            out.write(self.path + "\n")
        if self.headers.get("Authorization") != "Basic " + base64.b64encode(b"me:secret").decode():
            self.send_response(401)
            self.send_header("Content-Length", "0")
            return self.end_headers()
        query = urllib.parse.parse_qs(urllib.parse.urlparse(self.path).query)
        access = []
        for scope in query.get("scope", []):
            kind, name, actions = scope.split(":")
            access.append({"type": kind, "name": name, "actions": actions.split(",")})
        now = int(time.time())
        head = {"typ": "JWT", "alg": "RS256", "x5c": [der]}
        claims = {"iss": "issuer", "sub": "me", "aud": query["service"][0], "exp": now + 300, "nbf": now - 10,
                  "iat": now, "jti": "1", "access": access}
        text = b64(json.dumps(head).encode()) + "." + b64(json.dumps(claims).encode())
        sign = subprocess.run(["openssl", "dgst", "-sha256", "-sign", key], input=text.encode(), capture_output=True)
        body = json.dumps({"token": text + "." + b64(sign.stdout)}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


http.server.HTTPServer(("127.0.0.1", port), Handler).serve_forever()
