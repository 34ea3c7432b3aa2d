//! The usage event of an answered prediction.

use std::time::Duration;

use http::HeaderMap;
use metering::{UsageEvent, WriteAheadLog};
use tenancy::{DataPlaneId, headers, problem::Problem};
use uuid::Uuid;

use crate::{answer::Refusal, assignments::Assigned, clock};

/// Makes events of this node durable.
pub(crate) struct Meter {
    pub(crate) log: WriteAheadLog,
    pub(crate) data_plane: DataPlaneId,
}

impl Meter {
    /// Records `rows` predictions; only then may their answer leave.
    pub(crate) async fn record(
        &self,
        id: Uuid,
        assigned: &Assigned,
        region: &str,
        rows: u64,
        latency: Duration,
    ) -> Result<(), Refusal> {
        let event = UsageEvent {
            id,
            tenant: assigned.tenant.clone(),
            metric: UsageEvent::PREDICTION_ROWS.to_owned(),
            quantity: rows,
            model: assigned.model.clone(),
            version: assigned.version.clone(),
            data_plane: self.data_plane.clone(),
            region: region.to_owned(),
            timestamp: clock::unix_micros(),
            latency: u64::try_from(latency.as_micros()).unwrap_or(u64::MAX),
        };
        self.log.append(&event).await.map_err(|error| {
            tracing::error!(tenant = %assigned.tenant, %error, "an answer is withheld");
            Refusal::new(
                Problem::MeteringUnavailable,
                "expected to record this request's usage, found that it cannot be: the answer is \
                 withheld, try again later",
            )
        })
    }
}

/// The event's id: the one that the gate made for the request, else a new one, with which a retry
/// would count again.
pub(crate) fn event_id(headers: &HeaderMap) -> Uuid {
    the_gates_id(headers).unwrap_or_else(Uuid::now_v7)
}

fn the_gates_id(headers: &HeaderMap) -> Option<Uuid> {
    let mut ids = headers.get_all(headers::REQUEST_ID).iter();
    let (Some(id), None) = (ids.next(), ids.next()) else { return None };
    let id = Uuid::try_parse_ascii(id.as_bytes()).ok()?;
    (id.get_version_num() == 7).then_some(id)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_gates_request_id_is_the_events_and_nothing_else_is() {
        let with = |ids: &[&str]| {
            let ids = ids.iter().map(|id| {
                (http::HeaderName::from_static(headers::REQUEST_ID), id.parse().unwrap())
            });
            let mut headers = HeaderMap::new();
            ids.for_each(|(name, id)| {
                headers.append(name, id);
            });
            headers
        };
        let id = "01980e35-4c00-7abc-8123-456789abcdef";
        assert_eq!(event_id(&with(&[id])).to_string(), id);
        let version_4 = "8f14e45f-ceea-467f-a83c-5f1f2f1b2c3d";
        for refused in [&[][..], &[id, id], &["nonsense"], &[version_4]] {
            let made = event_id(&with(refused));
            assert!(!refused.contains(&made.to_string().as_str()));
            assert_eq!(made.get_version_num(), 7);
        }
    }
}
