//! Whether a request is answered on the device or by the CPU: by what each was measured to take.

use std::time::Duration;

/// How it is decided.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Mode {
    /// By what was measured.
    #[default]
    Measured,
    /// The device, wherever it can: for tests and benches.
    Always,
}

/// Who answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// The CPU.
    Cpu,
    /// The device.
    Device,
}

impl Side {
    const fn other(self) -> Self {
        match self {
            Self::Cpu => Self::Device,
            Self::Device => Self::Cpu,
        }
    }
}

/// Batches are told apart by their size, rounded down to a power of two, up to 2^15.
const BUCKETS: usize = 16;
/// One in so many requests goes to the side that is slower, to see whether it still is.
const TRIAL_EVERY: u32 = 256;
/// The other side is not tried where it takes this many times as long: what a trial costs then is
/// more than what it could save.
const HOPELESS: f64 = 4.0;
/// A mean is of about so many measurements: the later ones count more.
const MEMORY: f64 = 16.0;
/// A measurement counts for at most so many times the mean: a request that had to wait for a processor
/// says nothing of its side.
const MOST_ABOVE: f64 = 4.0;

/// What requests of a model take on each side, by their batch. A value without clock or device.
#[derive(Debug, Clone, Default)]
pub struct Placement {
    mode: Mode,
    buckets: [Bucket; BUCKETS],
}

#[derive(Debug, Clone, Copy, Default)]
struct Bucket {
    cpu: Mean,
    device: Mean,
    asked: u64,
    since_trial: u32,
}

#[derive(Debug, Clone, Copy, Default)]
struct Mean {
    seconds: f64,
    count: u32,
}

impl Mean {
    fn add(&mut self, seconds: f64) {
        let seconds = self.known().map_or(seconds, |mean| seconds.min(mean * MOST_ABOVE));
        self.count = self.count.saturating_add(1);
        self.seconds += (seconds - self.seconds) / f64::from(self.count).min(MEMORY);
    }

    fn known(&self) -> Option<f64> {
        (self.count > 0).then_some(self.seconds)
    }
}

impl Bucket {
    /// What both take, where both were measured.
    fn known(&self) -> Option<(f64, f64)> {
        self.cpu.known().zip(self.device.known())
    }

    fn faster(&self) -> Option<Side> {
        self.known().map(|(cpu, device)| if device < cpu { Side::Device } else { Side::Cpu })
    }
}

impl Placement {
    /// Nothing measured yet.
    pub fn new(mode: Mode) -> Self {
        Self { mode, ..Self::default() }
    }

    /// Who is to answer a request of so many rows. Before anything was measured, the CPU.
    pub fn choose(&mut self, rows: u64) -> Side {
        if self.mode == Mode::Always {
            return Side::Device;
        }
        let at = bucket(rows);
        let decided = self.nearest(at);
        let Some(bucket) = self.buckets.get_mut(at) else { return Side::Cpu };
        bucket.asked = bucket.asked.saturating_add(1);
        let Some((decided, ratio)) = decided else { return Side::Cpu };
        bucket.since_trial += 1;
        if bucket.since_trial < TRIAL_EVERY {
            return decided;
        }
        bucket.since_trial = 0;
        if ratio < HOPELESS { decided.other() } else { decided }
    }

    /// As [`Placement::choose`] where nothing is measured beforehand: each side is tried once.
    pub fn choose_or_try(&mut self, rows: u64) -> Side {
        let bucket = self.buckets.get(bucket(rows)).copied().unwrap_or_default();
        match (self.mode, bucket.device.known(), bucket.cpu.known()) {
            (Mode::Measured, None, _) => Side::Device,
            (Mode::Measured, _, None) => Side::Cpu,
            _ => self.choose(rows),
        }
    }

    /// Takes note of what an answer of so many rows took.
    pub fn record(&mut self, side: Side, rows: u64, took: Duration) {
        if let Some(bucket) = self.buckets.get_mut(bucket(rows)) {
            let mean = match side {
                Side::Cpu => &mut bucket.cpu,
                Side::Device => &mut bucket.device,
            };
            mean.add(took.as_secs_f64());
        }
    }

    /// Whether both sides were measured for some batch.
    pub fn is_measured(&self) -> bool {
        self.mode == Mode::Always || self.buckets.iter().any(|it| it.known().is_some())
    }

