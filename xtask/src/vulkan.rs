//! A Vulkan device for tests, on machines that have none: Mesa's llvmpipe, which is the CPU.

use std::{fs, path::Path, process::Command};

use anyhow::{Context, Result, bail};

use crate::command::{find, run};

/// Debian's packages, with which a machine without a GPU has a Vulkan device.
const PACKAGES: [&str; 2] = ["libvulkan1", "mesa-vulkan-drivers"];
/// Where drivers are listed (the Vulkan loader's interface, "Driver Discovery on Linux").
const DRIVERS: [&str; 2] = ["/usr/share/vulkan/icd.d", "/etc/vulkan/icd.d"];

/// Has llvmpipe installed where it is not and may be. Where it may not, tests on a device are skipped,
/// and the reason is told.
pub(crate) fn provide() -> Result<()> {
    if has_llvmpipe() {
        return Ok(());
    }
    if let Err(error) = install() {
        eprintln!(
            "SKIPPED: the tests on a device: {error:#} (Debian and Ubuntu: `sudo apt-get install {}`)",
            PACKAGES.join(" ")
        );
    }
    Ok(())
}

fn has_llvmpipe() -> bool {
    DRIVERS.iter().filter_map(|folder| fs::read_dir(folder).ok()).flatten().flatten().any(|file| {
        let name = file.file_name();
        name.to_string_lossy().starts_with("lvp_icd")
    })
}

fn install() -> Result<()> {
    let apt = find("apt-get").context("expected a Vulkan driver, found none, and no apt-get")?;
    // Only root may, and a test command asks nobody for a password.
    let is_root = fs::metadata("/proc/self")
        .is_ok_and(|meta| std::os::unix::fs::MetadataExt::uid(&meta) == 0);
    if !is_root {
        bail!("expected a Vulkan driver, found none, and only root may install one");
    }
    let apt_get = |arguments: &[&str]| {
        let mut command = Command::new(&apt);
        command.env("DEBIAN_FRONTEND", "noninteractive").args(["-qq", "-o", "Dpkg::Use-Pty=0"]);
        command.args(arguments);
        command
    };
    let wanted = ["install", "-y", "--no-install-recommends"];
    let wanted = [&wanted[..], &PACKAGES].concat();
    // What a fresh machine knows of packages is nothing, or old.
    run(&mut apt_get(&["update"]))?;
    run(&mut apt_get(&wanted))?;
    if !has_llvmpipe() {
        let folder = Path::new(DRIVERS[0]).display();
        bail!("expected {} to bring llvmpipe, found no `lvp_icd` in {folder}", PACKAGES.join(" "));
    }
    Ok(())
}
