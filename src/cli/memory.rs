//! Codes, keys and phones are in the memory of this process, and a core file would put them on a disk.
//!
//! So none is made, whatever the shell allows and wherever the system sends cores: the limit on their size is zero, and the
//! process is not dumpable. The second also keeps debuggers of the same user out, and makes root the owner of most of what
//! `/proc` shows of the process.

use std::io;

use rustix::process::{Resource, Rlimit, setrlimit};

/// Forbids cores for the whole life of the process; to be called before it knows anything.
pub(super) fn forbid_dumps() -> io::Result<()> {
    setrlimit(Resource::Core, Rlimit { current: Some(0), maximum: Some(0) })?;
    // A system that pipes cores to a program asks no limit, only whether the process is dumpable.
    #[cfg(target_os = "linux")]
    rustix::process::set_dumpable_behavior(rustix::process::DumpableBehavior::NotDumpable)?;
    Ok(())
}
