//! ADD of files of the web, from a server on the loopback.

use std::path::Path;
use std::process::{Child, Command, Stdio};

use crate::workbench::{Bench, sh};

/// Python's server of files, which also sends on to another scheme.
const SERVER: &str = "import http.server as h, sys
class S(h.SimpleHTTPRequestHandler):
    def do_GET(self):
        if self.path == '/away':
            self.send_response(302)
            self.send_header('Location', 'https://127.0.0.1:18090/file')
            self.end_headers()
        else:
            super().do_GET()
h.ThreadingHTTPServer(('127.0.0.1', 18090), S).serve_forever()";

/// A server of files on the loopback; it ends with this.
pub(crate) struct Server(Child);

impl Server {
    /// Runs a program of Python's in `folder`, which listens on `port`.
    pub(crate) fn new(bench: &Bench, program: &[&str], folder: &Path, port: u16) -> Server {
        let server = Command::new("python3")
            .args(program)
            .current_dir(folder)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn();
        let server = Server(server.expect("python3"));
        let answers = || std::net::TcpStream::connect(("127.0.0.1", port)).ok().map(drop);
        bench.host.until("the server answers", answers);
        server
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn files_of_the_web_are_added_as_they_are() {
    let Some(scope) = scope::enter("web::files_of_the_web_are_added_as_they_are") else { return };
    let bench = Bench::new(scope);
    let served = bench.context("served", &[("file", "hello"), ("in/x", "")]);
    sh(&format!("cd {}; tar -czf in.tar.gz in; touch -d @1000000000 file", served.display()));
    let server = Server::new(&bench, &["-c", SERVER], &served, 18090);
    let digest = sh(&format!("sha256sum {}/file | cut -d ' ' -f 1", served.display()));
    let file = format!(
        "FROM busybox\nARG AT=http://127.0.0.1:18090\n\
        ADD --checksum=sha256:{} $AT/file /kept\n\
        ADD $AT/in.tar.gz $AT/file?x /all/\n\
        ADD --chmod=755 --chown=7 $AT/file local /both/\n\
        RUN test \"$(cat /kept)\" = hello && test \"$(stat -c '%a %u %Y' /kept)\" = '600 0 1000000000'\n\
        RUN test -f /all/in.tar.gz && test -f /all/file && test ! -e /all/in\n\
        RUN test \"$(stat -c '%a %u' /both/file)\" = '755 7' && test -f /both/local\n",
        digest.trim()
    );
    bench.context("context", &[("Containerfile", &file), ("local", "")]);
    bench.build("context", &["-t", "web:1"]).ok();
    assert_eq!(bench.cached("context", &[]), [3, 4, 5, 6, 7, 8], "the same content");
    sh(&format!("echo other >{}/file", served.display()));
    bench.build("context", &[]).fails(1, &["Containerfile:3", "has the digest", digest.trim()]);
    for (source, words) in [
        ("http://127.0.0.1:18090/away", &["another scheme"][..]),
        ("http://127.0.0.1:18090/nothing", &["not found"]),
        ("http://127.0.0.1:18090/", &["names no file"]),
        ("http://127.0.0.1:1/file", &["127.0.0.1:1"]),
        ("https://127.0.0.1:1/x.git", &["git fetch of https://127.0.0.1:1/x.git"]),
    ] {
        let text = format!("FROM busybox\nADD {source} /\n");
        bench.context("wrong", &[("Containerfile", &text)]);
        bench.build("wrong", &[]).fails(1, &[&["Containerfile:2"], words].concat());
        bench.clean();
    }
    drop(server);
}

/// Says of each request whether it has a condition, and answers by an ETag.
const CONDITIONAL: &str = "import http.server as h, os
class S(h.BaseHTTPRequestHandler):
    def do_GET(self):
        body = open('file', 'rb').read()
        tag = '\"' + body.decode().strip() + '\"'
        known = self.headers.get('If-None-Match')
        with open('asked', 'a') as asked:
            asked.write(str(known) + '\\n')
        self.send_response(304 if known == tag else 200)
        self.send_header('ETag', tag)
        self.send_header('Content-Length', '0' if known == tag else str(len(body)))
        self.end_headers()
        if known != tag:
            self.wfile.write(body)
h.ThreadingHTTPServer(('127.0.0.1', 18092), S).serve_forever()";

/// Red without the digest in `version.json`: a kept file that was damaged would be taken.
#[test]
fn a_file_comes_again_only_when_it_has_changed() {
    let Some(scope) = scope::enter("web::a_file_comes_again_only_when_it_has_changed") else {
        return;
    };
    let bench = Bench::new(scope);
    let served = bench.context("served", &[("file", "one")]);
    let server = Server::new(&bench, &["-c", CONDITIONAL], &served, 18092);
    let write = |text: &str| std::fs::write(served.join("file"), text).expect("file");
    let asked = || {
        let text = std::fs::read_to_string(served.join("asked")).expect("asked");
        std::fs::remove_file(served.join("asked")).expect("asked");
        text.lines().map(str::to_owned).collect::<Vec<_>>()
    };
    let file = |text: &str| {
        let file = format!(
            "FROM busybox\nADD http://127.0.0.1:18092/file /f\nRUN test \"$(cat /f)\" = {text}\n"
        );
        bench.context("context", &[("Containerfile", &file)]);
        bench.build("context", &[]).ok();
        asked()
    };
    assert_eq!(file("one"), ["None"]);
    assert_eq!(file("one"), ["\"one\""]);
    write("two");
    assert_eq!(file("two"), ["\"one\""]);
    assert_eq!(file("two"), ["\"two\""]);
    let web = bench.host.path("root/build/web").display().to_string();
    sh(&format!("for f in {web}/*/body; do echo damaged >$f; done"));
    assert_eq!(file("two"), ["\"two\"", "None"], "what was damaged is not taken");
    bench.build("context", &["--no-cache"]).ok();
    assert_eq!(asked(), ["None"]);
    sh(&format!("find {web} -name version.json -exec touch -d '3 days ago' {{}} +"));
    bench.context("other", &[("Containerfile", "FROM busybox\n")]);
    bench.build("other", &["--prune"]).ok();
    assert_eq!(sh(&format!("ls {web}")), "", "what was not used for a day has gone");
    drop(server);
    bench.clean();
}
