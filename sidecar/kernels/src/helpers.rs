//! Idle cores that help with a large product.

use std::{
    cell::{Cell, RefCell},
    sync::{
        OnceLock,
        atomic::{AtomicUsize, Ordering},
    },
};

use crate::{Finish, KernelError, Panels, Scratch};

/// The least that is worth another core, in bytes of panels read: waking a thread takes as long.
const PART_BYTES: usize = 2 << 20;
/// Rows up to which a product takes as long as reading its panels does.
const ROWS_BY_MEMORY: usize = 4;

/// Threads that compute parts of products while their cores have nothing else to do.
///
/// Whoever computes says so ([`Helpers::busy`]). A product is divided among the cores that nobody
/// said to use, and by nobody else's panels: each number of it is computed as it would be by one
/// thread alone, and comes out the same to the bit.
#[derive(Debug)]
pub struct Helpers {
    cores: usize,
    used: AtomicUsize,
    /// Made when it is first needed; none where the system gives no threads.
    pool: OnceLock<Option<rayon::ThreadPool>>,
}

thread_local! {
    pub(crate) static SCRATCH: RefCell<Scratch> = RefCell::default();
    static GIVES_WAY: Cell<bool> = const { Cell::new(false) };
}

/// Says that this thread gives way to every other, for as long as it lives. What it computes keeps no
/// core busy from then on, since whoever wants its core has it at once, and is helped by none:
/// helpers give way to nobody.
pub fn give_way() {
    GIVES_WAY.set(true);
}

impl Helpers {
    /// For a process that may use `cores` cores.
    pub const fn new(cores: usize) -> Self {
        Self { cores, used: AtomicUsize::new(0), pool: OnceLock::new() }
    }

    /// Says that the calling thread uses a core, until the answer is dropped.
    pub fn busy(&self) -> Busy<'_> {
        let cores = usize::from(!GIVES_WAY.get());
        self.used.fetch_add(cores, Ordering::Relaxed);
        Busy { helpers: self, cores }
    }

    /// Takes up to `most` of the cores that nobody uses.
    pub(crate) fn take(&self, most: usize) -> Busy<'_> {
        let mut cores = 0;
        if GIVES_WAY.get() {
            return Busy { helpers: self, cores };
        }
        let take = |used: usize| {
            cores = self.cores.saturating_sub(used).min(most);
            (cores > 0).then_some(used + cores)
        };
        let taken = self.used.fetch_update(Ordering::Relaxed, Ordering::Relaxed, take).is_ok();
        Busy { helpers: self, cores: if taken { cores } else { 0 } }
    }

    pub(crate) fn pool(&self) -> Option<&rayon::ThreadPool> {
        let make = || {
            let threads = self.cores.saturating_sub(1).max(1);
            let named = rayon::ThreadPoolBuilder::new().thread_name(|at| format!("product-{at}"));
            named.num_threads(threads).build().ok()
        };
        self.pool.get_or_init(make).as_ref()
    }
}

/// Some cores that are used.
#[derive(Debug)]
pub struct Busy<'h> {
    helpers: &'h Helpers,
    pub(crate) cores: usize,
}

impl Drop for Busy<'_> {
    fn drop(&mut self) {
        self.helpers.used.fetch_sub(self.cores, Ordering::Relaxed);
    }
}

/// A share of a product: its columns, and what came of them.
#[derive(Default)]
pub(crate) struct Share {
    numbers: Vec<f32>,
    done: Option<Result<(), KernelError>>,
}

impl Share {
    /// How many numbers it keeps.
    pub(crate) fn len(&self) -> usize {
        self.numbers.len()
    }
}

impl Scratch {
    /// As [`Scratch::product`], by this thread and as many of `helpers` as are idle and worth it.
    /// The calling thread has to be counted as busy.
    ///
    /// # Errors
    /// As of [`Scratch::product`].
    pub fn product_with(
        &mut self,
        helpers: &Helpers,
        left: &[f32],
        rows: usize,
        right: &Panels<'_>,
        finish: Finish,
        output: &mut [f32],
    ) -> Result<(), KernelError> {
        let columns = right.shape.columns;
        let work = right.bytes.len().saturating_mul(rows.div_ceil(ROWS_BY_MEMORY));
        let most = (work / PART_BYTES).min(right.shape.panels());
        let taken = helpers.take(most.saturating_sub(1));
        let fits = rows.checked_mul(columns) == Some(output.len());
        let pool = if taken.cores > 0 && fits { helpers.pool() } else { None };
        let Some(pool) = pool else { return self.product(left, rows, right, finish, output) };

        let each = right.shape.panels().div_ceil(1 + taken.cores);
        let mut shares = std::mem::take(&mut self.shares);
        shares.resize_with(taken.cores, Share::default);
        let own = right.part(0, each);
        let mine = pool.in_place_scope(|scope| {
            for (at, share) in shares.iter_mut().enumerate() {
                let part = right.part((at + 1) * each, each);
                share.numbers.resize(rows * part.shape.columns, 0.0);
                scope.spawn(move |_| {
                    let numbers = share.numbers.as_mut_slice();
                    share.done = Some(SCRATCH.with_borrow_mut(|scratch| {
                        scratch.product(left, rows, &part, finish, numbers)
                    }));
                });
            }
            let mut numbers = std::mem::take(&mut self.own_share);
            numbers.resize(rows * own.shape.columns, 0.0);
            let done = self.product(left, rows, &own, finish, &mut numbers);
            self.own_share = numbers;
            done
        });
        drop(taken);
        place(&self.own_share, own.shape.columns, 0, columns, output);
        for (at, share) in shares.iter().enumerate() {
            let first = (at + 1) * each * right.shape.lanes;
            let width = right.part((at + 1) * each, each).shape.columns;
            place(&share.numbers, width, first, columns, output);
        }
        let done = shares.iter_mut().map(|it| it.done.take().unwrap_or(Ok(())));
        let done = done.fold(mine, Result::and);
        self.shares = shares;
        done
    }
}

/// Copies rows of `width` numbers to where they belong in rows of `columns`.
fn place(numbers: &[f32], width: usize, first: usize, columns: usize, output: &mut [f32]) {
    if width == 0 {
        return;
    }
    for (row, from) in output.chunks_exact_mut(columns).zip(numbers.chunks_exact(width)) {
        let to = row.get_mut(first..first + width).unwrap_or_default();
        to.iter_mut().zip(from).for_each(|(to, from)| *to = *from);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_gives_way_keeps_no_core_busy_and_is_helped_by_none() {
        let helpers = Helpers::new(3);
        std::thread::scope(|scope| {
            let giving_way = scope.spawn(|| {
                give_way();
                let busy = helpers.busy();
                (busy.cores, helpers.take(2).cores)
            });
            assert!(matches!(giving_way.join(), Ok((0, 0))));
        });
        let busy = helpers.busy();
        let taken = helpers.take(9);
        assert_eq!((busy.cores, taken.cores), (1, 2));
        assert_eq!(helpers.take(1).cores, 0);
        drop((busy, taken));
        assert_eq!(helpers.used.load(Ordering::Relaxed), 0);
    }
}
