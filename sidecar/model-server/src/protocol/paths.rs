//! Paths of the protocol.

/// What a path asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Path<'a> {
    /// `/v2`
    Server,
    /// `/v2/health/live`
    Live,
    /// `/v2/health/ready`
    Ready,
    /// `/v2/models/{name}[/versions/{version}][/ready|/infer|/stats]`
    Model(ModelPath<'a>),
    /// `/v2/models/stats`
    Statistics,
    /// `/v2/repository/index`
    Index,
    /// `/v2/repository/models/{tenant}/{name}/load|unload`
    Repository(RepositoryPath<'a>),
}

/// A path of one model in the repository of all tenants.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct RepositoryPath<'a> {
    /// `{tenant}/{name}`.
    pub(crate) model: &'a str,
    /// Whether it is to be loaded, or else unloaded.
    pub(crate) load: bool,
}

/// A path below a model.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ModelPath<'a> {
    pub(crate) name: &'a str,
    pub(crate) version: Option<&'a str>,
    pub(crate) verb: Verb,
}

/// What is asked of a model.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verb {
    Metadata,
    Ready,
    Infer,
    Statistics,
}

impl<'a> Path<'a> {
    /// Reads a path, byte for byte: well-formed names need no percent-encoding, so a name that has
    /// it is no name.
    pub(crate) fn parse(path: &'a str) -> Option<Self> {
        let rest = path.strip_prefix("/v2")?;
        if rest.is_empty() || rest == "/" {
            return Some(Self::Server);
        }
        let segments: Vec<&str> = rest.strip_prefix('/')?.splitn(6, '/').collect();
        if segments.iter().any(|segment| segment.is_empty()) {
            return None;
        }
        if let Some(rest) = rest.strip_prefix("/repository/") {
            return Self::repository(rest);
        }
        let model = |name, version, verb| Some(Self::Model(ModelPath { name, version, verb }));
        match *segments.as_slice() {
            ["health", "live"] => Some(Self::Live),
            ["health", "ready"] => Some(Self::Ready),
            ["models", "stats"] => Some(Self::Statistics),
            ["models", name] => model(name, None, Verb::Metadata),
            ["models", name, verb] => model(name, None, Verb::parse(verb)?),
            ["models", name, "versions", version] => model(name, Some(version), Verb::Metadata),
            ["models", name, "versions", version, verb] => {
                model(name, Some(version), Verb::parse(verb)?)
            }
            _ => None,
        }
    }

    fn repository(rest: &'a str) -> Option<Self> {
        if rest == "index" {
            return Some(Self::Index);
        }
        let (model, verb) = rest.strip_prefix("models/")?.rsplit_once('/')?;
        let load = match verb {
            "load" => true,
            "unload" => false,
            _ => return None,
        };
        Some(Self::Repository(RepositoryPath { model, load }))
    }

    /// The one method that it answers to. `HEAD` is answered wherever `GET` is.
    pub(crate) const fn method(&self) -> &'static str {
        match self {
            Self::Model(ModelPath { verb: Verb::Infer, .. })
            | Self::Index
            | Self::Repository(_) => "POST",
            _ => "GET",
        }
    }
}

impl Verb {
    fn parse(text: &str) -> Option<Self> {
        match text {
            "ready" => Some(Self::Ready),
            "infer" => Some(Self::Infer),
            "stats" => Some(Self::Statistics),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn model<'a>(name: &'a str, version: Option<&'a str>, verb: Verb) -> Option<Path<'a>> {
        Some(Path::Model(ModelPath { name, version, verb }))
    }

    fn repository(model: &str, load: bool) -> Option<Path<'_>> {
        Some(Path::Repository(RepositoryPath { model, load }))
    }

    #[test]
    fn the_protocols_paths_are_read() {
        for (path, expected) in [
            ("/v2", Some(Path::Server)),
            ("/v2/", Some(Path::Server)),
            ("/v2/health/live", Some(Path::Live)),
            ("/v2/health/ready", Some(Path::Ready)),
            ("/v2/models/m", model("m", None, Verb::Metadata)),
            ("/v2/models/m/ready", model("m", None, Verb::Ready)),
            ("/v2/models/m/infer", model("m", None, Verb::Infer)),
            ("/v2/models/stats", Some(Path::Statistics)),
            ("/v2/models/m/stats", model("m", None, Verb::Statistics)),
            ("/v2/repository/index", Some(Path::Index)),
            ("/v2/repository/models/t/m/load", repository("t/m", true)),
            ("/v2/repository/models/t/m/unload", repository("t/m", false)),
            ("/v2/models/m/versions/1", model("m", Some("1"), Verb::Metadata)),
            ("/v2/models/m/versions/1/ready", model("m", Some("1"), Verb::Ready)),
            ("/v2/models/m/versions/1/infer", model("m", Some("1"), Verb::Infer)),
        ] {
            assert_eq!(Path::parse(path), expected, "{path}");
        }
    }

    #[test]
    fn other_paths_are_none() {
        for path in [
            "",
            "/",
            "/v1",
            "/v22",
            "/v2x",
            "/v2/models",
            "/v2/models/",
            "/v2/models//infer",
            "/v2/models/m/",
            "/v2/models/m/other",
            "/v2/models/m/versions",
            "/v2/models/m/versions/",
            "/v2/models/m/versions/1/infer/",
            "/v2//health/live",
            "/v2/models/m/versions/1/infer/more",
            "/V2",
            "/v2/repository",
            "/v2/repository/index/",
            "/v2/repository/models",
            "/v2/repository/models/load",
            "/v2/repository/models/t/m",
            "/v2/health",
        ] {
            assert_eq!(Path::parse(path), None, "{path}");
        }
    }

    proptest! {
        #[test]
        fn any_path_is_read_or_refused_without_a_panic(path in "(/(v2|models|versions|infer|stats|repository|load|[^/]{0,3})){0,8}") {
            let _ = Path::parse(&path);
        }
    }
}
