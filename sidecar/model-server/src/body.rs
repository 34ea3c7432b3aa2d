//! Request bodies, read within bounds: of one body, of a tenant's, of all together, and of time.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, header};
use http_body_util::BodyExt;
use hyper::body::Body;
use tenancy::{TenantId, problem::Problem};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::answer::Refusal;

const UNIT_BYTES: u64 = 1024;
/// Bodies up to this size need no share of the budget, so that a few callers with the largest
/// bodies do not shut out the many with ordinary ones.
const SMALL_BYTES: u64 = 64 * 1024;

/// How many of the largest bodies are held at once.
const LARGEST_AT_ONCE: u64 = 8;
/// How many of those may be one tenant's, so that no tenant shuts its neighbours out.
const LARGEST_OF_A_TENANT: u64 = 2;

const LINGER: Duration = Duration::from_secs(1);
const LINGER_BYTES: usize = 4 << 20;

/// What bodies may take.
#[derive(Debug, Clone)]
pub(crate) struct BodyLimits {
    /// One body, in bytes.
    max_bytes: u64,
    /// From its first byte to its last.
    timeout: Duration,
    /// All bodies that are held at once, in units, as far as they are not small.
    budget: Arc<Semaphore>,
    /// The same of each tenant that ever sent one that is not small: assigned ones only.
    tenants: Arc<Mutex<HashMap<TenantId, Arc<Semaphore>>>>,
}

/// What a body takes of its tenant's budget and of all.
#[derive(Debug, Default)]
struct Share {
    of_tenant: Option<OwnedSemaphorePermit>,
    of_all: Option<OwnedSemaphorePermit>,
}

/// A body, and its share of the budget until it is dropped.
#[derive(Debug)]
pub(crate) struct HeldBody {
    pub(crate) bytes: Bytes,
    _share: Share,
}

impl BodyLimits {
    /// Bodies of at most `max_bytes`, eight of the largest at once, two of them one tenant's.
    pub(crate) fn new(max_bytes: u64, timeout: Duration) -> Self {
        let budget = budget(max_bytes, LARGEST_AT_ONCE);
        Self { max_bytes, timeout, budget, tenants: Arc::default() }
    }

    /// The whole body of a request of `tenant`, which is one that is served here.
    pub(crate) async fn whole(
        &self,
        tenant: &TenantId,
        headers: &HeaderMap,
        mut body: hyper::body::Incoming,
    ) -> Result<HeldBody, Refusal> {
        self.admit(headers, &body)?;
        let read = self.read(tenant, &mut body).await;
        if read.as_ref().is_err_and(|refusal| refusal.problem == Problem::BodyTooLarge) {
            linger(body);
        }
        read
    }

    /// Refuses what is known to be refused before a byte is read: a body that says that it is too
    /// large, or that is encoded.
    fn admit(&self, headers: &HeaderMap, body: &impl Body) -> Result<(), Refusal> {
        refuse_encodings(headers)?;
        if body.size_hint().lower() > self.max_bytes {
            return Err(self.too_large());
        }
        Ok(())
    }

    /// The whole body of `tenant`'s request, once it was admitted.
    async fn read<B>(&self, tenant: &TenantId, body: &mut B) -> Result<HeldBody, Refusal>
    where
        B: Body<Data = Bytes, Error: std::fmt::Display> + Unpin,
    {
        let reading = self.collect(tenant, body);
        tokio::time::timeout(self.timeout, reading).await.map_err(|_| {
            Refusal::new(
                Problem::RequestTimeout,
                format!("expected the whole body within {:?}", self.timeout),
            )
        })?
    }

    async fn collect<B>(&self, tenant: &TenantId, body: &mut B) -> Result<HeldBody, Refusal>
    where
        B: Body<Data = Bytes, Error: std::fmt::Display> + Unpin,
    {
        let mut share = Share::default();
        let mut bytes = BytesMut::new();
        // Memory and budget are taken as bytes come: what is only announced takes nothing.
        while let Some(frame) = body.frame().await {
            let frame = frame.map_err(|error| {
                let detail = format!("the body ended before its end: {error}");
                Refusal::new(Problem::InvalidRequest, detail)
            })?;
            let Some(data) = frame.data_ref() else { continue };
            let after = bytes.len() as u64 + data.len() as u64;
            if after > self.max_bytes {
                return Err(self.too_large());
            }
            self.take(tenant, &mut share, after)?;
            bytes.extend_from_slice(data);
        }
        Ok(HeldBody { bytes: bytes.freeze(), _share: share })
    }

