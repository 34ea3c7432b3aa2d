//! What checks in shadow mode would have denied, as the proxies count it: the other end of Envoy's
//! metrics service.
//!
//! Proxies send every counter that they have as an absolute number, again and again, so a message
//! that is lost or comes twice changes nothing. Of all that, only the filters' shadow counters are
//! kept.

use std::{
    collections::{BTreeMap, HashMap},
    fmt::Write as _,
    sync::{Arc, Mutex, PoisonError},
};

use envoy_types::pb::{
    envoy::service::metrics::v3::{
        StreamMetricsMessage, StreamMetricsResponse,
        metrics_service_server::{MetricsService, MetricsServiceServer},
    },
    io::prometheus::client::MetricFamily,
};
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use tokio_stream::StreamExt as _;
use tonic::{Request, Response, Status, Streaming};

/// What the filters' shadow counters are called in Envoy; check and tenant follow, with a dot
/// between. The filters name them without `wasmcustom.`, which is Envoy's.
pub const PREFIX: &str = "wasmcustom.bulkhead.shadow.";

/// A gauge that Envoy always sends: for how many seconds it has run.
const UPTIME: &str = "server.uptime";

/// By how much two tellings of one start may differ: as long as a message is on its way at the most.
const LONGEST_DELAY: SignedDuration = SignedDuration::from_secs(30);

/// How many counters are kept in all. Proxies are ours, but a mistake of theirs must not fill this
/// process.
const MAX_COUNTERS: usize = 200_000;

/// How many proxies are kept count of.
const MAX_PROXIES: usize = 10_000;

/// The largest message that is taken. A proxy sends all that it has in one, which is how the first
/// message is known to hold every counter that there was before.
const MAX_MESSAGE_BYTES: usize = 16 << 20;

/// What one check would have denied to one tenant.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ShadowCount {
    /// The check.
    pub check: String,
    /// The tenant.
    pub tenant: String,
    /// How many requests it would have denied.
    pub count: u64,
    /// Since when they are counted: when the first proxy told of the counter, or when this process
    /// first heard from a proxy that had counted before.
    pub since: Timestamp,
}

/// The counts of all proxies. Clones share them.
#[derive(Debug, Clone, Default)]
pub struct ShadowCounts(Arc<Mutex<Counters>>);

#[derive(Debug, Default)]
struct Counters {
    proxies: BTreeMap<String, Proxy>,
    kept: usize,
    refused: bool,
}

/// What one proxy has counted.
#[derive(Debug, Default)]
struct Proxy {
    /// When its process started, and for how many seconds it had run when it told so last.
    run: Option<(Timestamp, i64)>,
    /// By what follows [`PREFIX`].
    counters: HashMap<String, Counter>,
}

#[derive(Debug)]
struct Counter {
    /// What the proxy told last.
    told: u64,
    count: u64,
    since: Timestamp,
}

impl ShadowCounts {
    /// None yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// The service to add to a tonic server.
    pub fn into_server(self) -> MetricsServiceServer<impl MetricsService> {
        MetricsServiceServer::new(Receiver { counts: self, started: Timestamp::now() })
            .max_decoding_message_size(MAX_MESSAGE_BYTES)
    }

    /// What every check would have denied to every tenant, of all proxies together, by check and
    /// tenant. Names may hold dots, so `is_check` says where a check's name ends; of one that is
    /// not known any more the name ends at the first dot.
    pub fn counts(&self, is_check: impl Fn(&str) -> bool) -> Vec<ShadowCount> {
        let mut sums: BTreeMap<(String, String), (u64, Timestamp)> = BTreeMap::new();
        for (name, _, counter) in self.all() {
            let Some((check, tenant)) = split(&name, &is_check) else { continue };
            let sum =
                sums.entry((check.to_owned(), tenant.to_owned())).or_insert((0, counter.since));
            sum.0 = sum.0.saturating_add(counter.count);
            sum.1 = sum.1.min(counter.since);
        }
        let count = |((check, tenant), (count, since))| ShadowCount { check, tenant, count, since };
        sums.into_iter().map(count).collect()
    }

