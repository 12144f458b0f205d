//! What can be typed after `link`.

use clap::Subcommand;

use crate::domain::reference::UpstreamId;

#[derive(Debug, Subcommand)]
pub(in crate::cli) enum LinkCommand {
    /// Lists the upstreams of the carrier table, who is paused, and how they are if a daemon answers
    List,
    /// Stops new work on an upstream, on every node within about a second
    Pause {
        /// Its name in the carrier table; sim_CARRIER for a simulated one
        #[arg(value_name = "UPSTREAM", value_parser = upstream)]
        upstream: UpstreamId,
    },
    /// Lets work come again
    Resume {
        #[arg(value_name = "UPSTREAM", value_parser = upstream)]
        upstream: UpstreamId,
    },
}

fn upstream(text: &str) -> Result<UpstreamId, &'static str> {
    UpstreamId::new(text).ok_or("1 to 32 lowercase letters, digits and _")
}
