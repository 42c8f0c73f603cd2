//! Failures as the API tells them: an HTTP status, Kubernetes' reason, words and a hint.

use crate::wire::{Cause, Details, Status};

/// Why a call failed. Every one becomes a [`Status`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct ApiError {
    /// HTTP status.
    pub code: u16,
    /// Kubernetes' reason.
    pub reason: &'static str,
    /// For a person, the whole cause chain.
    pub message: String,
    /// What to try next.
    pub hint: Option<String>,
    /// Findings of a manifest.
    pub causes: Vec<Cause>,
}

impl ApiError {
    fn new(code: u16, reason: &'static str, message: impl Into<String>) -> ApiError {
        ApiError { code, reason, message: message.into(), hint: None, causes: Vec::new() }
    }

    /// The request cannot be understood.
    pub fn bad_request(message: impl Into<String>) -> ApiError {
        ApiError::new(400, "BadRequest", message)
    }

    /// No such object or path.
    pub fn not_found(message: impl Into<String>) -> ApiError {
        ApiError::new(404, "NotFound", message)
    }

    /// The path exists, the method does not.
    pub fn method(message: impl Into<String>) -> ApiError {
        ApiError::new(405, "MethodNotAllowed", message)
    }

    /// The object stands against it.
    pub fn conflict(message: impl Into<String>) -> ApiError {
        ApiError::new(409, "Conflict", message)
    }

    /// The name is taken.
    pub fn exists(message: impl Into<String>) -> ApiError {
        ApiError::new(409, "AlreadyExists", message)
    }

    /// The resource version is no longer known: list again.
    pub fn expired(message: impl Into<String>) -> ApiError {
        ApiError::new(410, "Expired", message)
    }

    /// The body is too long.
    pub fn too_large(limit_bytes: usize) -> ApiError {
        ApiError::new(
            413,
            "RequestEntityTooLarge",
            format!("the request's body exceeds {limit_bytes} bytes"),
        )
        .hint("split the manifest into several files")
    }

    /// A manifest with findings.
    #[must_use]
    pub fn invalid(causes: Vec<Cause>) -> ApiError {
        let words = match causes.as_slice() {
            [one] => format!("the manifest has a mistake: {}: {}", one.field, one.message),
            all => format!("the manifest has {} mistakes", all.len()),
        };
        ApiError { causes, ..ApiError::new(422, "Invalid", words) }
    }

    /// The caller took too long.
    pub fn timeout(message: impl Into<String>) -> ApiError {
        ApiError::new(408, "Timeout", message)
    }

    /// Our own failure.
    pub fn internal(message: impl Into<String>) -> ApiError {
        ApiError::new(500, "InternalError", message)
    }

    /// The supervisor is about to end.
    pub fn unavailable(message: impl Into<String>) -> ApiError {
        ApiError::new(503, "ServiceUnavailable", message)
    }

    /// Adds what to try next.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> ApiError {
        self.hint = Some(hint.into());
        self
    }

    /// The document that is sent.
    #[must_use]
    pub fn status(&self) -> Status {
        Status {
            status: "Failure".into(),
            message: self.message.clone(),
            reason: self.reason.into(),
            hint: self.hint.clone(),
            details: Details { causes: self.causes.clone() },
            code: self.code,
            ..Status::success()
        }
    }
}

/// An error and its causes in one line.
#[must_use]
pub fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        let words = cause.to_string();
        if !text.contains(&words) {
            text.push_str(": ");
            text.push_str(&words);
        }
        next = cause.source();
    }
    text
}
