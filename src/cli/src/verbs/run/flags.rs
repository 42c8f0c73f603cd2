//! Findings of the pod that `run` writes, in the words of who typed its flags. Pure.
//!
//! Nobody has seen a manifest: a field is told by the flag that it was made of.

use api::wire::Cause;

use crate::failure::Failure;

/// Field of the pod, by its beginning and its end; flag.
const FLAGS: &[(&str, &str, &str)] = &[
    ("metadata.namespace", "", "--namespace"),
    ("metadata.name", "", "--name"),
    ("metadata.labels", "", "--label"),
    ("spec.hostname", "", "--hostname"),
    ("spec.terminationGracePeriodSeconds", "", "--grace-period"),
    ("spec.volumes", "", "--volume"),
    ("spec.containers[0].volumeMounts", "", "--volume"),
    ("spec.containers[0].workingDir", "", "--workdir"),
    ("spec.containers[0].env", "", "--env"),
    ("spec.containers[0].ports", "", "--publish"),
    ("spec.containers[0].resources", ".memory", "--memory"),
    ("spec.containers[0].resources", ".cpu", "--cpus"),
    ("spec.containers[0].securityContext.runAs", "", "--user"),
    ("spec.securityContext", "", "--user"),
];

/// The failure with its findings told by flag, when a flag is known for each of them.
pub(super) fn named(failure: Failure) -> Failure {
    let words: Option<Vec<String>> = failure.findings.iter().map(words).collect();
    let Some(words) = words.filter(|words| !words.is_empty()) else { return failure };
    let hints: Vec<&str> = failure.findings.iter().filter_map(|f| f.hint.as_deref()).collect();
    let hint = (!hints.is_empty()).then(|| hints.join("; "));
    Failure { cause: words.join("; "), findings: Vec::new(), ..failure }.hint_maybe(hint)
}

fn words(finding: &Cause) -> Option<String> {
    let is_of =
        |begin: &str, end: &str| finding.field.starts_with(begin) && finding.field.ends_with(end);
    let flag = FLAGS.iter().find(|(begin, end, _)| is_of(begin, end))?.2;
    Some(format!("{flag}: {}", finding.message))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failure(field: &str) -> Failure {
        let finding = Cause {
            field: field.into(),
            message: "is wrong".into(),
            source: "run".into(),
            line: 1,
            column: 52,
            hint: Some("another".into()),
        };
        Failure { findings: vec![finding], ..Failure::new("run x", "the manifest has a mistake") }
    }

    #[test]
    fn a_finding_is_told_by_its_flag() {
        for (field, flag) in [
            ("metadata.name", "--name"),
            ("metadata.labels", "--label"),
            ("spec.containers[0].resources.limits.memory", "--memory"),
            ("spec.containers[0].resources.limits.cpu", "--cpus"),
            ("spec.containers[0].volumeMounts[1].mountPath", "--volume"),
        ] {
            let told = named(failure(field)).text();
            assert_eq!(told, format!("podvisor: run x: {flag}: is wrong\nhint: another\n"));
        }
        let unknown = failure("spec.containers[0].image");
        assert_eq!(named(unknown.clone()), unknown, "nothing is lost");
    }
}
