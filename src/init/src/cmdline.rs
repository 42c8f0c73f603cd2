//! The kernel's command line: which of its words are ours. Parsing is pure.

use sys::reboot::Ending;

/// What the kernel's command line asks.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Boot {
    /// Image archives to load, in order.
    pub(crate) images: Vec<String>,
    /// Manifests to bring up.
    pub(crate) pods: Vec<String>,
    /// End the machine so once the pods are done.
    pub(crate) exit: Option<Ending>,
}

/// Reads /proc/cmdline; complaints go to the console.
pub(crate) fn read() -> Boot {
    let text = std::fs::read_to_string("/proc/cmdline").unwrap_or_default();
    let (boot, wrong) = parse(&text);
    for words in wrong {
        crate::say(&words);
    }
    boot
}

/// Takes the line apart; words that are wrong are told and passed over, because PID 1 must go on.
fn parse(line: &str) -> (Boot, Vec<String>) {
    let mut boot = Boot::default();
    let mut wrong = Vec::new();
    for word in line.split_ascii_whitespace() {
        let Some((name, value)) = word.trim_matches('"').split_once('=') else { continue };
        let value = value.trim_matches('"');
        let files = || value.split(',').filter(|file| !file.is_empty()).map(str::to_owned);
        match name {
            "podvisor.images" => boot.images.extend(files()),
            "podvisor.pods" => boot.pods.extend(files()),
            "podvisor.exit" => match value {
                "poweroff" => boot.exit = Some(Ending::PowerOff),
                "reboot" => boot.exit = Some(Ending::Restart),
                "halt" => boot.exit = Some(Ending::Halt),
                _ => wrong.push(format!(
                    "init: {word}: is none of poweroff, reboot, halt; the machine stays up"
                )),
            },
            _ => {}
        }
    }
    if boot.exit.is_some() && boot.pods.is_empty() {
        wrong.push("init: podvisor.exit without podvisor.pods: the machine stays up".to_owned());
        boot.exit = None;
    }
    (boot, wrong)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn our_words_are_found_among_the_kernels() {
        let (boot, wrong) = parse(
            "console=ttyS0 quiet podvisor.vmtest podvisor.images=/a.tar,/b.tar \
             podvisor.pods=/p.yaml podvisor.exit=poweroff\n",
        );
        assert_eq!(boot.images, ["/a.tar", "/b.tar"]);
        assert_eq!(boot.pods, ["/p.yaml"]);
        assert_eq!((boot.exit, wrong.len()), (Some(Ending::PowerOff), 0));
    }

    #[test]
    fn a_wrong_word_is_told_and_passed_over() {
        let (boot, wrong) = parse("podvisor.pods=/p.yaml podvisor.exit=explode");
        assert_eq!((boot.exit, wrong.len()), (None, 1));
        let (boot, wrong) = parse("podvisor.exit=reboot podvisor.pods=,");
        assert_eq!((boot, wrong.len()), (Boot::default(), 1));
        assert_eq!(parse(""), (Boot::default(), vec![]));
    }
}