    fn take(&self, tenant: &TenantId, share: &mut Share, bytes: u64) -> Result<(), Refusal> {
        let wanted = units(bytes.saturating_sub(SMALL_BYTES));
        if wanted > 0 {
            let of_tenant = self.of_tenant(tenant);
            grow(&mut share.of_tenant, &of_tenant, wanted)?;
            grow(&mut share.of_all, &self.budget, wanted)?;
        }
        Ok(())
    }

    fn of_tenant(&self, tenant: &TenantId) -> Arc<Semaphore> {
        let mut tenants = self.tenants.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = tenants.get(tenant) {
            return Arc::clone(known);
        }
        let budget = budget(self.max_bytes, LARGEST_OF_A_TENANT);
        tenants.insert(tenant.clone(), Arc::clone(&budget));
        budget
    }

    fn too_large(&self) -> Refusal {
        let detail = format!("expected a body of at most {} bytes, found more", self.max_bytes);
        Refusal::new(Problem::BodyTooLarge, detail)
    }
}

/// Throws away, for a short while, what still comes of a body that was refused, so that the caller
/// reads the refusal and not a connection that was reset under its hands.
fn linger(mut body: hyper::body::Incoming) {
    let drain = async move {
        let mut thrown_bytes = 0;
        while thrown_bytes < LINGER_BYTES
            && let Some(Ok(frame)) = body.frame().await
        {
            thrown_bytes += frame.data_ref().map_or(0, Bytes::len);
        }
    };
    tokio::spawn(tokio::time::timeout(LINGER, drain));
}

/// Makes `held` a share of `wanted` units of `budget`.
fn grow(
    held: &mut Option<OwnedSemaphorePermit>,
    budget: &Arc<Semaphore>,
    wanted: u64,
) -> Result<(), Refusal> {
    let has = held.as_ref().map_or(0, |share| share.num_permits() as u64);
    let more = u32::try_from(wanted.saturating_sub(has)).unwrap_or(u32::MAX);
    if more == 0 {
        return Ok(());
    }
    let taken = Arc::clone(budget).try_acquire_many_owned(more).map_err(|_| {
        let detail = "expected room for this body, found too many at once: try again later";
        Refusal::new(Problem::Overloaded, detail)
    })?;
    match held {
        Some(share) => share.merge(taken),
        None => *held = Some(taken),
    }
    Ok(())
}

fn budget(max_bytes: u64, largest: u64) -> Arc<Semaphore> {
    let units = units(max_bytes).saturating_mul(largest);
    let units = usize::try_from(units).unwrap_or(usize::MAX).min(Semaphore::MAX_PERMITS);
    Arc::new(Semaphore::new(units))
}

fn units(bytes: u64) -> u64 {
    bytes.div_ceil(UNIT_BYTES)
}