    /// The same for each proxy, in Prometheus' text format
    /// (<https://prometheus.io/docs/instrumenting/exposition_formats/>).
    pub fn prometheus(&self, is_check: impl Fn(&str) -> bool) -> String {
        let mut text = "# HELP bulkhead_shadow_denials_total Requests that a check in shadow mode \
                        would have denied.\n# TYPE bulkhead_shadow_denials_total counter\n"
            .to_owned();
        for (name, proxy, counter) in self.all() {
            let Some((check, tenant)) = split(&name, &is_check) else { continue };
            let proxy = escaped(&proxy);
            // To write into a text cannot fail.
            let _ = writeln!(
                text,
                "bulkhead_shadow_denials_total{{check=\"{check}\",tenant=\"{tenant}\",\
                 proxy=\"{proxy}\"}} {}",
                counter.count
            );
        }
        text
    }

    /// Counter, proxy and count, by name and then by proxy.
    fn all(&self) -> Vec<(String, String, Counter)> {
        let counters = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let of_proxy = |(node, proxy): (&String, &Proxy)| {
            let counter = |(name, counter): (&String, &Counter)| {
                let Counter { told, count, since } = *counter;
                (name.clone(), node.clone(), Counter { told, count, since })
            };
            proxy.counters.iter().map(counter).collect::<Vec<_>>()
        };
        let mut all: Vec<_> = counters.proxies.iter().flat_map(of_proxy).collect();
        all.sort_by(|one, other| (&one.0, &one.1).cmp(&(&other.0, &other.1)));
        all
    }

    /// Takes what a proxy told. `listening` is since when this process would have heard of it;
    /// what a proxy counted before that is not counted here.
    fn take(&self, node: &str, told: &[MetricFamily], listening: Timestamp, now: Timestamp) {
        let mut counters = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let Counters { proxies, kept, refused } = &mut *counters;
        if proxies.len() >= MAX_PROXIES && !proxies.contains_key(node) {
            return;
        }
        let proxy = proxies.entry(node.to_owned()).or_default();
        let before = proxy.run;
        if let Some(uptime) = told.iter().find_map(|family| gauge(family, UPTIME))
            && !proxy.goes_on(uptime, now)
        {
            return;
        }
        // The first that is heard of a proxy which is older than this process.
        let resumes = before.is_none() && proxy.run.is_none_or(|(started, _)| started < listening);
        for (name, value) in told.iter().filter_map(counter) {
            if let Some(known) = proxy.counters.get_mut(name) {
                // A counter that went back is that of a new process.
                let more = if value < known.told { value } else { value - known.told };
                known.count = known.count.saturating_add(more);
                known.told = value;
            } else if *kept < MAX_COUNTERS {
                *kept += 1;
                let count = if resumes { 0 } else { value };
                proxy.counters.insert(name.to_owned(), Counter { told: value, count, since: now });
            } else if !std::mem::replace(refused, true) {
                tracing::error!(node, name, "no more than {MAX_COUNTERS} shadow counters are kept");
            }
        }
    }
}

impl Proxy {
    /// Whether something is told that was not told before. What a process that was started after the
    /// one before counts, it counts from nothing.
    fn goes_on(&mut self, uptime: i64, now: Timestamp) -> bool {
        let started = now - SignedDuration::from_secs(uptime);
        match self.run {
            Some((before, ran)) if !is_another((before, ran), started, uptime) => {
                self.run = Some((before.min(started), ran.max(uptime)));
                uptime >= ran
            }
            before => {
                if before.is_some() {
                    self.counters.values_mut().for_each(|counter| counter.told = 0);
                }
                self.run = Some((started, uptime));
                true
            }
        }
    }
}

