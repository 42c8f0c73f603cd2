//! Probes of a container. Defaults are those of Kubernetes (apis/core/v1/defaults.go).

use super::mixed::PortRef;
use super::schema::{choice, record};

choice! {
    /// How an HTTP probe speaks. HTTPS is read, so that its refusal can say what to use instead.
    pub enum Scheme {
        /// Plain HTTP.
        Http = "HTTP",
        /// HTTP over TLS.
        Https = "HTTPS",
    }
}

record! {
    /// Runs a program inside the container; exit 0 is success.
    pub struct ExecAction {
        /// Program and arguments; no shell, no `$(VAR)`.
        command: Vec<String> = "command" [required],
    }
    later: [];
}

record! {
    /// One header of an HTTP probe.
    pub struct HttpHeader {
        /// Header name.
        name: String = "name" [required, header_name],
        /// Header value.
        value: String = "value",
    }
    later: [];
}

record! {
    /// GET; 200 to 399 is success.
    pub struct HttpGetAction {
        /// Path with query; `/` when absent.
        path: Option<String> = "path",
        /// Number or name of a container port.
        port: PortRef = "port" [required],
        /// Host to connect to; the pod's address when absent.
        host: Option<String> = "host",
        /// HTTP when absent.
        scheme: Option<Scheme> = "scheme",
        /// Extra headers; `Host` replaces the default one.
        http_headers: Vec<HttpHeader> = "httpHeaders",
    }
    later: [];
}

record! {
    /// A successful connect is success.
    pub struct TcpSocketAction {
        /// Number or name of a container port.
        port: PortRef = "port" [required],
        /// Host to connect to; the pod's address when absent.
        host: Option<String> = "host",
    }
    later: [];
}

record! {
    /// A probe. Exactly one of `exec`, `http_get` and `tcp_socket` is set.
    pub struct Probe {
        /// By program.
        exec: Option<ExecAction> = "exec",
        /// By HTTP.
        http_get: Option<HttpGetAction> = "httpGet",
        /// By TCP.
        tcp_socket: Option<TcpSocketAction> = "tcpSocket",
        /// Seconds from the container's start to the first probe; 0 when absent.
        initial_delay_seconds: Option<u32> = "initialDelaySeconds",
        /// Seconds until an attempt counts as failed; 1 when absent.
        timeout_seconds: Option<u32> = "timeoutSeconds" [positive],
        /// Seconds between attempts; 10 when absent.
        period_seconds: Option<u32> = "periodSeconds" [positive],
        /// Successes in a row to become successful; 1 when absent.
        success_threshold: Option<u32> = "successThreshold" [positive],
        /// Failures in a row to become failed; 3 when absent.
        failure_threshold: Option<u32> = "failureThreshold" [positive],
        /// Seconds of grace when this probe stops the container; the pod's when absent.
        termination_grace_period_seconds: Option<u64> = "terminationGracePeriodSeconds" [positive],
    }
    later: ["grpc"];
}

impl Probe {
    /// Milliseconds from start to the first attempt.
    pub fn initial_delay_ms(&self) -> u64 {
        u64::from(self.initial_delay_seconds.unwrap_or(0)) * 1000
    }

    /// Milliseconds an attempt may take.
    pub fn timeout_ms(&self) -> u64 {
        u64::from(self.timeout_seconds.unwrap_or(1).max(1)) * 1000
    }

    /// Milliseconds between attempts.
    pub fn period_ms(&self) -> u64 {
        u64::from(self.period_seconds.unwrap_or(10).max(1)) * 1000
    }

    /// Successes in a row that turn the result.
    pub fn success_threshold(&self) -> u32 {
        self.success_threshold.unwrap_or(1).max(1)
    }

    /// Failures in a row that turn the result.
    pub fn failure_threshold(&self) -> u32 {
        self.failure_threshold.unwrap_or(3).max(1)
    }
}
