//! ADD of files of the web, from a server on the loopback.

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

struct Server(Child);

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
    let server = Command::new("python3")
        .args(["-c", SERVER])
        .current_dir(&served)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn();
    let server = Server(server.expect("python3"));
    let answers = || std::net::TcpStream::connect("127.0.0.1:18090").ok().map(drop);
    bench.host.until("the server answers", answers);
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
        ("https://127.0.0.1/x.git", &["Git"]),
    ] {
        let text = format!("FROM busybox\nADD {source} /\n");
        bench.context("wrong", &[("Containerfile", &text)]);
        bench.build("wrong", &[]).fails(1, &[&["Containerfile:2"], words].concat());
        bench.clean();
    }
    drop(server);
}
