//! Registries, proxies and a podvisor of one test.

use std::fs;
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

pub(crate) use scope::Done;
use scope::Scope;

/// How long any condition may take before a test calls it failed.
const PATIENCE: Duration = Duration::from_secs(30);

/// A scope and what was started in it.
pub(crate) struct World {
    scope: Scope,
    children: Vec<Child>,
}

/// The folder of the release binaries: PODVISOR_BIN, else beside this test's own build.
fn binaries() -> PathBuf {
    std::env::var_os("PODVISOR_BIN").map_or_else(
        || {
            let exe = std::env::current_exe().expect("current_exe");
            exe.ancestors().nth(3).expect("target folder").join("release")
        },
        PathBuf::from,
    )
}

/// A file beside this one.
fn beside(name: &str) -> String {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/registry").join(name).display().to_string()
}

impl World {
    pub(crate) fn new(scope: Scope) -> World {
        let world = World { scope, children: Vec::new() };
        world.sh("ip link set lo up");
        world
    }

    /// A path in the scope's folder.
    pub(crate) fn path(&self, name: &str) -> String {
        self.scope.folder().join(name).display().to_string()
    }

    /// A file in the scope's folder with this text; its folders are made.
    pub(crate) fn file(&self, name: &str, text: &str) -> String {
        let path = self.scope.folder().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, text).unwrap();
        path.display().to_string()
    }

    pub(crate) fn read(&self, name: &str) -> String {
        fs::read_to_string(self.scope.folder().join(name)).unwrap_or_default()
    }

    /// Runs a line of shell in the scope's folder; its output.
    #[track_caller]
    pub(crate) fn sh(&self, line: &str) -> String {
        let mut command = Command::new("sh");
        command.args(["-ec", line]).current_dir(self.scope.folder());
        Done::of(command.output().expect("sh")).ok()
    }

    /// Starts what ends with this world.
    fn start(&mut self, program: &str, args: &[&str], log: &str) {
        let log = fs::File::create(self.path(log)).unwrap();
        let child = Command::new(program)
            .args(args)
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn();
        self.children.push(child.expect(program));
    }

    /// Repeats a question until it is answered.
    #[track_caller]
    pub(crate) fn until<T>(&self, what: &str, mut ask: impl FnMut() -> Option<T>) -> T {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(answer) = ask() {
                return answer;
            }
            assert!(Instant::now() < deadline, "never: {what}");
            std::thread::park_timeout(Duration::from_millis(20));
        }
    }

    #[track_caller]
    fn listens(&self, port: u16) {
        self.until(&format!("something listens on {port}"), || {
            TcpStream::connect(("127.0.0.1", port)).ok()
        });
    }

    /// Starts docker-registry; `http` and `rest` are added to its configuration.
    pub(crate) fn registry(&mut self, port: u16, http: &str, rest: &str) {
        let folder = self.path(&format!("registry{port}"));
        let text = format!(
            "version: 0.1\nlog: {{level: warn}}\nstorage:\n  filesystem: {{rootdirectory: {folder}}}\n  \
             delete: {{enabled: true}}\nhttp:\n  addr: 127.0.0.1:{port}\n{http}\n{rest}\n"
        );
        let file = self.file(&format!("registry{port}.yml"), &text);
        self.start("docker-registry", &["serve", &file], &format!("registry{port}.log"));
        self.listens(port);
    }

    /// Starts a proxy with a fault before a registry; its log is `proxyPORT`.
    pub(crate) fn proxy(&mut self, port: u16, upstream: u16, fault: &str) {
        let (log, program) = (self.path(&format!("proxy{port}")), beside("proxy.py"));
        let (port_text, upstream) = (port.to_string(), upstream.to_string());
        self.start("python3", &[&program, &port_text, &upstream, &log, fault], "proxy.err");
        self.listens(port);
    }

    /// Starts a registry that takes requests up to `limit` bytes and chunks from `least` bytes on;
    /// its log is `chunksPORT`.
    pub(crate) fn chunks(&mut self, port: u16, limit: u64, least: u64) {
        let (log, program) = (self.path(&format!("chunks{port}")), beside("chunks.py"));
        let words = [port.to_string(), limit.to_string(), least.to_string()];
        let [port_text, limit, least] = words.each_ref().map(String::as_str);
        self.start("python3", &[&program, port_text, limit, least, &log], "chunks.err");
        self.listens(port);
    }

    /// Starts the token server.
    pub(crate) fn token_server(&mut self, port: u16, key: &str, certificate: &str) {
        let (log, program) = (self.path("tokens"), beside("tokens.py"));
        let port_text = port.to_string();
        self.start("python3", &[&program, &port_text, key, certificate, &log], "token.err");
        self.listens(port);
    }

    /// Starts nginx with TLS, certificate `server`, before a plain server.
    pub(crate) fn nginx(&mut self, port: u16, upstream: u16) {
        let text = format!(
            "daemon off; master_process off; pid {0}/nginx.pid; error_log stderr; events {{}} http {{ access_log off; \
             client_body_temp_path {0}/n1; proxy_temp_path {0}/n2; fastcgi_temp_path {0}/n3; \
             uwsgi_temp_path {0}/n4; scgi_temp_path {0}/n5; server {{ listen 127.0.0.1:{port} ssl; \
             ssl_certificate {0}/server.crt; ssl_certificate_key {0}/server.key; \
             location / {{ proxy_pass http://127.0.0.1:{upstream}; }} }} }}",
            self.scope.folder().display()
        );
        let file = self.file("nginx.conf", &text);
        self.start("/usr/sbin/nginx", &["-c", &file, "-e", "stderr"], "nginx.log");
        self.listens(port);
    }

    /// Makes a layout `FOLDER` with an image `TAG`; the digest of its top.
    pub(crate) fn layout(&self, words: &str) -> String {
        let image = beside("image.py");
        self.sh(&format!("python3 {image} {words}")).trim().to_owned()
    }

    /// The command, with a configuration that is the scope's alone.
    pub(crate) fn command(&self, words: &str) -> Command {
        let mut command = Command::new(binaries().join("podvisor"));
        command
            .args(words.split_whitespace())
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("PODVISOR_ROOT", self.path("root"))
            .env("PODVISOR_STATE", self.path("state"))
            .env("PODVISOR_LOG_DIR", self.path("log"))
            .env("REGISTRY_AUTH_FILE", self.path("auth.json"))
            .env("CONTAINERS_REGISTRIES_CONF", self.path("registries.conf"))
            .env("PODVISOR_CERTS_DIR", self.path("certs.d"))
            .env("PODVISOR_POLICY", self.path("policy.json"))
            .current_dir(self.scope.folder())
            .stdin(Stdio::null());
        command
    }

    /// Runs `podvisor WORDS` to its end.
    pub(crate) fn podvisor(&self, words: &str) -> Done {
        Done::of(self.command(words).output().expect("podvisor"))
    }

    /// Bytes that a proxy has sent of blobs, and how many answers that were.
    pub(crate) fn sent(&self, port: u16) -> (u64, usize) {
        let log = self.read(&format!("proxy{port}"));
        let bytes = log.lines().filter_map(|l| l.split(' ').next()?.parse::<u64>().ok());
        (bytes.sum(), log.lines().count())
    }
}

impl Drop for World {
    fn drop(&mut self) {
        for child in &mut self.children {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}
