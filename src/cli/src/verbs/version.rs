//! `podvisor version`: of this program, and of the supervisor when one answers.

use std::process::ExitCode;

use super::Ended;
use crate::print;
use crate::settings::Settings;

pub(super) async fn version(settings: &Settings) -> Ended {
    let mut text = format!("podvisor {}\n", env!("CARGO_PKG_VERSION"));
    if let Ok(server) = settings.client().version().await {
        let pid = server.pid;
        text.push_str(&format!(
            "supervisor {} (api {}, pid {pid})\n",
            server.git_version, server.api
        ));
    }
    print::out(&text)?;
    Ok(ExitCode::SUCCESS)
}
