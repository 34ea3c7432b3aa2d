//! The CPU time of another process.

use std::{fs, time::Duration};

use anyhow::{Context, Result};

/// How long the threads of process `pid` have run, in user and kernel mode together: the first
/// field of each `/proc/PID/task/TID/schedstat`, which counts nanoseconds where `/proc/PID/stat`
/// counts ticks of ten milliseconds.
pub(crate) fn used_by(pid: u32) -> Result<Duration> {
    let mut nanos = 0;
    for thread in fs::read_dir(format!("/proc/{pid}/task"))? {
        let path = thread?.path().join("schedstat");
        let text = fs::read_to_string(&path)
            .with_context(|| format!("could not read {}", path.display()))?;
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
    use super::*;

    #[test]
    fn work_is_seen() {
        let before = used_by(std::process::id()).unwrap();
        let sum = (0..20_000_000_u64).fold(0, |sum: u64, n| std::hint::black_box(sum ^ n));
        assert!(used_by(std::process::id()).unwrap() > before, "{sum}");
    }
}
