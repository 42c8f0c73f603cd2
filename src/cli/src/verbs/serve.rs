//! `podvisor serve`: supervises until told to end; the pods go on and the next one adopts them.

use super::Ended;
use crate::args::ServeArgs;
use crate::hosting;
use crate::settings::Settings;

pub(super) fn serve(args: &ServeArgs, settings: &Settings) -> Ended {
    hosting::serve_until_told(settings, args.background)
}
