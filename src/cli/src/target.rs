//! What a person names: `web`, `web/nginx`, `pod/web`, `deployment web`, the beginning of a uid.
//!
//! Finding is by listing, so that a name need not come with its namespace; two pods of one name in
//! two namespaces are an error that says so.

use api::wire::Kind;
use api::{Client, client::Filter};
use serde_json::Value;

use crate::failure::Failure;
use crate::near::nearest;
use crate::object::{list, name, namespace, text};

/// A kind by any of its names.
#[must_use]
pub fn kind(word: &str) -> Option<Kind> {
    match word {
        "pod" | "pods" | "po" => Some(Kind::Pods),
        "deployment" | "deployments" | "deploy" | "deployment.apps" | "deployments.apps" => {
            Some(Kind::Deployments)
        }
        "secret" | "secrets" => Some(Kind::Secrets),
        "event" | "events" | "ev" => Some(Kind::Events),
        _ => None,
    }
}

/// `KIND NAME…`, `KIND/NAME…` or just names of `default`'s kind.
///
/// # Errors
/// Words for a kind that is unknown, or a name that is missing.
pub fn parse(words: &[String], default: Kind) -> Result<Vec<(Kind, String)>, Failure> {
    if let [first, rest @ ..] = words
        && let Some(kind) = kind(first)
    {
        if rest.is_empty() && words.len() == 1 {
            let usage = Failure::new(first.clone(), "the name is missing").code(2);
            return Err(usage.hint(format!("{first} NAME")));
        }
        return Ok(rest.iter().map(|name| (kind, name.clone())).collect());
    }
    let one = |word: &String| match word.split_once('/') {
        None => Ok((default, word.clone())),
        Some((before, after)) => match kind(before) {
            Some(kind) if !after.is_empty() => Ok((kind, after.to_owned())),
            _ => Err(Failure::new(word.clone(), format!("\"{before}\" is no kind"))
                .hint("pod/NAME or deployment/NAME")
                .code(2)),
        },
    };
    words.iter().map(one).collect()
}

/// Finds one object by name or by the beginning of its uid.
///
/// # Errors
/// None or several of that name, with near names.
pub async fn find(
    client: &Client,
    kind: Kind,
    wanted: &str,
    within: Option<&str>,
) -> Result<Value, Failure> {
    let filter = Filter { namespace: within.map(str::to_owned), ..Filter::default() };
    let what = format!("{} {wanted}", kind.name().to_lowercase());
    let all = client.list(kind, &filter).await.map_err(|error| Failure::api(&what, &error))?.items;
    choose(all, wanted, &what)
}

fn choose(all: Vec<Value>, wanted: &str, what: &str) -> Result<Value, Failure> {
    let by_name: Vec<&Value> = all.iter().filter(|object| name(object) == wanted).collect();
    let by_uid = || {
        let begins = |object: &&Value| text(object, "/metadata/uid").starts_with(wanted);
        all.iter().filter(begins).collect::<Vec<_>>()
    };
    let found = if by_name.is_empty() && wanted.len() >= 4 { by_uid() } else { by_name };
    match found.as_slice() {
        [one] => Ok((*one).clone()),
        [] => {
            let near = nearest(wanted, all.iter().map(name));
            let hint = match near {
                Some(near) => format!("did you mean {near}?"),
                None => "podvisor get all shows what there is".into(),
            };
            Err(Failure::new(what, "not found").hint(hint))
        }
        several => {
            let spaces: Vec<&str> = several.iter().map(|object| namespace(object)).collect();
            Err(Failure::new(what, format!("found in the namespaces {}", spaces.join(", ")))
                .hint("choose one with --namespace"))
        }
    }
}

/// A container of a pod.
#[derive(Debug, Clone)]
pub struct Member {
    /// The pod.
    pub pod: Value,
    /// Name of the container.
    pub container: String,
}

