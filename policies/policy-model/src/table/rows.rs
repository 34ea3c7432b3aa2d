//! What the tables of both filters hold: checks, and what their variables are read from.

use expression::{Program, Template};
use rkyv::{Archive, Serialize};
use tenancy::Tier;

use super::TableError;

/// Labels, by name. In a table they are lent to expressions as they lie.
pub type Labels = Vec<(String, String)>;

/// A check, compiled. Its place among the rows is what tenants name it by.
#[derive(Debug, Clone, PartialEq, Archive, Serialize)]
pub struct CheckRow {
    /// The name, as in metrics and denials.
    pub name: String,
    /// Whether a failure is counted and not denied.
    pub shadow: bool,
    /// True is a pass; false or an error is the denial.
    pub program: Program,
    /// The denial's HTTP status.
    pub status: u16,
    /// The denial's code.
    pub code: String,
    /// What the caller is told.
    pub message: Template,
}

/// A tier: what `tier.*` is read from.
#[derive(Debug, Clone, PartialEq, Eq, Archive, Serialize)]
pub struct TierRow {
    /// The tier, as an index into [`Tier::ALL`].
    pub tier: u8,
    /// The labels of its resource.
    pub labels: Labels,
    /// The rate limit that it gives, where there is a resource that says so.
    pub rate: Option<RateRow>,
}

/// A token bucket.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Archive, Serialize)]
pub struct RateRow {
    /// How long the bucket takes to regain one request, in nanoseconds.
    pub interval_ns: u64,
    /// How many requests may pass at once.
    pub burst: u32,
}

impl ArchivedRateRow {
    /// How many requests the bucket regains in a second.
    pub fn requests_per_second(&self) -> f64 {
        requests_per_second(self.interval_ns.to_native())
    }
}

/// How many requests a bucket regains in a second that takes `interval_ns` for one.
#[allow(clippy::cast_precision_loss, reason = "2^53 ns are 104 days")]
pub fn requests_per_second(interval_ns: u64) -> f64 {
    1e9 / interval_ns.max(1) as f64
}

impl ArchivedTierRow {
    /// The tier, where the row holds one.
    pub fn tier(&self) -> Option<Tier> {
        Tier::ALL.get(usize::from(self.tier)).copied()
    }
}

/// The index that stands for `tier`.
pub(super) fn tier_index(tier: Tier) -> u8 {
    match tier {
        Tier::Pool => 0,
        Tier::Bridge => 1,
        Tier::Silo => 2,
    }
}

/// A data plane: what `data_plane.*` is read from.
#[derive(Debug, Clone, Default, PartialEq, Eq, Archive, Serialize)]
pub struct DataPlaneRow {
    /// The name.
    pub id: String,
    /// The region.
    pub region: String,
    /// The labels of its resource.
    pub labels: Labels,
    /// The one tenant that it is for.
    pub exclusive_to: Option<String>,
}

/// What the operator wants to see of decisions.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Archive, Serialize)]
pub struct ObserveRow {
    /// Whether answers carry the revision and the deciding check in headers.
    pub response_headers: bool,
    /// Whether decisions go to the access log.
    pub access_log: bool,
}

/// Sorts `checks` by name, which is the order that they are evaluated in, and has `named` (the
/// checks of each tenant, by place) follow them.
pub(super) fn order<'a>(
    checks: &mut Vec<CheckRow>,
    named: impl Iterator<Item = &'a mut Vec<u16>>,
) -> Result<(), TableError> {
    let count = checks.len();
    let last = count.saturating_sub(1);
    u16::try_from(last).map_err(|_| TableError::TooManyChecks(count))?;
    let mut sorted: Vec<(usize, CheckRow)> =
        std::mem::take(checks).into_iter().enumerate().collect();
    sorted.sort_by(|(_, a), (_, b)| a.name.cmp(&b.name));
    let mut now_at = vec![0; count];
    for (now, (before, _)) in (0_u16..).zip(&sorted) {
        if let Some(place) = now_at.get_mut(*before) {
            *place = now;
        }
    }
    checks.extend(sorted.into_iter().map(|(_, check)| check));
    for places in named {
        for place in places.iter_mut() {
            let unknown = TableError::UnknownCheck { place: *place, checks: count };
            *place = *now_at.get(usize::from(*place)).ok_or(unknown)?;
        }
        places.sort_unstable();
        places.dedup();
    }
    Ok(())
}

/// Labels and data planes and tiers have no order of their own.
pub(super) fn order_labels(labels: &mut Labels) {
    labels.sort_unstable();
    labels.dedup_by(|a, b| a.0 == b.0);
}

/// Whether every check that a tenant names is there. Who looks one up later may rely on it: a
/// check that cannot be found must not be a check that is skipped.
pub(super) fn verify<'a>(
    checks: usize,
    mut named: impl Iterator<Item = &'a rkyv::vec::ArchivedVec<rkyv::rend::u16_le>>,
) -> Result<(), TableError> {
    named.try_for_each(|places| {
        match places.iter().find(|place| usize::from(place.to_native()) >= checks) {
            Some(place) => Err(TableError::UnknownCheck { place: place.to_native(), checks }),
            None => Ok(()),
        }
    })
}

/// The checks at `places`, in the order of evaluation.
pub(super) fn at<'a>(
    checks: &'a [ArchivedCheckRow],
    places: &'a [rkyv::rend::u16_le],
) -> impl Iterator<Item = &'a ArchivedCheckRow> {
    places.iter().filter_map(|place| checks.get(usize::from(place.to_native())))
}