    /// Whether requests as they come are answered sooner with the device; as long as none came, whether
    /// some would be. Before it was measured, they are taken to be.
    pub fn wants_device(&self) -> bool {
        if self.mode == Mode::Always || !self.is_measured() {
            return true;
        }
        let is_asked = self.buckets.iter().any(|it| it.asked > 0);
        (0..BUCKETS).any(|at| {
            let asked = self.buckets.get(at).is_some_and(|it| it.asked > 0);
            let is_device = matches!(self.nearest(at), Some((Side::Device, _)));
            (asked || !is_asked) && is_device
        })
    }

    /// Who is faster for a bucket, and by how many times: by its own measurements, or else those of
    /// the nearest below, or above, that has some.
    fn nearest(&self, at: usize) -> Option<(Side, f64)> {
        let below = (0..=at).rev();
        let mut candidates = below.chain(at + 1..BUCKETS).filter_map(|at| self.buckets.get(at));
        let bucket = candidates.find(|it| it.known().is_some())?;
        let (cpu, device) = bucket.known()?;
        let ratio = cpu.max(device) / cpu.min(device).max(f64::MIN_POSITIVE);
        Some((bucket.faster()?, ratio))
    }
}

const fn bucket(rows: u64) -> usize {
    let power = match rows {
        0 => 0,
        rows => rows.ilog2() as usize,
    };
    if power < BUCKETS { power } else { BUCKETS - 1 }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn millis(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    fn measured(of: &[(u64, u64, u64)]) -> Placement {
        let mut placement = Placement::new(Mode::Measured);
        for (rows, cpu, device) in of.repeat(3) {
            placement.record(Side::Cpu, rows, millis(cpu));
            placement.record(Side::Device, rows, millis(device));
        }
        placement
    }

    #[test]
    fn nothing_goes_to_a_device_before_it_was_measured() {
        let mut placement = Placement::new(Mode::Measured);
        assert!((1..1000).all(|rows| placement.choose(rows) == Side::Cpu));
        assert!(placement.wants_device() && !placement.is_measured());
    }

    #[test]
    fn a_small_model_stays_on_the_cpu_at_batch_1_and_never_touches_the_device() {
        let mut placement = measured(&[(1, 1, 50), (64, 60, 55)]);
        assert!((0..100_000).all(|_| placement.choose(1) == Side::Cpu));
        assert!(!placement.wants_device(), "nobody asked for a larger batch");
        assert_eq!(placement.choose(64), Side::Device);
        assert!(placement.wants_device());
    }

    #[test]
    fn a_batch_that_was_not_measured_goes_where_the_nearest_smaller_one_went() {
        let mut placement = measured(&[(1, 1, 5), (64, 60, 5)]);
        assert_eq!(placement.choose(2), Side::Cpu);
        assert_eq!(placement.choose(63), Side::Cpu);
        assert_eq!(placement.choose(127), Side::Device);
        assert_eq!(placement.choose(1 << 40), Side::Device);
    }

    #[test]
    fn the_other_side_is_tried_now_and_then_and_taken_once_it_is_faster() {
        let mut placement = measured(&[(1, 10, 20)]);
        let mut device = 0;
        for _ in 0..10_000 {
            let side = placement.choose(1);
            let took = if side == Side::Device { 5 } else { 10 };
            placement.record(side, 1, millis(took));
            device += u32::from(side == Side::Device);
        }
        assert!(device > 1_000, "{device} of 10000 on the device, which became faster");
        assert_eq!(placement.choose(1), Side::Device);
    }

    #[test]
    fn a_request_that_waited_moves_nothing_and_a_side_that_became_slow_is_left() {
        let mut placement = measured(&[(1, 10, 20)]);
        placement.record(Side::Cpu, 1, Duration::from_secs(60));
        assert_eq!(placement.choose(1), Side::Cpu);
        for _ in 0..100 {
            placement.record(Side::Cpu, 1, Duration::from_secs(60));
        }
        assert_eq!(placement.choose(1), Side::Device);
    }

    #[test]
    fn what_was_never_tried_is_tried_once_where_that_is_asked_for() {
        let mut placement = Placement::new(Mode::Measured);
        assert_eq!(placement.choose_or_try(64), Side::Device);
        placement.record(Side::Device, 64, millis(1));
        assert_eq!(placement.choose_or_try(64), Side::Cpu);
        placement.record(Side::Cpu, 64, millis(2));
        assert_eq!(placement.choose_or_try(64), Side::Device);
    }

    #[test]
    fn always_is_the_device() {
        let mut placement = Placement::new(Mode::Always);
        placement.record(Side::Cpu, 1, millis(1));
        placement.record(Side::Device, 1, millis(100));
        assert!((0..1000).all(|_| placement.choose(1) == Side::Device));
    }
}