fn refuse_encodings(headers: &HeaderMap) -> Result<(), Refusal> {
    let mut encodings = headers.get_all(header::CONTENT_ENCODING).iter();
    if encodings.any(|encoding| !encoding.as_bytes().eq_ignore_ascii_case(b"identity")) {
        let detail = "expected a body without content-encoding, found one: send it as it is";
        return Err(Refusal::new(Problem::InvalidRequest, detail));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::{
        convert::Infallible,
        pin::Pin,
        sync::atomic::{AtomicU64, Ordering},
        task::{Context, Poll},
    };

    use hyper::body::{Frame, SizeHint};

    use super::*;

    /// Sends chunks without end and counts them.
    struct Endless<'a> {
        sent_bytes: &'a AtomicU64,
        announced: u64,
    }

    impl Body for Endless<'_> {
        type Data = Bytes;
        type Error = Infallible;

        fn poll_frame(
            self: Pin<&mut Self>,
            _: &mut Context<'_>,
        ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
            self.sent_bytes.fetch_add(65_536, Ordering::Relaxed);
            Poll::Ready(Some(Ok(Frame::data(Bytes::from_static(&[b' '; 65_536])))))
        }

        fn size_hint(&self) -> SizeHint {
            let mut hint = SizeHint::new();
            hint.set_lower(self.announced);
            hint
        }
    }

    /// Sends nothing and does not end.
    struct Silent;

    impl Body for Silent {
        type Data = Bytes;
        type Error = Infallible;

        fn poll_frame(
            self: Pin<&mut Self>,
            _: &mut Context<'_>,
        ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
            Poll::Pending
        }
    }

    fn tenant(number: u32) -> TenantId {
        format!("org_{number}").parse().unwrap()
    }

    fn limits() -> BodyLimits {
        BodyLimits::new(1 << 20, Duration::from_secs(30))
    }

    #[test]
    fn a_body_that_says_it_is_too_large_is_not_read() {
        let sent_bytes = AtomicU64::new(0);
        let body = Endless { sent_bytes: &sent_bytes, announced: 1 << 30 };
        let refused = limits().admit(&HeaderMap::new(), &body).unwrap_err();
        assert_eq!(refused.problem, Problem::BodyTooLarge);
        assert_eq!(sent_bytes.load(Ordering::Relaxed), 0);
    }

    #[tokio::test]
    async fn a_body_without_end_is_read_up_to_the_limit() {
        let sent_bytes = AtomicU64::new(0);
        let limits = limits();
        let mut body = Endless { sent_bytes: &sent_bytes, announced: 0 };
        let refused = limits.read(&tenant(0), &mut body).await.unwrap_err();
        assert_eq!(refused.problem, Problem::BodyTooLarge);
        assert_eq!(sent_bytes.load(Ordering::Relaxed), (1 << 20) + 65_536);
        assert_eq!(limits.budget.available_permits(), 8 * 1024);
    }

    #[tokio::test]
    async fn a_body_that_does_not_come_is_given_up() {
        let limits = BodyLimits::new(1 << 20, Duration::from_millis(1));
        let refused = limits.read(&tenant(0), &mut Silent).await.unwrap_err();
        assert_eq!(refused.problem, Problem::RequestTimeout);
    }

    #[tokio::test]
    async fn large_bodies_that_are_held_bound_those_that_come_and_leave_small_ones_alone() {
        let limits = limits();
        let mut held = vec![];
        let body = |bytes| http_body_util::Full::new(Bytes::from(vec![b' '; bytes]));
        for number in 0..8 {
            held.push(limits.read(&tenant(number / 2), &mut body(1 << 20)).await.unwrap());
        }
        let refused = limits.read(&tenant(9), &mut body(1 << 20)).await.unwrap_err();
        assert_eq!(refused.problem, Problem::Overloaded);
        assert!(limits.read(&tenant(9), &mut body(10_000)).await.is_ok());
        held.pop();
        assert!(limits.read(&tenant(9), &mut body(1 << 20)).await.is_ok());
    }

    #[test]
    fn an_encoded_body_is_refused() {
        let headers = |encoding: &str| {
            HeaderMap::from_iter([(header::CONTENT_ENCODING, encoding.parse().unwrap())])
        };
        let body = http_body_util::Full::new(Bytes::from_static(b"{}"));
        assert!(limits().admit(&headers("identity"), &body).is_ok());
        let refused = limits().admit(&headers("gzip"), &body).unwrap_err();
        assert_eq!(refused.problem, Problem::InvalidRequest);
    }

    #[tokio::test]
    async fn a_tenant_that_holds_many_large_bodies_leaves_room_for_its_neighbours() {
        let limits = limits();
        let body = || http_body_util::Full::new(Bytes::from(vec![b' '; 1 << 20]));
        let mut held = vec![];
        for _ in 0..2 {
            held.push(limits.read(&tenant(0), &mut body()).await.unwrap());
        }
        let refused = limits.read(&tenant(0), &mut body()).await.unwrap_err();
        assert_eq!(refused.problem, Problem::Overloaded);
        assert!(limits.read(&tenant(1), &mut body()).await.is_ok());
        held.clear();
        assert!(limits.read(&tenant(0), &mut body()).await.is_ok());
    }
}