impl Member {
    /// As the API addresses it.
    #[must_use]
    pub fn target(&self) -> api::backend::Target {
        api::backend::Target {
            namespace: namespace(&self.pod).to_owned(),
            pod: name(&self.pod).to_owned(),
            container: Some(self.container.clone()),
        }
    }
}

/// Finds `POD`, `POD/CONTAINER` or `pod/POD`; without a container the only or first one.
///
/// # Errors
/// As [`find`], or a container that the pod does not have.
pub async fn member(
    client: &Client,
    word: &str,
    container: Option<&str>,
    within: Option<&str>,
) -> Result<Member, Failure> {
    let word = word.strip_prefix("pod/").unwrap_or(word);
    let (pod_name, inner) = match word.split_once('/') {
        Some((pod, inner)) => (pod, Some(inner)),
        None => (word, None),
    };
    let pod = find(client, Kind::Pods, pod_name, within).await?;
    let container = container_of(&pod, inner.or(container))?;
    Ok(Member { pod, container })
}

fn container_of(pod: &Value, wanted: Option<&str>) -> Result<String, Failure> {
    let lists = ["/spec/containers", "/spec/initContainers"];
    let names: Vec<&str> =
        lists.iter().flat_map(|at| list(pod, at)).filter_map(|c| c["name"].as_str()).collect();
    let Some(wanted) = wanted else {
        return Ok(names.first().copied().unwrap_or_default().to_owned());
    };
    if names.contains(&wanted) {
        return Ok(wanted.to_owned());
    }
    let near = nearest(wanted, names.iter().copied());
    let hint =
        near.map_or(format!("it has {}", names.join(", ")), |n| format!("did you mean {n}?"));
    let what = format!("pod {}", name(pod));
    Err(Failure::new(what, format!("it has no container \"{wanted}\"")).hint(hint))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn words(text: &str) -> Vec<String> {
        text.split_whitespace().map(str::to_owned).collect()
    }

    #[test]
    fn kinds_and_names_are_told_apart() {
        let pods = |names: &[&str]| {
            names.iter().map(|n| (Kind::Pods, (*n).to_owned())).collect::<Vec<_>>()
        };
        assert_eq!(parse(&words("pod a b"), Kind::Pods), Ok(pods(&["a", "b"])));
        assert_eq!(parse(&words("a"), Kind::Pods), Ok(pods(&["a"])));
        assert_eq!(
            parse(&words("deployment/web"), Kind::Pods),
            Ok(vec![(Kind::Deployments, "web".into())])
        );
        assert_eq!(parse(&words("pod"), Kind::Pods).unwrap_err().code, 2);
        assert_eq!(parse(&words("job/x"), Kind::Pods).unwrap_err().code, 2);
    }

    #[test]
    fn a_name_a_uid_or_a_near_miss() {
        let pod = |name: &str, ns: &str, uid: &str| {
            json!({"metadata": {"name": name, "namespace": ns, "uid": uid},
                   "spec": {"containers": [{"name": "server"}, {"name": "client"}]}})
        };
        let all =
            vec![pod("web", "a", "1111-2"), pod("web", "b", "3333-4"), pod("db", "a", "5555")];
        assert_eq!(name(&choose(all.clone(), "db", "pod db").unwrap()), "db");
        assert_eq!(text(&choose(all.clone(), "3333", "").unwrap(), "/metadata/namespace"), "b");
        let error = choose(all.clone(), "web", "pod web").unwrap_err();
        assert!(error.cause.contains("a, b"), "{error:?}");
        let error = choose(all.clone(), "wbe", "pod wbe").unwrap_err();
        assert_eq!(error.hint.as_deref(), Some("did you mean web?"));
        assert_eq!(container_of(&all[0], None).unwrap(), "server");
        assert_eq!(container_of(&all[0], Some("client")).unwrap(), "client");
        let error = container_of(&all[0], Some("clinet")).unwrap_err();
        assert_eq!(error.hint.as_deref(), Some("did you mean client?"));
    }
}
