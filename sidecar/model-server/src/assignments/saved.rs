//! The last accepted assignments on the disk: a SHA-256 digest (32 bytes) and the message that it
//! is of, replaced as a whole.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, ErrorKind, Write},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
    time::Duration,
};

use prost::Message;
use tenancy::{DataPlaneId, Digest};
use xds::client::Upsert;

use super::resources::Resources;
use crate::clock;

const DIGEST_BYTES: usize = 32;

/// Where assignments are saved.
#[derive(Debug, Clone)]
pub(super) struct SavedFile {
    path: PathBuf,
}

#[derive(Debug, thiserror::Error)]
pub(super) enum SavedError {
    #[error("could not {action} `{}`: {cause}", path.display())]
    Io { action: &'static str, path: PathBuf, cause: io::Error },
    #[error(
        "expected `{}` to hold saved assignments, found it damaged: it will be replaced by what \
         the control plane sends", path.display()
    )]
    Damaged { path: PathBuf },
    #[error(
        "expected assignments of data plane `{expected}`, found those of `{found}`: use a state \
         folder of its own for each data plane"
    )]
    OtherDataPlane { expected: DataPlaneId, found: String },
}

#[derive(Clone, PartialEq, prost::Message)]
struct Saved {
    #[prost(string, tag = "1")]
    data_plane: String,
    #[prost(uint64, tag = "2")]
    saved_at_unix_seconds: u64,
    #[prost(message, repeated, tag = "3")]
    resources: Vec<SavedResource>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct SavedResource {
    #[prost(string, tag = "1")]
    type_url: String,
    #[prost(string, tag = "2")]
    name: String,
    #[prost(string, tag = "3")]
    version: String,
    #[prost(bytes = "bytes", tag = "4")]
    value: bytes::Bytes,
}

impl SavedFile {
    pub(super) fn in_folder(folder: &Path) -> Self {
        Self { path: folder.join("assignments.bin") }
    }

    /// What was saved, where anything was.
    pub(super) fn load(&self, data_plane: &DataPlaneId) -> Result<Option<Resources>, SavedError> {
        let bytes = match fs::read(&self.path) {
            Ok(bytes) => bytes,
            Err(cause) if cause.kind() == ErrorKind::NotFound => return Ok(None),
            Err(cause) => return Err(self.io("read", cause)),
        };
        let saved =
            decode(&bytes).ok_or_else(|| SavedError::Damaged { path: self.path.clone() })?;
        if saved.data_plane != data_plane.as_str() {
            let (expected, found) = (data_plane.clone(), saved.data_plane);
            return Err(SavedError::OtherDataPlane { expected, found });
        }
        let age =
            Duration::from_secs(clock::unix_seconds().saturating_sub(saved.saved_at_unix_seconds));
        tracing::info!(?age, resources = saved.resources.len(), "starting from saved assignments");
        let mut resources = Resources::default();
        for SavedResource { type_url, name, version, value } in saved.resources {
            resources.put(&type_url, Upsert { name, version, value });
        }
        Ok(Some(resources))
    }

    /// Replaces what was saved, durably. Blocks on the disk.
    pub(super) fn save(
        &self,
        resources: &Resources,
        data_plane: &DataPlaneId,
    ) -> Result<(), SavedError> {
        let saved = Saved {
            data_plane: data_plane.to_string(),
            saved_at_unix_seconds: clock::unix_seconds(),
            resources: resources.entries().map(saved_resource).collect(),
        }
        .encode_to_vec();
        let temporary = self.path.with_extension("new");
        let mut file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(&temporary)
            .map_err(|cause| self.io("make a new", cause))?;
        file.write_all(Digest::of(&saved).as_bytes())
            .and_then(|()| file.write_all(&saved))
            .and_then(|()| file.sync_all())
            .map_err(|cause| self.io("write", cause))?;
        fs::rename(&temporary, &self.path).map_err(|cause| self.io("replace", cause))?;
        let folder = self.path.parent().unwrap_or(&self.path);
        File::open(folder)
            .and_then(|folder| folder.sync_all())
            .map_err(|cause| self.io("make durable", cause))
    }

    fn io(&self, action: &'static str, cause: io::Error) -> SavedError {
        SavedError::Io { action, path: self.path.clone(), cause }
    }
}

fn saved_resource((type_url, name, version, value): (&str, &str, &str, &[u8])) -> SavedResource {
    SavedResource {
        type_url: type_url.to_owned(),
        name: name.to_owned(),
        version: version.to_owned(),
        value: bytes::Bytes::copy_from_slice(value),
    }
}

fn decode(bytes: &[u8]) -> Option<Saved> {
    let (digest, message) = bytes.split_at_checked(DIGEST_BYTES)?;
    if Digest::of(message).as_bytes() != digest {
        return None;
    }
    Saved::decode(message).ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn resources() -> Resources {
        let mut resources = Resources::default();
        for name in ["ua", "dl"] {
            let value = bytes::Bytes::from_static(b"value");
            resources.put("type", Upsert { name: name.to_owned(), version: "1".to_owned(), value });
        }
        resources
    }

    #[test]
    fn what_is_saved_is_loaded_again_for_the_same_data_plane_alone() {
        let folder = tempfile::tempdir().unwrap();
        let file = SavedFile::in_folder(folder.path());
        let (shared, silo) = ("shared".parse().unwrap(), "silo".parse().unwrap());
        assert_eq!(file.load(&shared).unwrap(), None);
        file.save(&resources(), &shared).unwrap();
        file.save(&resources(), &shared).unwrap();
        assert_eq!(file.load(&shared).unwrap(), Some(resources()));
        assert!(matches!(file.load(&silo), Err(SavedError::OtherDataPlane { .. })));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(32))]
        #[test]
        fn a_damaged_file_is_noticed(at: prop::sample::Index, flip in 1..=255_u8, cut: bool) {
            let folder = tempfile::tempdir().unwrap();
            let file = SavedFile::in_folder(folder.path());
            let plane = "shared".parse().unwrap();
            file.save(&resources(), &plane).unwrap();
            let mut bytes = fs::read(&file.path).unwrap();
            let at = at.index(bytes.len());
            if cut { bytes.truncate(at) } else { bytes[at] ^= flip }
            fs::write(&file.path, bytes).unwrap();
            let damaged = matches!(file.load(&plane), Err(SavedError::Damaged { .. }));
            prop_assert!(damaged);
        }
    }
}
