//! Carrying out what does not happen at once: moves of tenants between data planes.

use std::time::Duration;

use tenancy::{DataPlaneId, TenantId};
use tokio::time::Instant;
use xds::Progress;

use crate::{
    compiler::Place,
    envoy::REQUEST_TIMEOUT,
    moves::Moves,
    publisher::{Groups, Publisher},
};

/// How long the proxies of a data plane may take to learn of a tenant that moves there, and
/// gateways to send it there.
const MOVE_PATIENCE: Duration = Duration::from_secs(10);

/// Who moves, and where to.
type Move = (TenantId, DataPlaneId);

impl Publisher {
    /// Brings moves of tenants to their end, one stage after the other, as long as it is polled.
    pub(crate) async fn carry_out_moves(&self) {
        loop {
            if let Some((tenants, there)) = self.prepare() {
                self.settled(&there).await;
                let gateways = self.switch(&tenants);
                self.settled(&gateways).await;
                self.with_moves(|moves| moves.drain(Instant::now() + REQUEST_TIMEOUT));
            } else if let Some(at) = self.with_moves(|moves| moves.drained_at()) {
                tokio::select! {
                    () = tokio::time::sleep_until(at) => self.forget(),
                    () = self.moved.notified() => {}
                }
            } else {
                self.moved.notified().await;
            }
        }
    }

    fn with_moves<T>(&self, use_them: impl FnOnce(&mut Moves) -> T) -> T {
        use_them(&mut self.lock().moves)
    }

    /// The tenants that wait for their new data planes, and the groups there.
    fn prepare(&self) -> Option<(Vec<Move>, Vec<String>)> {
        let groups = self.lock();
        let (resolved, _) = groups.published.as_ref()?;
        let tenants = groups.moves.preparing(resolved);
        let awaited = |place: &Place| {
            place.role.data_plane().is_some_and(|plane| tenants.iter().any(|it| it.1 == *plane))
        };
        let there = groups.places.iter().filter(|(_, place)| awaited(place));
        let there = there.map(|(group, _)| group.clone()).collect();
        (!tenants.is_empty()).then_some((tenants, there))
    }

    /// Tells the gateways where these tenants are now; returns the gateways' groups.
    fn switch(&self, tenants: &[Move]) -> Vec<String> {
        let mut groups = self.lock();
        if let Some((resolved, _)) = groups.published.clone() {
            groups.moves.switch(tenants, &resolved);
        }
        self.publish_move(&mut groups);
        let gateways = groups.places.iter().filter(|(_, place)| place.is_gateway());
        gateways.map(|(group, _)| group.clone()).collect()
    }

    /// Tells data planes to forget who has left.
    fn forget(&self) {
        let mut groups = self.lock();
        if groups.moves.forget(Instant::now()) {
            self.publish_move(&mut groups);
        }
    }

    fn publish_move(&self, groups: &mut Groups) {
        if let Err(error) = self.publish_locked(groups) {
            tracing::error!(%error, "a move of a tenant could not be pushed");
        }
    }

    /// Waits until all connected proxies of these groups have taken what they were sent, or
    /// refused it; but not for ever, so that a node that is dead holds no tenant where it is.
    async fn settled(&self, groups: &[String]) {
        let until = Instant::now() + MOVE_PATIENCE;
        for group in groups {
            let Some(snapshot) = self.store().get(group) else { continue };
            let left = until.saturating_duration_since(Instant::now());
            let progress = self.proxies().settled(group, &snapshot, left).await;
            if !progress.is_settled() || !progress.refused.is_empty() {
                let Progress { refused, waiting, .. } = progress;
                tracing::warn!(group, ?refused, ?waiting, "a move of a tenant goes on without");
            }
        }
    }
}
