//! What came of it, beside the bars.

use std::fmt;

use scheduler::queue::Join;
use serde::Serialize;

use super::{
    clients::{Asked, Side},
    family::{Family, RANK},
};
use crate::{results::verdict, spread::Spread};

/// The least part of one adapter's throughput.
const BAR: f64 = 0.9;
/// What an idle adapter may hold beside its own bytes, in KiB.
const IDLE_BAR_KIB: f64 = 8.0;

/// Requests a second, requests that ran as one, and memory in KiB.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    adapters: usize,
    clients: usize,
    most_rows: u64,
    wait_us: u128,
    rank: usize,
    pairs: String,
    largest_deviation: f64,
    kernels: Vec<&'static str>,
    base_bytes: usize,
    adapter_bytes: usize,
    /// Of each adapter that is loaded, was asked once, and is idle.
    anon_kib_each: f64,
    file_kib_each: f64,
    one: Vec<f64>,
    each: Vec<f64>,
    evicting: Vec<f64>,
    /// Of each round, over one adapter's in it.
    each_to_one: Vec<f64>,
    evicting_to_one: Vec<f64>,
    together: [f64; 3],
    evictions: u64,
}

impl Report {
    pub(super) fn new(
        clients: usize,
        join: Join,
        family: &Family,
        (anon_kib_each, file_kib_each): (f64, f64),
    ) -> Self {
        Self {
            adapters: family.adapters(),
            clients,
            most_rows: join.max_rows,
            wait_us: join.wait.as_micros(),
            rank: RANK,
            pairs: family.pairs().0.to_string(),
            largest_deviation: family.pairs().1,
            kernels: kernels::kernel_names().collect(),
            base_bytes: family.base_bytes(),
            adapter_bytes: family.adapter_bytes(),
            anon_kib_each,
            file_kib_each,
            one: vec![],
            each: vec![],
            evicting: vec![],
            each_to_one: vec![],
            evicting_to_one: vec![],
            together: [0.0; 3],
            evictions: 0,
        }
    }

    /// Adds a round, in which each side was asked once.
    pub(super) fn add(&mut self, round: &[(Side, Asked)]) {
        let of = |side| round.iter().find(|(it, _)| *it == side).map(|(_, asked)| *asked);
        let (Some(one), Some(each), Some(evicting)) =
            (of(Side::One), of(Side::Each), of(Side::Evicting))
        else {
            return;
        };
        self.one.push(one.per_second);
        self.each.push(each.per_second);
        self.evicting.push(evicting.per_second);
        self.each_to_one.push(each.per_second / one.per_second);
        self.evicting_to_one.push(evicting.per_second / one.per_second);
        self.together = [one.together, each.together, evicting.together];
        self.evictions += evicting.evictions;
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { adapters, clients, base_bytes, adapter_bytes, .. } = self;
        writeln!(
            f,
            "\n{adapters} adapters of rank {} in {} and {adapter_bytes} bytes, on a base of {base_bytes} \
             bytes, off by at most {:.1e}; {clients} clients with rows of their own; kernels {:?}\n",
            self.rank, self.pairs, self.largest_deviation, self.kernels
        )?;
        writeln!(f, "{:<40} {:>28} {:>10}", "", "requests a second", "together")?;
        let sides = [
            ("one adapter", &self.one),
            ("each its own", &self.each),
            ("each its own, a quarter of them fits", &self.evicting),
        ];
        for ((side, rates), together) in sides.into_iter().zip(self.together) {
            let rate = Spread::of(rates.iter().copied()).map_or_else(String::new, |it| it.text(0));
            writeln!(f, "{side:<40} {rate:>28} {together:>10.1}")?;
        }
        writeln!(f)?;
        for (what, ratios) in [
            ("each its own over one adapter", &self.each_to_one),
            ("with a quarter of them in the cache, over one adapter", &self.evicting_to_one),
        ] {
            let Some(ratio) = Spread::of(ratios.iter().copied()) else { continue };
            let pass = verdict(ratio.median >= BAR);
            writeln!(f, "{pass}: {what}: {} of at least {BAR}", ratio.text(3))?;
        }
        writeln!(f, "evictions meanwhile: {}", self.evictions)?;
        let own = *adapter_bytes as f64 / 1024.0;
        let held = self.anon_kib_each + self.file_kib_each;
        let pass = verdict(held <= own + IDLE_BAR_KIB);
        writeln!(
            f,
            "{pass}: an idle adapter holds {held:.1} KiB ({:.1} private, {:.1} of files) of at most \
             its {own:.1} and {IDLE_BAR_KIB}",
            self.anon_kib_each, self.file_kib_each
        )
    }
}
