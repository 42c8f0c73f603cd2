//! One file a verb. Each takes its arguments and the settings, and gives an exit code or a failure.

mod apply;
mod build;
mod container_image;
mod delete;
mod describe;
mod down;
mod exec;
mod get;
mod images;
pub mod init;
mod login;
mod logs;
mod ps;
mod pull;
mod remote;
mod run;
mod scale;
mod serve;
mod status;
mod store;
mod up;
mod version;

use std::future::Future;
use std::process::ExitCode;

use crate::args::Verb;
use crate::demo;
use crate::failure::Failure;
use crate::settings::Settings;

/// What a verb ends with.
pub type Ended = Result<ExitCode, Failure>;

/// Does a verb.
///
/// # Errors
/// [`Failure`]: what is to be said, and the exit code.
pub fn dispatch(verb: Verb, settings: &Settings) -> Ended {
    build::sweep(settings)?;
    match verb {
        Verb::Run(args) => block_on(run::run(&args, settings)),
        Verb::Up(args) => block_on(up::up(&args, settings)),
        Verb::Down(args) => block_on(down::down(&args, settings)),
        Verb::Apply(args) => block_on(apply::apply(&args, settings)),
        Verb::Get(args) => block_on(get::get(&args, settings)),
        Verb::Describe(args) => block_on(describe::describe(&args, settings)),
        Verb::Logs(args) => block_on(logs::logs(&args, settings)),
        Verb::Exec(args) => block_on(exec::exec(&args, settings)),
        Verb::Delete(args) => block_on(delete::delete(&args, settings)),
        Verb::Scale(args) => block_on(scale::scale(&args, settings)),
        Verb::Status(args) => block_on(status::status(&args, settings)),
        Verb::Ps(args) => block_on(ps::ps(&args, settings)),
        Verb::Pull(args) => pull::pull(&args, settings),
        Verb::Push(args) => pull::push(&args, settings),
        Verb::Copy(args) => remote::copy(&args),
        Verb::Login(args) => login::login(&args),
        Verb::Logout(args) => login::logout(&args),
        Verb::Build(args) => build::build(&args, settings),
        Verb::Load(args) => images::load(&args, settings),
        Verb::Import(args) => images::import(&args, settings),
        Verb::Save(args) => store::save(&args, settings),
        Verb::Tag(args) => store::tag(&args, settings),
        Verb::Image(args) => store::image(&args.verb, settings),
        Verb::System(args) => store::system(&args.verb, settings),
        Verb::Images(args) => images::images(&args, settings),
        Verb::Commit(args) => container_image::commit(&args, settings),
        Verb::History(args) => container_image::history(&args, settings),
        Verb::Diff(args) => container_image::diff(&args, settings),
        Verb::Export(args) => container_image::export(&args, settings),
        Verb::Rmi(args) => images::rmi(&args, settings),
        Verb::Inspect(args) => images::inspect(&args, settings),
        Verb::Serve(args) => serve::serve(&args, settings),
        Verb::Init(args) => Ok(init::be_init(None, &args.arguments)),
        Verb::Version => block_on(version::version(settings)),
        Verb::DemoWeb(args) => demo::web(&args),
        Verb::DemoClient(args) => demo::client(&args),
    }
}

/// Runs a verb that waits for several things at once.
fn block_on(verb: impl Future<Output = Ended>) -> Ended {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::of("start", &error))?;
    let ended = runtime.block_on(verb);
    // A thread that waits in read(2) for a person's next word is not waited for.
    runtime.shutdown_background();
    ended
}
