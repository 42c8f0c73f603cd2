//! buildah on the same Containerfile: the same tree of files, the same fields of the configuration.

use std::process::Command;

use serde_json::Value;

use crate::workbench::{Bench, sh};

const FILE: &str = r#"FROM scratch AS base
ADD rootfs.tar /
FROM base
ARG WHO=me
ENV A=1 B="two $WHO" C=${NONE:-three}
WORKDIR /w/x
COPY . /ctx/
COPY --chown=3:4 --chmod=600 a d /owned/
COPY a renamed
COPY a /dir/
RUN echo "$B" >/ran && ln -s /ran /soft && ln /ran /hard && chmod 4755 /ran && rm -rf /etc/group
RUN mkdir -p /etc/new && chown 5:6 /etc/new && rm -r /ctx/d && mkdir /ctx/d && touch /ctx/d/n
ADD files.tar.gz /un/
COPY --from=base /bin/busybox /copied
LABEL l=1
EXPOSE 80
VOLUME /v
USER 7:8
STOPSIGNAL SIGINT
ENTRYPOINT ["/bin/sh", "-c"]
CMD echo hello
"#;

/// The tar of busybox's root file system.
fn rootfs(bench: &Bench) -> String {
    let tar = bench.host.path("busybox-rootfs.tar");
    let made = Command::new(crate::host::recipe("busybox")).arg(&tar).status().expect("recipe");
    assert!(made.success());
    tar.display().to_string()
}

/// The lines of `a` that `b` has not.
pub(crate) fn only(a: &str, b: &str) -> Vec<String> {
    let other: Vec<&str> = b.lines().collect();
    a.lines().filter(|line| !other.contains(line)).map(str::to_owned).collect()
}

/// What is in a folder: names, kinds, rights, owners, sizes, links.
pub(crate) fn listed(path: &str) -> String {
    sh(&format!(
        "cd {path}; find . -type d -printf '%p %y %m %U:%G\\n' -o \
         -printf '%p %y %m %U:%G %s %n %l\\n' | sort"
    ))
}

/// The same of an image of ours.
pub(crate) fn tree(bench: &Bench, image: &str) -> String {
    let path = bench.host.podvisor(&["image", "mount", image]).ok();
    let listed = listed(path.trim());
    bench.host.podvisor(&["image", "unmount", image]).ok();
    listed
}

/// buildah with a store of the test's own.
pub(crate) fn buildah(bench: &Bench) -> String {
    let place = bench.host.path("buildah").display().to_string();
    let policy = r#"{"default":[{"type":"insecureAcceptAnything"}]}"#;
    sh(&format!("mkdir -p {place}; printf '%s' '{policy}' >{place}/policy.json"));
    format!(
        "env CONTAINERS_REGISTRIES_CONF=/dev/null buildah --root {place}/root \
         --runroot {place}/run --storage-driver vfs"
    )
}

/// Gives buildah busybox's root file system as `base`.
pub(crate) fn base(bench: &Bench) {
    let tool = buildah(bench);
    let (tar, folder) = (rootfs(bench), bench.context("base", &[]));
    let file = folder.join("Containerfile").display().to_string();
    std::fs::write(&file, "FROM scratch\nADD rootfs.tar /\n").expect("file");
    let folder = folder.display();
    sh(&format!(
        "cp {tar} {folder}/rootfs.tar; {tool} bud --format docker -t base {folder} >/dev/null 2>&1"
    ));
}

/// Builds by buildah and loads the image as `theirs:1`.
fn by_buildah(bench: &Bench, context: &str) {
    let (tool, place) = (buildah(bench), bench.host.path("buildah").display().to_string());
    let policy = format!("--signature-policy {place}/policy.json");
    sh(&format!(
        "{tool} bud {policy} --isolation chroot -t theirs:1 {context} >{place}/log 2>&1 || \
         {{ cat {place}/log >&2; exit 1; }}; \
         {tool} push {policy} theirs:1 oci-archive:{place}/theirs.tar:theirs:1 >/dev/null 2>&1"
    ));
    let archive = format!("{place}/theirs.tar");
    bench.host.podvisor(&["load", "--name", "theirs:1", &archive]).ok();
}

#[test]
fn buildah_makes_the_same_image() {
    let Some(scope) = scope::enter("peers::buildah_makes_the_same_image") else { return };
    let bench = Bench::new(scope);
    let files = [("Containerfile", FILE), ("a", "a"), ("d/f", "f"), ("z/g", "")];
    let context = bench.context("context", &files);
    let at = context.display().to_string();
    let tar = rootfs(&bench);
    sh(&format!(
        "cp {tar} {at}/rootfs.tar; tar -C {at} -czf {at}/files.tar.gz z; \
         chmod 750 {at}/z; chmod 751 {at}/d"
    ));
    bench.build("context", &["-t", "ours:1"]).ok();
    by_buildah(&bench, &at);
    let (ours, theirs) = (tree(&bench, "ours:1"), tree(&bench, "theirs:1"));
    let (ours_only, mut theirs_only) = (only(&ours, &theirs), only(&theirs, &ours));
    // Mount points that buildah's RUN leaves in the image.
    let stubs = ["./etc/hostname ", "./etc/hosts ", "./etc/resolv.conf ", "./run "];
    theirs_only.retain(|line| !stubs.iter().any(|stub| line.starts_with(stub)));
    assert!(ours_only.is_empty() && theirs_only.is_empty(), "{ours_only:#?}\n{theirs_only:#?}");
    let config = |image: &str| bench.inspect(image)["image"]["config"].take();
    let (ours, theirs) = (config("ours:1"), config("theirs:1"));
    let same = ["WorkingDir", "User", "Entrypoint", "Cmd", "ExposedPorts", "Volumes", "StopSignal"];
    for field in same {
        assert_eq!(ours[field], theirs[field], "{field}");
    }
    let env = |config: &Value| {
        // buildah writes down the PATH that a container has anyway.
        let list = config["Env"].as_array().into_iter().flatten().cloned();
        list.filter(|v| !v.as_str().is_some_and(|v| v.starts_with("PATH="))).collect::<Vec<_>>()
    };
    assert_eq!(env(&ours), env(&theirs));
    assert_eq!(ours["Labels"]["l"], theirs["Labels"]["l"]);
    bench.clean();
}
