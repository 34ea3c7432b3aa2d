//! The CPU time of another process.

use std::{fs, time::Duration};

use anyhow::{Context, Result};

/// How long the threads of process `pid` have run, in user and kernel mode together: the first
/// field of each `/proc/PID/task/TID/schedstat`, which counts nanoseconds where `/proc/PID/stat`
/// counts ticks of ten milliseconds. What threads took that have ended is not in it.
pub(crate) fn used_by(pid: u32) -> Result<Duration> {
    let mut nanos = 0;
    for thread in fs::read_dir(format!("/proc/{pid}/task"))? {
        let path = thread?.path().join("schedstat");
        let text = match fs::read_to_string(&path) {
            Ok(text) => text,
            // It ended meanwhile.
            Err(_) if !path.exists() => continue,
            Err(error) => {
                return Err(error).with_context(|| format!("could not read {}", path.display()));
            }
        };
        let field = text.split_ascii_whitespace().next().and_then(|field| field.parse().ok());
        let spent: u64 = field.with_context(|| {
            format!("expected nanoseconds in {}, found `{}`", path.display(), text.trim())
        })?;
        nanos += spent;
    }
    Ok(Duration::from_nanos(nanos))
}

#[cfg(test)]
mod tests {
    use std::{process::Command, thread, time::Instant};

    use super::*;

    #[test]
    fn work_is_seen() {
        let mut worker = Command::new("sh").args(["-c", "while :; do :; done"]).spawn().unwrap();
        let used = || used_by(worker.id()).unwrap();
        let (from, before) = (Instant::now(), used());
        while used() < before + Duration::from_millis(20) && from.elapsed().as_secs() < 60 {
            thread::sleep(Duration::from_millis(5));
        }
        let more = used() - before;
        worker.kill().unwrap();
        worker.wait().unwrap();
        assert!(more >= Duration::from_millis(20), "{more:?}");
    }
}