/// Whether a process that was started then, and has run for so many seconds, is another one than that
/// which was started `before` and had run for `ran`.
fn is_another((before, ran): (Timestamp, i64), started: Timestamp, uptime: i64) -> bool {
    let ended = before + SignedDuration::from_secs(ran);
    // What is late makes a start seem later, and is told by one that has run for longer, but where it
    // comes over an earlier stream.
    (uptime < ran && started >= ended) || started > before + LONGEST_DELAY
}

fn gauge(family: &MetricFamily, name: &str) -> Option<i64> {
    let value = (family.name() == name).then(|| family.metric.first()?.gauge.as_ref()?.value)??;
    #[allow(clippy::cast_possible_truncation, reason = "a number of seconds; saturates")]
    Some(value as i64)
}

/// A shadow counter's name after [`PREFIX`], and its value.
fn counter(family: &MetricFamily) -> Option<(&str, u64)> {
    let name = family.name().strip_prefix(PREFIX)?;
    let value = family.metric.first()?.counter.as_ref()?.value?;
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "saturates")]
    Some((name, value as u64))
}

fn split<'a>(name: &'a str, is_check: &impl Fn(&str) -> bool) -> Option<(&'a str, &'a str)> {
    let dots = || name.match_indices('.').map(|(at, _)| name.split_at(at));
    let (check, tenant) = dots().filter(|(check, _)| is_check(check)).last().or(dots().next())?;
    Some((check, tenant.get(1..)?))
}

