//! `bulkhead model inspect`.

use std::path::PathBuf;

use anyhow::Result;
use artifact::{ArchivedTensor, Package, SectionKind};
use clap::Args;
use gpu::{Place, where_steps_run};
use inference::{
    RUNS,
    cpu::{is_packed_again, lanes},
    plan::PackedPlan,
};
use serde_json::{Value, json};
use tenancy::Digest;

use crate::table::Table;

#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// The package.
    file: PathBuf,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    let package = super::open(&arguments.file)?;
    let said = said(&package)?;
    if arguments.json {
        println!("{said:#}");
    } else {
        print!("{}", table(&said));
    }
    Ok(())
}

fn said(package: &Package) -> Result<Value> {
    let header = package.header();
    let trained_on: Vec<&str> = header.identity.trained_on.iter().map(|it| it.as_str()).collect();
    let tensor = |it: &ArchivedTensor| {
        let shape: Vec<i64> = it.shape.iter().map(|dim| dim.to_native()).collect();
        json!({ "name": it.name.as_str(), "datatype": it.datatype.as_str(), "shape": shape })
    };
    let sections: Vec<Value> = header
        .sections
        .iter()
        .map(|it| {
            json!({
                "section": it.label(),
                "offset": it.offset.to_native(),
                "bytes": it.length.to_native(),
                "digest": Digest::from_bytes(it.digest),
            })
        })
        .collect();
    // Packages of before have no such notes.
    let notes = package.sections(SectionKind::Notes).find(|(key, _)| *key == RUNS);
    let runs = notes.map_or_else(
        || if package.section(SectionKind::Plan).is_some() { "plan" } else { "tract" }.into(),
        |(_, words)| String::from_utf8_lossy(words),
    );
    let metadata: serde_json::Map<String, Value> =
        header.metadata.iter().map(|it| (it.0.to_string(), json!(it.1.as_str()))).collect();
    Ok(json!({
        "digest": package.file().digest(),
        "contents": package.digest(),
        "bytes": package.file().len(),
        "name": header.identity.name.as_str(),
        "version": header.identity.version.as_str(),
        "tenant": header.identity.tenant.as_deref(),
        "trained_on": trained_on,
        "producer": header.producer.as_str(),
        "source": Digest::from_bytes(header.source),
        "base": header.base.as_ref().map(|base| Digest::from_bytes(*base)),
        "runs": runs,
        "on_this_machine": here(package)?,
        "on_a_device": on_a_device(package)?,
        "inputs": header.inputs.iter().map(tensor).collect::<Vec<_>>(),
        "outputs": header.outputs.iter().map(tensor).collect::<Vec<_>>(),
        "metadata": metadata,
        "sections": sections,
    }))
}

/// How a node like this machine loads it, which depends on the processor.
fn here(package: &Package) -> Result<String> {
    let columns = lanes();
    Ok(if package.header().base.is_some() {
        "over its base, which is mapped once for all that run over it".to_owned()
    } else if package.section(SectionKind::Plan).is_none() {
        "by tract, each time from the ONNX file".to_owned()
    } else if is_packed_again(package)? {
        format!(
            "mapped, with panels that the node packs again, once, into a file beside it: it has \
             none of {columns} columns (pack --lanes {columns})"
        )
    } else {
        "mapped as it is".to_owned()
    })
}

/// Where each step would run, were the model on a device: what has no kernel runs on the CPU in between.
/// Nothing of what has no plan of its own.
fn on_a_device(package: &Package) -> Result<Vec<Value>> {
    if package.header().base.is_some() || package.section(SectionKind::Plan).is_none() {
        return Ok(vec![]);
    }
    let plan = PackedPlan::open(Package::open(package.file().clone())?)?;
    let steps = where_steps_run(plan.plan()).into_iter().map(|(step, place)| match place {
        Place::Device { together } => {
            json!({ "step": step, "runs": "on the device", "together": together })
        }
        Place::Cpu { because } => json!({ "step": step, "runs": "on the CPU", "because": because }),
    });
    Ok(steps.collect())
}

