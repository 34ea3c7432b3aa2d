//! `bulkhead model`: models as packages (`.bha`), the form in which a node maps them.

mod inspect;
mod pack;
mod unpack;
mod verify;

use std::path::Path;

use anyhow::{Context, Result};
use artifact::{Mapped, Package};
use clap::Subcommand;

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Make packages of ONNX files, and say how each will run.
    Pack(pack::Arguments),
    /// Show what a package says of itself.
    Inspect(inspect::Arguments),
    /// Read packages whole and check every digest in them.
    Verify(verify::Arguments),
    /// Write the ONNX file that a package was made of.
    Unpack(unpack::Arguments),
}

pub(crate) fn run(command: Command) -> Result<()> {
    match command {
        Command::Pack(arguments) => pack::run(&arguments),
        Command::Inspect(arguments) => inspect::run(&arguments),
        Command::Verify(arguments) => verify::run(&arguments),
        Command::Unpack(arguments) => unpack::run(&arguments),
    }
}

fn open(path: &Path) -> Result<Package> {
    let bytes =
        std::fs::read(path).with_context(|| format!("could not read {}", path.display()))?;
    let file = Mapped::copied(&bytes).context("could not get memory for the package")?;
    Package::open(file).with_context(|| format!("{}", path.display()))
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use clap::Parser;

    use super::*;

    #[derive(Debug, Parser)]
    struct Line {
        #[command(subcommand)]
        command: Command,
    }

    fn typed(arguments: &[&str]) -> Result<()> {
        run(Line::try_parse_from([&["model"], arguments].concat())?.command)
    }

    #[test]
    fn a_model_is_packed_and_checked_and_had_back() {
        let folder = tempfile::tempdir().unwrap();
        let place = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
        let models = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/flights/models");
        let onnx: PathBuf = models.join("aa.onnx");
        let (package, back) = (place("aa.bha"), place("aa.onnx"));

        typed(&["pack", onnx.to_str().unwrap(), "-o", &package, "--trained-on", "org_aa"]).unwrap();
        typed(&["verify", &package]).unwrap();
        typed(&["inspect", &package]).unwrap();
        typed(&["unpack", &package, "-o", &back]).unwrap();
        assert_eq!(std::fs::read(&onnx).unwrap(), std::fs::read(&back).unwrap());

        let mut bytes = std::fs::read(&package).unwrap();
        let last = bytes.len() - 1;
        bytes[last] ^= 1;
        std::fs::write(&package, bytes).unwrap();
        let refused = typed(&["verify", &package]).unwrap_err();
        assert!(format!("{refused:#}").contains("altered"), "{refused:#}");

        let narrow = ["--weights", "int8", "--largest-deviation", "0"];
        let pack = ["pack", onnx.to_str().unwrap(), "-o", &package];
        assert!(typed(&[&pack[..], &narrow].concat()).is_err());
    }

    #[test]
    fn a_tuned_model_is_packed_over_its_base_and_checked_over_it() {
        let folder = tempfile::tempdir().unwrap();
        let place = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
        let models = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/flights/models");
        let onnx = models.join("aa.onnx").to_str().unwrap().to_owned();
        let (base, adapter, back) = (place("base.bha"), place("adapter.bha"), place("aa.onnx"));
        typed(&["pack", &onnx, "-o", &base]).unwrap();
        // A model that was not tuned at all is a package of no changes.
        let over = ["pack", "--base", &base, &onnx, "--rank", "4", "--with-source", "-o", &adapter];
        typed(&over).unwrap();
        typed(&["verify", &adapter]).unwrap();
        typed(&["verify", &adapter, "--base", &base]).unwrap();
        typed(&["inspect", &adapter]).unwrap();
        typed(&["unpack", &adapter, "-o", &back]).unwrap();
        assert_eq!(std::fs::read(&onnx).unwrap(), std::fs::read(&back).unwrap());

        let other = models.join("pooled.onnx").to_str().unwrap().to_owned();
        typed(&["pack", &other, "-o", &place("other.bha")]).unwrap();
        let refused = typed(&["verify", &adapter, "--base", &place("other.bha")]).unwrap_err();
        assert!(format!("{refused:#}").contains("changes of the base"), "{refused:#}");
        for wrong in [
            &["pack", &onnx, "--rank", "4"][..],
            &["pack", &onnx, "--base", &base, "--weights", "int8"],
            &["pack", &onnx, "--base", &base, "--rank", "0", "-o", &adapter],
            &["pack", &onnx, "--base", &adapter, "-o", &place("twice.bha")],
        ] {
            assert!(typed(wrong).is_err(), "{wrong:?}");
        }
    }
}
