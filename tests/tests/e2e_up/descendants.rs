//! The processes that a process has started, and those that they started, as `/proc` tells.

use std::{collections::BTreeMap, fs};

/// A process and its descendants, seen so far. A process is its id and its start time, so that an
/// id that was given again is another process.
#[derive(Debug)]
pub struct Descendants {
    root: u32,
    seen: BTreeMap<(u32, u64), String>,
}

#[derive(Debug)]
struct Stat {
    name: String,
    state: char,
    parent: u32,
    started: u64,
}

impl Descendants {
    pub fn of(root: u32) -> Self {
        Self { root, seen: BTreeMap::new() }
    }

    /// Adds those that run now.
    pub fn look(&mut self) {
        let running = running();
        let mut parents = vec![self.root];
        while let Some(parent) = parents.pop() {
            for (id, stat) in running.iter().filter(|(_, stat)| stat.parent == parent) {
                self.seen.insert((*id, stat.started), stat.name.clone());
                parents.push(*id);
            }
        }
    }

    pub fn seen(&self) -> usize {
        self.seen.len()
    }

    /// The names of those that still run. A zombie does not: its parent is gone, and whoever
    /// inherits it has to take note of its end.
    pub fn alive(&self) -> Vec<String> {
        let alive = |(id, started): &(u32, u64)| {
            stat(*id).is_some_and(|it| it.started == *started && it.state != 'Z')
        };
        let alive = self.seen.iter().filter(|(process, _)| alive(process));
        alive.map(|((id, _), name)| format!("{name} ({id})")).collect()
    }
}

fn running() -> BTreeMap<u32, Stat> {
    let entries = fs::read_dir("/proc").unwrap();
    let ids = entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
    ids.filter_map(|id| Some((id, stat(id)?))).collect()
}

/// Reads `/proc/ID/stat` (proc(5)): `ID (name) state parent ...`, the start time as field 22.
fn stat(id: u32) -> Option<Stat> {
    let text = fs::read_to_string(format!("/proc/{id}/stat")).ok()?;
    let (head, tail) = text.rsplit_once(')')?;
    let fields: Vec<&str> = tail.split_whitespace().collect();
    Some(Stat {
        name: head.split_once('(')?.1.to_owned(),
        state: fields.first()?.chars().next()?,
        parent: fields.get(1)?.parse().ok()?,
        started: fields.get(19)?.parse().ok()?,
    })
}
