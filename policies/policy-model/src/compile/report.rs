//! What is told of mistakes, each at the field that it is about.

use crate::{
    diagnostic::{Diagnostic, Origin, Severity},
    spec::{Kind, Object, Places, Resource},
};

/// Who is at fault, for the diagnostic.
#[derive(Clone, Copy)]
pub(super) struct Subject<'a> {
    kind: Kind,
    name: &'a str,
    origin: &'a Origin,
    places: &'a Places,
}

impl<'a> Subject<'a> {
    pub(super) fn new<S>(kind: Kind, object: &'a Object<S>) -> Self {
        let name = object.metadata.name.as_str();
        Self { kind, name, origin: &object.origin, places: &object.places }
    }

    pub(super) fn of(resource: &'a Resource) -> Self {
        Self {
            kind: resource.kind(),
            name: resource.name(),
            origin: resource.origin(),
            places: resource.places(),
        }
    }

    fn at(&self, place: Option<(u64, u64)>) -> Origin {
        let (line, column) = place.unwrap_or((self.origin.line, self.origin.column));
        Origin { file: self.origin.file.clone(), line, column }
    }
}

/// The mistakes so far.
#[derive(Default)]
pub(super) struct Report(Vec<Diagnostic>);

impl Report {
    /// `path` is the field's, as `spec.models[0].version`.
    pub(super) fn error(&mut self, subject: &Subject<'_>, path: &str, message: String) {
        self.push(Severity::Error, subject, subject.places.of(path), message);
    }

    pub(super) fn warning(&mut self, subject: &Subject<'_>, path: &str, message: String) {
        self.push(Severity::Warning, subject, subject.places.of(path), message);
    }

    /// What the declared check `check` says.
    pub(super) fn of_check(
        &mut self,
        (check, severity): (&str, Severity),
        subject: &Subject<'_>,
        path: &str,
        message: String,
    ) {
        self.push(severity, subject, subject.places.of(path), message);
        if let Some(last) = self.0.last_mut() {
            last.check = Some(check.to_owned());
        }
    }

    /// A mistake at the byte `offset` of `value`, which the field at `path` holds.
    pub(super) fn error_within(
        &mut self,
        subject: &Subject<'_>,
        (path, value, offset): (&str, &str, usize),
        message: String,
    ) {
        self.push(Severity::Error, subject, subject.places.within(path, value, offset), message);
    }

    fn push(
        &mut self,
        severity: Severity,
        subject: &Subject<'_>,
        place: Option<(u64, u64)>,
        message: String,
    ) {
        self.0.push(Diagnostic {
            severity,
            origin: subject.at(place),
            resource: format!("{}/{}", subject.kind.as_str(), subject.name),
            message,
            check: None,
        });
    }

    /// All of them: errors first, then by place, so that their order says nothing of how they
    /// were found.
    pub(super) fn finish(mut self) -> Vec<Diagnostic> {
        fn key(d: &Diagnostic) -> (Severity, &str, u64, u64, &str, &str) {
            let Origin { file, line, column } = &d.origin;
            (d.severity, file, *line, *column, &d.resource, &d.message)
        }
        self.0.sort_by(|a, b| key(a).cmp(&key(b)));
        self.0.dedup();
        self.0
    }
}
