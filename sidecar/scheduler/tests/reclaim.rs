//! Memory of models that went is the operating system's again. A process of its own, because it looks
//! at the memory of the whole process.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // tests fail by panicking

use std::{fs, sync::Arc, time::Duration};

use artifact::Mapped;
use inference::{InferError, Inputs, Model, Outputs, Signature};
use scheduler::{Loaded, ModelCache, ModelKey, residency::Footprint};
use tenancy::Digest;

/// What a model of these tests keeps: so many pieces, each too small for the allocator to map alone.
const PIECES: usize = 64;
const PIECE_BYTES: usize = 32 << 10;
const MODEL_BYTES: u64 = (PIECES * PIECE_BYTES) as u64;

/// How much more there may be than there was.
const SLACK_BYTES: u64 = 1 << 20;

struct Fake {
    signature: Signature,
    pieces: Vec<Vec<u8>>,
}

impl Model for Fake {
    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn max_batch(&self) -> u64 {
        1
    }

    fn infer(&self, _: Inputs) -> Result<Outputs, InferError> {
        Err(InferError::Failed { detail: "these tests infer nothing".into() })
    }

    fn private_bytes(&self) -> u64 {
        self.pieces.iter().map(|piece| piece.len() as u64).sum()
    }
}

fn load() -> Loaded {
    let pieces = (0..PIECES).map(|n| vec![n as u8 | 1; PIECE_BYTES]).collect();
    let model = Fake { signature: Signature::default(), pieces };
    Loaded::new(Arc::new(model), Mapped::copied(b"model").unwrap())
}

/// What the process has in memory that is no file's, exactly.
fn private_bytes() -> u64 {
    let rollup = fs::read_to_string("/proc/self/smaps_rollup").unwrap();
    let line = rollup.lines().find_map(|line| line.strip_prefix("Anonymous:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() * 1024
}

#[tokio::test]
async fn models_that_went_leave_the_processs_memory_where_it_was() {
    let budget =
        Footprint { mapped_bytes: u64::MAX, private_bytes: 4 * MODEL_BYTES, device_bytes: 0 };
    let cache: ModelCache<String> = ModelCache::new(budget, Duration::ZERO);
    let go = async |from: usize, to: usize| {
        for n in from..to {
            let name = format!("m{n}");
            let digest = Digest::of(name.as_bytes());
            let key = ModelKey::pooled(name.parse().unwrap(), "1".parse().unwrap(), digest);
            cache.get_or_load(&key, || Ok(load())).await.unwrap();
        }
    };
    // What threads and tables take once they have been used is no model's.
    go(0, 20).await;
    assert_eq!(cache.retain(|_| false), 4);
    let before = private_bytes();
    go(20, 500).await;
    assert_eq!(cache.stats().evictions, 16 + 476);
    assert_eq!(cache.stats().held.private_bytes, 4 * MODEL_BYTES);
    assert_eq!(cache.retain(|_| false), 4);
    // Who waits for a load is told before what went for it is freed, on another thread.
    let mut after = private_bytes();
    for _ in 0..600 {
        if after <= before + SLACK_BYTES {
            return;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
        after = private_bytes();
    }
    panic!("{after} bytes, and before {before}");
}
