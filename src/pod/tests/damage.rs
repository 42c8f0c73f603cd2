//! Damaged manifests: whatever the bytes are, parsing ends with objects or with findings that have
//! a place, and what was accepted reads back from its own JSON.

use fuzz::Dice;
use pod::manifest::{self, Object};
use pod::{Finding, Strictness};

const SAMPLE: &str = r#"apiVersion: apps/v1
kind: Deployment
metadata: {name: web, labels: {app: web}}
spec:
  replicas: 3
  selector: {matchLabels: &l {app: web}}
  template:
    metadata: {labels: *l}
    spec:
      volumes: [{name: v, emptyDir: {medium: Memory, sizeLimit: 1.5Mi}}]
      containers:
      - name: web
        image: "registry.example:5000/team/web:1"
        command: [sh, -c, 'echo "hi"']
        env:
        - {name: A, value: "0x1f"}
        - name: B
          valueFrom: {fieldRef: {fieldPath: "metadata.labels['app']"}}
        ports: [{containerPort: 0120, name: http}]
        resources: {limits: {cpu: 250m, memory: 64Mi}}
        livenessProbe:
          httpGet: {path: /, port: http}
          periodSeconds: 5
---
apiVersion: v1
kind: Pod
metadata: {name: one}
spec:
  containers: [{name: a, image: b, tty: yes}]
"#;

fn damaged(seed: u64) -> String {
    let mut dice = Dice::Seed(seed);
    let mut bytes = SAMPLE.as_bytes().to_vec();
    for _ in 0..=dice.bits() % 4 {
        if bytes.len() < 2 {
            break;
        }
        let at = dice.below(bytes.len());
        let other = dice.below(bytes.len());
        let special = b"{}[]:,&*!|>'\"%@`#-?\n\t \\<~0.\xc3"[dice.below(27)];
        match dice.bits() % 5 {
            0 => bytes[at] = special,
            1 => bytes.insert(at, special),
            2 => drop(bytes.remove(at)),
            3 => bytes.truncate(at.max(1)),
            _ => {
                let (from, to) = (at.min(other), at.max(other));
                let copy: Vec<u8> = bytes[from..to].to_vec();
                bytes.extend(copy);
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

fn sound(result: Result<Vec<Object>, Vec<Finding>>, text: &str) -> bool {
    match result {
        Ok(objects) => {
            for object in objects {
                let stored = serde_json::to_string(&object).unwrap_or_default();
                assert_eq!(serde_json::from_str::<Object>(&stored).ok(), Some(object), "{text}");
            }
            true
        }
        Err(findings) => {
            assert!(!findings.is_empty(), "{text}");
            for finding in findings {
                assert!(finding.line > 0 && finding.column > 0, "{finding:?}\n{text}");
            }
            false
        }
    }
}

#[test]
fn damaged_manifests_end_with_findings() {
    assert!(sound(manifest::parse("-", SAMPLE, Strictness::Strict), SAMPLE));
    let (mut good, mut bad) = (0, 0);
    for seed in 0..4_000 {
        let text = damaged(seed);
        match sound(manifest::parse("-", &text, Strictness::Strict), &text) {
            true => good += 1,
            false => bad += 1,
        }
        sound(manifest::parse("-", &text, Strictness::Ignore), &text);
    }
    assert!(good > 100 && bad > 1_000, "{good} good, {bad} bad: the damage is too small or large");
}