/// The steps that a device would do, and those that it would not.
fn steps(said: &Value) -> Option<String> {
    let steps = said["on_a_device"].as_array().filter(|steps| !steps.is_empty())?;
    let mut rows = Table::new(&["step", "were it on a device", "with how many others", "because"]);
    for step in steps {
        let others = step["together"].as_u64().map(|it| it.saturating_sub(1));
        let others = others.map_or_else(|| "-".to_owned(), |it| it.to_string());
        let text = |key: &str| step[key].as_str().unwrap_or("-").to_owned();
        rows.row([text("step"), text("runs"), others, text("because")]);
    }
    Some(rows.render())
}

fn table(said: &Value) -> String {
    let mut rows = Table::new(&["", ""]);
    let text = |it: &Value| match it {
        Value::String(text) => text.clone(),
        Value::Null => "-".to_owned(),
        Value::Array(parts) if parts.is_empty() => "-".to_owned(),
        Value::Array(parts) => {
            parts.iter().filter_map(Value::as_str).collect::<Vec<_>>().join(", ")
        }
        other => other.to_string(),
    };
    for key in [
        "name",
        "version",
        "tenant",
        "trained_on",
        "runs",
        "on_this_machine",
        "digest",
        "base",
        "source",
        "producer",
    ] {
        rows.row([key.replace('_', " "), text(&said[key])]);
    }
    for key in ["inputs", "outputs"] {
        for it in said[key].as_array().into_iter().flatten() {
            let shape = format!("{} {} {}", text(&it["name"]), text(&it["datatype"]), it["shape"]);
            rows.row([key.trim_end_matches('s').to_owned(), shape]);
        }
    }
    let mut sections = Table::new(&["section", "offset", "bytes", "digest"]);
    for it in said["sections"].as_array().into_iter().flatten() {
        let cells = ["section", "offset", "bytes", "digest"].map(|key| text(&it[key]));
        sections.row(cells);
    }
    let steps = steps(said).map_or_else(String::new, |steps| format!("\n{steps}"));
    format!("{}\n{}{steps}", rows.render().trim_start_matches('\n'), sections.render())
}

#[cfg(test)]
mod tests {
    use artifact::Mapped;
    use inference::{Pack, pack};

    use super::*;

    #[test]
    fn what_a_node_of_this_kind_would_pack_again_is_said() {
        let models =
            std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/flights/models");
        let onnx = std::fs::read(models.join("aa.onnx")).unwrap();
        let shown = |lanes: usize| {
            let packed = pack(&onnx, &Pack { lanes: vec![lanes], ..Pack::default() }).unwrap();
            let package = Package::open(Mapped::copied(&packed.bytes).unwrap()).unwrap();
            table(&said(&package).unwrap())
        };
        assert!(shown(lanes()).contains("mapped as it is"), "{}", shown(lanes()));
        let foreign = shown(lanes() * 2);
        assert!(foreign.contains(&format!("pack --lanes {}", lanes())), "{foreign}");
    }

    #[test]
    fn where_each_step_runs_is_said_and_why() {
        let models =
            std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/flights/models");
        let onnx = std::fs::read(models.join("aa.onnx")).unwrap();
        let packed = pack(&onnx, &Pack::default()).unwrap();
        let package = Package::open(Mapped::copied(&packed.bytes).unwrap()).unwrap();
        let said = said(&package).unwrap();
        let steps = said["on_a_device"].as_array().unwrap();
        let runs = |step: &Value, place: &str| step["runs"] == place;
        assert!(steps.iter().any(|it| it["step"] == "product" && runs(it, "on the device")));
        let on_cpu: Vec<_> = steps.iter().filter(|it| runs(it, "on the CPU")).collect();
        assert!(!on_cpu.is_empty() && on_cpu.iter().all(|it| it["because"] != ""), "{on_cpu:?}");
        assert!(table(&said).contains("on the device"), "{}", table(&said));
    }
}
