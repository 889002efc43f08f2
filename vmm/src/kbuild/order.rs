//! The order in which the files of modules can be loaded.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use super::facts::Facts;
use super::tree::KernelTree;
use crate::error::HostError;
use crate::root::modules::{Modules, name_of};

/// Names of modules that a line tells at most.
const MOST_NAMED: usize = 5;

/// The files in an order in which `kernel` can load them: each behind those that it needs, and behind those that it wishes for where
/// that is possible; in the given order otherwise. Modules of the kernel that they need are not among them: `modprobe` finds those.
///
/// # Errors
///
/// A file is no module, or one for another kernel; two have one name; one needs what is nowhere; some need each other.
pub fn order(files: &[PathBuf], kernel: &KernelTree) -> Result<Vec<PathBuf>, HostError> {
    let facts = files.iter().map(|path| Facts::read(path)).collect::<Result<Vec<_>, _>>()?;
    let numbers = numbers(files)?;
    let modules = Modules::open(&kernel.modules)?;
    let mut edges: Vec<BTreeSet<usize>> = vec![BTreeSet::new(); files.len()];
    for (number, of) in facts.iter().enumerate() {
        if let Some(release) = of.release().filter(|release| *release != kernel.release) {
            return Err(HostError::input(
                format!("module {}: it is for kernel {release}", files[number].display()),
                format!("build it for {}, which is started", kernel.release),
            ));
        }
        for needed in of.depends() {
            match numbers.get(&needed) {
                Some(other) => drop(edges[number].insert(*other)),
                None if modules.has(&needed) => {}
                None => return Err(missing(&files[number], &needed, kernel)),
            }
        }
    }
    if let Some(circle) = circle(&edges) {
        return Err(circular(&circle, files));
    }
    for (number, of) in facts.iter().enumerate() {
        for other in of.wishes().iter().filter_map(|name| numbers.get(name)) {
            if !reaches(&edges, *other, number) {
                edges[number].insert(*other);
            }
        }
    }
    Ok(sorted(&edges).into_iter().map(|number| files[number].clone()).collect())
}

/// The files' numbers by the modules' names.
///
/// # Errors
///
/// Two have one name.
pub(super) fn numbers(files: &[PathBuf]) -> Result<BTreeMap<String, usize>, HostError> {
    let mut numbers = BTreeMap::new();
    for (number, path) in files.iter().enumerate() {
        let name = name_of(&path.to_string_lossy());
        if let Some(other) = numbers.insert(name.clone(), number) {
            return Err(HostError::input(
                format!("modules {} and {}: both are {name}", files[other].display(), path.display()),
                "name one of them",
            ));
        }
    }
    Ok(numbers)
}

fn missing(path: &Path, needed: &str, kernel: &KernelTree) -> HostError {
    HostError::input(
        format!(
            "module {}: it needs the module {needed}, which is neither in kernel {} nor among the files",
            path.display(),
            kernel.release
        ),
        "name the file of that one too",
    )
}

fn circular(circle: &[usize], files: &[PathBuf]) -> HostError {
    let mut names: Vec<String> =
        circle.iter().take(MOST_NAMED).map(|number| name_of(&files[*number].to_string_lossy())).collect();
    if circle.len() > MOST_NAMED {
        names.push("...".to_string());
    }
    names.push(names[0].clone());
    HostError::input(
        format!("modules {}: each needs the next one, and none can be loaded first", names.join(" -> ")),
        "take one of these dependencies out",
    )
}

/// Whether `to` is needed by `from`, directly or not, or is it.
fn reaches(edges: &[BTreeSet<usize>], from: usize, to: usize) -> bool {
    let (mut seen, mut left) = (BTreeSet::new(), vec![from]);
    while let Some(one) = left.pop() {
        if one == to {
            return true;
        }
        if seen.insert(one) {
            left.extend(&edges[one]);
        }
    }
    false
}

/// Modules of which each needs the next one, and the last one the first.
fn circle(edges: &[BTreeSet<usize>]) -> Option<Vec<usize>> {
    let on_one = |start: &usize| edges[*start].iter().any(|next| reaches(edges, *next, *start));
    let start = (0..edges.len()).find(on_one)?;
    let (mut path, mut at) = (vec![start], start);
    // Whoever reaches the start has a next one that does, by a way that is shorter or that ends there.
    loop {
        let closer = edges[at].iter().filter(|next| reaches(edges, **next, start));
        let next = *closer.min_by_key(|next| distance(edges, **next, start))?;
        if next == start {
            return Some(path);
        }
        path.push(next);
        at = next;
    }
}

/// How many steps it is from one module to another that it needs.
fn distance(edges: &[BTreeSet<usize>], from: usize, to: usize) -> usize {
    let (mut seen, mut reached, mut steps) = (BTreeSet::from([from]), BTreeSet::from([from]), 0);
    while !reached.contains(&to) && !reached.is_empty() {
        reached =
            reached.iter().flat_map(|one| &edges[*one]).copied().filter(|one| seen.insert(*one)).collect();
        steps += 1;
    }
    steps
}

/// All numbers, each behind its edges' ends, the lowest first where there is a choice. There is no circle.
fn sorted(edges: &[BTreeSet<usize>]) -> Vec<usize> {
    let (mut placed, mut sorted) = (BTreeSet::new(), Vec::new());
    while sorted.len() < edges.len() {
        let ready = |number: &usize| !placed.contains(number) && edges[*number].is_subset(&placed);
        let Some(next) = (0..edges.len()).find(ready) else { break };
        placed.insert(next);
        sorted.push(next);
    }
    sorted
}

#[cfg(test)]
#[path = "order_tests.rs"]
mod tests;