/// A label's value: node ids are whatever a bootstrap says.
fn escaped(label: &str) -> String {
    label.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

struct Receiver {
    counts: ShadowCounts,
    started: Timestamp,
}

#[tonic::async_trait]
impl MetricsService for Receiver {
    async fn stream_metrics(
        &self,
        request: Request<Streaming<StreamMetricsMessage>>,
    ) -> Result<Response<StreamMetricsResponse>, Status> {
        let mut messages = request.into_inner();
        let mut node = String::new();
        while let Some(message) = messages.next().await {
            let message = message?;
            // Envoy says who it is in the first message of a stream.
            if let Some(identifier) = message.identifier.and_then(|it| it.node) {
                node = identifier.id;
            }
            if node.is_empty() {
                return Err(Status::invalid_argument(
                    "the first message of a stream names no node; set `node.id` in the bootstrap",
                ));
            }
            self.counts.take(&node, &message.envoy_metrics, self.started, Timestamp::now());
        }
        Ok(Response::new(StreamMetricsResponse {}))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use envoy_types::pb::io::prometheus::client as prometheus;

    use super::*;

    /// When the control plane of these tests was started.
    const LISTENING: i64 = 1_000;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn family(name: &str, metric: prometheus::Metric) -> MetricFamily {
        MetricFamily {
            name: Some(name.to_owned()),
            metric: vec![metric],
            ..MetricFamily::default()
        }
    }

    #[allow(clippy::cast_precision_loss, reason = "small numbers")]
    fn told(name: &str, value: u64) -> MetricFamily {
        let counter = prometheus::Counter { value: Some(value as f64), ..Default::default() };
        family(name, prometheus::Metric { counter: Some(counter), ..Default::default() })
    }

    fn uptime(seconds: f64) -> MetricFamily {
        let gauge = prometheus::Gauge { value: Some(seconds) };
        family(UPTIME, prometheus::Metric { gauge: Some(gauge), ..Default::default() })
    }

    /// Tells one counter at a second, from a process that started at another.
    fn tell(counts: &ShadowCounts, node: &str, started: i64, now: i64, value: u64) {
        #[allow(clippy::cast_precision_loss, reason = "small numbers")]
        let up = uptime((now - started) as f64);
        let metrics =
            [up, told("cluster.x.upstream_rq", 9), told(&format!("{PREFIX}age.org_a"), value)];
        counts.take(node, &metrics, at(LISTENING), at(now));
    }

    fn total(counts: &ShadowCounts) -> u64 {
        counts.counts(|check| check == "age").iter().map(|it| it.count).sum()
    }

    #[test]
    fn several_proxies_add_up_and_what_is_told_twice_counts_once() {
        let counts = ShadowCounts::new();
        tell(&counts, "one", 1_001, 1_010, 3);
        tell(&counts, "one", 1_001, 1_015, 3);
        tell(&counts, "two", 1_001, 1_012, 4);
        tell(&counts, "one", 1_001, 1_020, 5);
        let count = ShadowCount {
            check: "age".to_owned(),
            tenant: "org_a".to_owned(),
            count: 9,
            since: at(1_010),
        };
        assert_eq!(counts.counts(|check| check == "age"), [count]);
    }

    #[test]
    fn a_proxy_that_starts_anew_goes_on_from_what_it_had_counted() {
        let counts = ShadowCounts::new();
        tell(&counts, "one", 1_001, 1_010, 3);
        // It has counted more than before by the time that it tells: nothing went back.
        tell(&counts, "one", 1_100, 1_110, 5);
        assert_eq!(total(&counts), 8);
        tell(&counts, "one", 1_100, 1_115, 6);
        assert_eq!(total(&counts), 9);
        // Without an uptime, a number that goes back says so.
        counts.take("one", &[told(&format!("{PREFIX}age.org_a"), 2)], at(LISTENING), at(1_200));
        assert_eq!(total(&counts), 11);
    }

    #[test]
    fn a_message_that_was_long_on_its_way_counts_nothing_twice() {
        let counts = ShadowCounts::new();
        tell(&counts, "one", 1_001, 1_010, 3);
        // It had run for 14 seconds when it told, 20 seconds before that was heard.
        tell(&counts, "one", 1_021, 1_035, 4);
        tell(&counts, "one", 1_001, 1_036, 4);
        assert_eq!(total(&counts), 4);
        // Nor does one that comes behind a later one.
        tell(&counts, "one", 1_005, 1_036, 3);
        assert_eq!(total(&counts), 4);
        // One that was started soon after has run for less.
        tell(&counts, "one", 1_037, 1_040, 4);
        assert_eq!(total(&counts), 8);
    }

    #[test]
    fn what_a_proxy_counted_before_this_process_started_is_not_counted_again() {
        let counts = ShadowCounts::new();
        tell(&counts, "old", 10, 1_010, 500);
        assert_eq!(total(&counts), 0);
        tell(&counts, "old", 10, 1_015, 502);
        assert_eq!(total(&counts), 2);
        // A counter that it had not then is new.
        counts.take("old", &[told(&format!("{PREFIX}age.org_b"), 7)], at(LISTENING), at(1_020));
        assert_eq!(total(&counts), 9);
    }

    #[test]
    fn names_with_dots_end_where_a_known_check_does() {
        let known = |check: &str| ["age", "age.max"].contains(&check);
        assert_eq!(split("age.org_a", &known), Some(("age", "org_a")));
        assert_eq!(split("age.max.org.x", &known), Some(("age.max", "org.x")));
        assert_eq!(split("gone.org.x", &known), Some(("gone", "org.x")));
        assert_eq!(split("nothing", &known), None);
    }

    #[test]
    fn other_metrics_are_not_kept() {
        let counts = ShadowCounts::new();
        counts.take("one", &[told("cluster.x.upstream_rq", 9)], at(LISTENING), at(1_010));
        assert!(counts.all().is_empty());
        let shown = counts.prometheus(|_| true);
        assert!(shown.ends_with("counter\n"), "{shown}");
    }

    #[test]
    fn a_proxys_name_cannot_forge_a_line() {
        let counts = ShadowCounts::new();
        tell(&counts, "a\"} 9\nb", 1_001, 1_010, 3);
        let shown = counts.prometheus(|check| check == "age");
        let line = shown.lines().last().unwrap();
        assert_eq!(
            line,
            "bulkhead_shadow_denials_total{check=\"age\",tenant=\"org_a\",proxy=\"a\\\"} 9\\nb\"} 3"
        );
    }
}
