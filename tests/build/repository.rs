//! ADD of a Git repository, from a server on the loopback, and the SSH agent of a step.

use crate::web::Server;
use crate::workbench::{Bench, sh};

const AT: &str = "http://127.0.0.1:18091/x.git";

/// A bare repository with two commits on `main`, served as plain files; the digest of the first.
fn served(bench: &Bench) -> (Server, String) {
    let folder = bench.context("served", &[("src/sub/f", "first\n"), ("src/run", "#!/bin/sh\n")]);
    let at = folder.display();
    let git = "git -c user.name=a -c user.email=a@b -c init.defaultBranch=main";
    let first = sh(&format!(
        "cd {at}/src; export GIT_CONFIG_GLOBAL=/dev/null; umask 022; chmod 755 run; ln -s /etc/passwd l; \
         {git} init -q; echo '* filter=evil' >.gitattributes; {git} add .; \
         GIT_COMMITTER_DATE='@1000000000 +0000' {git} commit -qm one; {git} rev-parse HEAD; \
         echo second >sub/f; GIT_COMMITTER_DATE='@1000000001 +0000' {git} commit -qam two; \
         {git} clone -q --bare . ../x.git; {git} -C ../x.git update-server-info"
    ));
    let server = Server::new(bench, &["-m", "http.server", "18091"], &folder, 18091);
    (server, first.trim().to_owned())
}

#[test]
fn a_commit_is_added_and_nothing_of_the_caller_is_used() {
    let Some(scope) =
        scope::enter("repository::a_commit_is_added_and_nothing_of_the_caller_is_used")
    else {
        return;
    };
    let bench = Bench::new(scope);
    let (server, first) = served(&bench);
    let file = format!(
        "FROM busybox\nADD {AT} /all/\nADD {AT}#{first}:sub /old\nADD --chown=5:6 {AT}#main:run /it\n\
         RUN test \"$(cat /all/sub/f)\" = second && test \"$(cat /old/f)\" = first\n\
         RUN test \"$(stat -c '%a %u %Y' /all/run /all/sub/f)\" = \
         \"$(printf '755 0 1000000001\\n644 0 1000000001')\"\n\
         RUN test \"$(stat -c '%u:%g' /it)\" = 5:6 && test ! -e /all/.git && test -L /all/l\n"
    );
    bench.context("context", &[("Containerfile", &file)]);
    // What the caller's Git would do on its own: run a hook, use a filter.
    let home = bench.context("home", &[("hooks/post-checkout", "#!/bin/sh\ntouch $HOME/ran\n")]);
    let at = home.display();
    let config =
        format!("[core]\nhooksPath = {at}/hooks\n[filter \"evil\"]\nsmudge = touch {at}/ran\n");
    std::fs::write(home.join(".gitconfig"), config).expect("config");
    sh(&format!("chmod 755 {at}/hooks/post-checkout"));
    let context = bench.host.path("context").display().to_string();
    let build = |umask: &str, path: &str| {
        let own = bench.host.command(&["build", &context]);
        let mut command = std::process::Command::new("/bin/sh");
        command.arg("-c").arg(format!("umask {umask}; exec \"$@\"")).arg("sh");
        command.arg(own.get_program()).args(own.get_args());
        command.envs(own.get_envs().filter_map(|(name, value)| Some((name, value?))));
        command.env("HOME", &home).env("PATH", path);
        let done = command.output().expect("build");
        (done.status.success(), String::from_utf8_lossy(&done.stderr).into_owned())
    };
    let usual = std::env::var("PATH").expect("PATH");
    let (well, told) = build("077", &usual);
    assert!(well, "{told}");
    let (well, told) = build("022", &usual);
    assert!(well && told.matches("CACHED").count() == 6, "{told}");
    assert!(!home.join("ran").exists(), "the caller's configuration was used");
    let (well, told) = build("022", "/nowhere");
    assert!(!well && told.contains("there is no git on this machine"), "{told}");
    for (source, words) in [
        (format!("{AT}#nowhere"), "nowhere"),
        (format!("{AT}#main:none"), "none is not in"),
        ("git@-x:y".to_owned(), "-x"),
        (format!("{AT}#--upload-pack=x"), "is no repository"),
    ] {
        let file = format!("FROM busybox\nADD {source} /\n");
        bench.context("context", &[("Containerfile", &file)]);
        bench.build("context", &[]).fails(1, &["Containerfile:2", words]);
    }
    drop(server);
    bench.clean();
}

#[test]
fn a_step_gets_a_socket_of_its_own_to_the_agent() {
    let Some(scope) = scope::enter("repository::a_step_gets_a_socket_of_its_own_to_the_agent")
    else {
        return;
    };
    let bench = Bench::new(scope);
    let socket = bench.host.path("agent.sock");
    let listener = std::os::unix::net::UnixListener::bind(&socket).expect("agent");
    let file = "FROM busybox\nUSER 7\n\
        RUN --mount=type=ssh,uid=7,mode=0640 --mount=type=ssh,id=b,target=/run/b \
        test \"$SSH_AUTH_SOCK\" = /run/ssh/default && test -S /run/b && \
        test \"$(stat -c '%F %u %a' $SSH_AUTH_SOCK)\" = 'socket 7 640'\n\
        RUN --mount=type=ssh,id=none test -z \"$SSH_AUTH_SOCK\" && test ! -e /run/ssh\n";
    bench.context("context", &[("Containerfile", file)]);
    let given = format!("default={}", socket.display());
    let b = format!("b={}", socket.display());
    bench.build("context", &["--ssh", &given, "--ssh", &b, "-t", "s:1"]).ok();
    let required = "FROM busybox\nRUN --mount=type=ssh,required=true true\n";
    bench.context("required", &[("Containerfile", required)]);
    bench.build("required", &[]).fails(1, &["the SSH agent default is not given", "--ssh default"]);
    bench.build("required", &["--ssh", "default=/etc/passwd"]).fails(2, &["no socket of an agent"]);
    drop(listener);
    bench.clean();
}
