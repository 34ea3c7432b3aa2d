//! Products of what is made while it is multiplied.

use crate::{
    Finish, Helpers, KernelError, Panels, Scratch, helpers::SCRATCH, scratch::rows_at_once,
};

/// The least that is worth another core, in numbers that are multiplied.
const PART_NUMBERS: usize = 4 << 20;

/// Writes rows of a left operand, from a row on.
pub type Make<'m> = &'m (dyn Fn(usize, &mut [f32]) -> Result<(), KernelError> + Sync);

impl Scratch {
    /// As [`Scratch::product_with`], of a left operand that is not there: `make` writes so many rows of
    /// it as it is given room for, from a row on. It is asked for each row once, and for few at a time,
    /// so that they are multiplied while they are in a cache.
    ///
    /// # Errors
    /// As of [`Scratch::product`], and those of `make`.
    pub fn product_of_made(
        &mut self,
        helpers: &Helpers,
        make: Make<'_>,
        rows: usize,
        right: &Panels<'_>,
        finish: Finish,
        output: &mut [f32],
    ) -> Result<(), KernelError> {
        let (inner, columns) = (right.shape().inner, right.shape().columns);
        if rows.checked_mul(columns) != Some(output.len()) {
            let expected = rows.saturating_mul(columns);
            return Err(KernelError::Length { operand: "output", expected, found: output.len() });
        }
        if output.is_empty() {
            return Ok(());
        }
        let at_once = rows_at_once(right.shape());
        let blocks = rows.div_ceil(at_once);
        let work = output.len().saturating_mul(inner);
        let most = (work / PART_NUMBERS).min(blocks);
        let taken = helpers.take(most.saturating_sub(1));
        let pool = if taken.cores > 0 { helpers.pool() } else { None };
        let Some(pool) = pool else { return self.rows_of_made(make, 0, right, finish, output) };
        // Whole blocks for each, so that what is multiplied at once is what one thread would.
        let each = blocks.div_ceil(1 + taken.cores) * at_once;
        let (own, others) = output.split_at_mut((each * columns).min(output.len()));
        let mut done: Vec<Result<(), KernelError>> = vec![];
        let parts = others.chunks_mut(each * columns);
        done.resize_with(parts.len(), || Ok(()));
        let mine = pool.in_place_scope(|scope| {
            for (at, (part, done)) in parts.zip(&mut done).enumerate() {
                let first = (at + 1) * each;
                scope.spawn(move |_| {
                    *done = SCRATCH.with_borrow_mut(|scratch| {
                        scratch.rows_of_made(make, first, right, finish, part)
                    });
                });
            }
            self.rows_of_made(make, 0, right, finish, own)
        });
        drop(taken);
        done.into_iter().fold(mine, Result::and)
    }

    /// The rows of the product from row `first` on, by this thread.
    fn rows_of_made(
        &mut self,
        make: Make<'_>,
        first: usize,
        right: &Panels<'_>,
        finish: Finish,
        output: &mut [f32],
    ) -> Result<(), KernelError> {
        let (inner, columns) = (right.shape().inner, right.shape().columns);
        let at_once = rows_at_once(right.shape());
        let mut made = std::mem::take(&mut self.made);
        let mut done = Ok(());
        for (at, block) in output.chunks_mut(at_once * columns).enumerate() {
            let rows = block.len() / columns;
            made.resize(rows * inner, 0.0);
            done = make(first + at * at_once, &mut made)
                .and_then(|()| self.product(&made, rows, right, finish, block));
            if done.is_err() {
                break;
            }
        }
        self.made = made;
        done
    }
}
