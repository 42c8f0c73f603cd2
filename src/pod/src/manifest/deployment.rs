//! Deployment (apps/v1).

use super::meta::{LabelSelector, ObjectMeta};
use super::mixed::IntOrPercent;
use super::pod::{Pod, PodSpec};
use super::schema::{choice, record};

choice! {
    /// How old pods give way to new ones.
    pub enum StrategyType {
        /// Little by little, within surge and unavailability.
        RollingUpdate = "RollingUpdate",
        /// All old ones first.
        Recreate = "Recreate",
    }
}

record! {
    /// Bounds of a rolling update.
    pub struct RollingUpdate {
        /// Pods above `replicas`, a number or percent (rounded up); 25 % when absent.
        max_surge: Option<IntOrPercent> = "maxSurge",
        /// Pods below `replicas`, a number or percent (rounded down); 25 % when absent.
        max_unavailable: Option<IntOrPercent> = "maxUnavailable",
    }
    later: [];
}

record! {
    /// How a Deployment changes its pods.
    pub struct DeploymentStrategy {
        /// RollingUpdate when absent.
        kind: Option<StrategyType> = "type",
        /// With RollingUpdate only.
        rolling_update: Option<RollingUpdate> = "rollingUpdate",
    }
    later: [];
}

record! {
    /// What the pods of a Deployment are made from.
    pub struct PodTemplateSpec {
        /// Labels and annotations of the pods.
        metadata: ObjectMeta = "metadata" [required],
        /// Their spec.
        spec: PodSpec = "spec" [required],
    }
    later: [];
}

record! {
    /// What a Deployment is to be.
    pub struct DeploymentSpec {
        /// 1 when absent.
        replicas: Option<u32> = "replicas",
        /// Must match the template's labels.
        selector: LabelSelector = "selector" [required],
        /// What pods are made from.
        template: PodTemplateSpec = "template" [required],
        /// RollingUpdate with 25 % and 25 % when absent.
        strategy: Option<DeploymentStrategy> = "strategy",
        /// Seconds a pod must be ready to count as available; 0 when absent.
        min_ready_seconds: Option<u32> = "minReadySeconds",
        /// Old revisions to keep; 10 when absent.
        revision_history_limit: Option<u32> = "revisionHistoryLimit",
        /// Seconds without progress until the roll-out counts as stuck; 600 when absent.
        progress_deadline_seconds: Option<u32> = "progressDeadlineSeconds" [positive],
        /// Do not roll changes of the template out.
        paused: Option<bool> = "paused",
    }
    later: [];
}

impl DeploymentSpec {
    /// Wanted pods.
    pub fn replicas(&self) -> u32 {
        self.replicas.unwrap_or(1)
    }

    /// Strategy, RollingUpdate when none is set.
    pub fn strategy_type(&self) -> StrategyType {
        self.strategy.as_ref().and_then(|s| s.kind).unwrap_or_default()
    }

    /// `(max surge, max unavailable)` in pods. Surge rounds up and unavailability down; when both
    /// come to 0, one pod may be unavailable.
    pub fn bounds(&self) -> (u32, u32) {
        let replicas = self.replicas();
        let given = self.strategy.as_ref().and_then(|s| s.rolling_update.as_ref());
        let default = IntOrPercent::Percent(25);
        let surge = given.and_then(|r| r.max_surge).unwrap_or(default).round_up(replicas);
        let gone = given.and_then(|r| r.max_unavailable).unwrap_or(default).round_down(replicas);
        if surge == 0 && gone == 0 { (0, 1) } else { (surge, gone.min(replicas)) }
    }
}

record! {
    /// Replicated pods of one template.
    pub struct Deployment {
        /// `apps/v1`.
        api_version: String = "apiVersion" [required],
        /// `Deployment`.
        kind: String = "kind" [required],
        /// Name and identity.
        metadata: ObjectMeta = "metadata" [required],
        /// What it is to be.
        spec: DeploymentSpec = "spec" [required],
    }
    later: [];
    ignored: ["status"];
}

impl Deployment {
    /// A pod made from a template of this Deployment, owned by it. `suffix` makes the name unique;
    /// the caller chooses it (names are at most 63 characters, so a long base is cut).
    pub fn pod(&self, template: &PodTemplateSpec, suffix: &str, uid: &str) -> Pod {
        let room = 62usize.saturating_sub(suffix.len());
        let base: String = self.metadata.name.chars().take(room).collect();
        let mut metadata = template.metadata.clone();
        metadata.name = format!("{}-{suffix}", base.trim_end_matches(['-', '.']));
        metadata.namespace = self.metadata.namespace.clone();
        metadata.uid = Some(uid.to_owned());
        metadata.owner_references = vec![super::meta::OwnerReference {
            api_version: self.api_version.clone(),
            kind: self.kind.clone(),
            name: self.metadata.name.clone(),
            uid: self.metadata.uid.clone().unwrap_or_default(),
            controller: Some(true),
            block_owner_deletion: None,
        }];
        Pod::new(metadata, template.spec.clone())
    }
}
