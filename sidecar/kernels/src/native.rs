//! The kernels of the processor that this runs on.

use std::sync::LazyLock;

use tract_data::prelude::DatumType;
use tract_linalg::{
    MmmDispatch,
    mmm::{MMMInputFormat, MatMatMul},
    pack::PackedFormat,
};

use crate::{row::LANES, run};

/// Panels of 16 lanes are read by the best kernels of x86-64 (with AVX, FMA or AVX-512) and of
/// 64-bit ARM alike, so that one layout in a file serves nearly every node.
const COMMON_LANES: usize = 16;

/// One kernel: `lanes` columns of the fixed matrix by `rows` rows of the other.
pub(crate) struct Kernel {
    pub(crate) routine: Box<dyn MatMatMul>,
    pub(crate) rows: usize,
    pub(crate) fixed: Box<dyn MMMInputFormat>,
    pub(crate) moving: Box<dyn MMMInputFormat>,
}

pub(crate) struct Native {
    pub(crate) lanes: usize,
    /// By rows, most first. Never empty.
    pub(crate) kernels: Vec<Kernel>,
}

static NATIVE: LazyLock<Native> = LazyLock::new(Native::probe);

/// How many columns a panel has that this processor's kernels read.
pub fn lanes() -> usize {
    native().lanes
}

/// The name, among those of kernels, of the tiles of AVX-512.
pub const TILES: &str = "tiles_avx512";

/// The names of the kernels that are used on this processor, for logs. Where there are [`TILES`],
/// they compute everything but matrices without a row.
pub fn kernel_names() -> impl Iterator<Item = &'static str> {
    let tiles = (native().lanes == LANES && run::has_tiles()).then_some(TILES);
    tiles.into_iter().chain(native().kernels.iter().map(|kernel| kernel.routine.name()))
}

pub(crate) fn native() -> &'static Native {
    &NATIVE
}

impl Native {
    fn probe() -> Self {
        let usable = || {
            let runnable = MmmDispatch::native().runnable().iter();
            runnable.filter(|it| {
                it.internal_type() == DatumType::F32 && !it.emulated() && reads_plain_panels(&***it)
            })
        };
        let lanes = if usable().any(|it| it.mr() == COMMON_LANES && it.arch().is_some()) {
            COMMON_LANES
        } else {
            usable().max_by_key(|it| (rank(&***it), it.mr() * it.nr())).map_or(4, |it| it.mr())
        };
        let best = usable().filter(|it| it.mr() == lanes).map(|it| rank(&**it)).max();
        let mut kernels: Vec<Kernel> = usable()
            .filter(|it| it.mr() == lanes && Some(rank(&***it)) == best)
            .filter_map(|it| {
                let (fixed, moving) = it.packings().first()?.clone();
                Some(Kernel { rows: it.nr(), routine: it.clone(), fixed, moving })
            })
            .collect();
        kernels.sort_by_key(|kernel| std::cmp::Reverse(kernel.rows));
        kernels.dedup_by_key(|kernel| kernel.rows);
        Self { lanes, kernels }
    }
}

/// A kernel written for this architecture before a portable one, then by instruction set.
fn rank(routine: &dyn MatMatMul) -> (bool, isize) {
    (routine.arch().is_some(), routine.preference())
}

/// Whether its first packing is the one that [`crate::Panels`] holds: 32-bit floats, record after
/// record, each of as many as the tile has lanes, with at most one record read beyond the end.
fn reads_plain_panels(routine: &dyn MatMatMul) -> bool {
    let Some((fixed, moving)) = routine.packings().first() else { return false };
    let plain = |format: &dyn MMMInputFormat, width: usize| {
        format.downcast_ref::<PackedFormat>().is_some_and(|it| {
            it.dt == DatumType::F32 && it.r == width && it.end_padding_record <= 1
        })
    };
    plain(&**fixed, routine.mr()) && plain(&**moving, routine.nr())
}
