//! Which proxies there are: what each says about itself in its xDS node, and so what it is sent.

use std::{fmt, net::SocketAddr, path::PathBuf};

use envoy_types::pb::google::protobuf::value::Kind;
use tenancy::DataPlaneId;
use tonic::Status;
use xds::Node;

/// What a process on the other end of a stream is for. Processes of one role, place and data
/// plane are one group: they are sent the same.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Role {
    /// An ingress Envoy.
    Gateway {
        /// Where it listens for callers.
        listen: SocketAddr,
    },
    /// A node's Envoy.
    Node {
        /// The data plane that the node belongs to.
        data_plane: DataPlaneId,
        /// Where it listens for gateways.
        listen: SocketAddr,
        /// The Unix socket of its sidecar.
        sidecar: PathBuf,
    },
    /// A sidecar.
    Sidecar {
        /// The data plane that the node belongs to.
        data_plane: DataPlaneId,
    },
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Gateway { listen } => write!(f, "gateway/{listen}"),
            Self::Node { data_plane, listen, sidecar } => {
                write!(f, "node/{data_plane}/{listen}{}", sidecar.display())
            }
            Self::Sidecar { data_plane } => write!(f, "sidecar/{data_plane}"),
        }
    }
}

impl Role {
    /// The data plane that it is of; a gateway is of none.
    pub fn data_plane(&self) -> Option<&DataPlaneId> {
        match self {
            Self::Gateway { .. } => None,
            Self::Node { data_plane, .. } | Self::Sidecar { data_plane } => Some(data_plane),
        }
    }

    /// Reads the role from a node's metadata: `role` (`gateway`, `node`, `sidecar`), `listen`
    /// (`address:port`), `data_plane`, `sidecar` (a path).
    ///
    /// # Errors
    /// `INVALID_ARGUMENT`, saying which field of the bootstrap is missing or wrong.
    pub fn of(node: &Node) -> Result<Self, Status> {
        match text(node, "role")? {
            "gateway" => Ok(Self::Gateway { listen: parsed(node, "listen")? }),
            "node" => Ok(Self::Node {
                data_plane: parsed(node, "data_plane")?,
                listen: parsed(node, "listen")?,
                sidecar: PathBuf::from(text(node, "sidecar")?),
            }),
            "sidecar" => Ok(Self::Sidecar { data_plane: parsed(node, "data_plane")? }),
            other => Err(refuse(
                node,
                &format!("expected metadata.role to be gateway, node or sidecar, found `{other}`"),
            )),
        }
    }
}

fn text<'a>(node: &'a Node, field: &str) -> Result<&'a str, Status> {
    let value = node.metadata.as_ref().and_then(|metadata| metadata.fields.get(field));
    match value.and_then(|value| value.kind.as_ref()) {
        Some(Kind::StringValue(text)) if !text.is_empty() => Ok(text),
        _ => Err(refuse(node, &format!("expected a text in metadata.{field}"))),
    }
}

fn parsed<T>(node: &Node, field: &str) -> Result<T, Status>
where
    T: std::str::FromStr,
    T::Err: fmt::Display,
{
    text(node, field)?
        .parse()
        .map_err(|error: T::Err| refuse(node, &format!("metadata.{field}: {error}")))
}

fn refuse(node: &Node, what: &str) -> Status {
    Status::invalid_argument(format!("node `{}`: {what}; mend its bootstrap", node.id))
}

#[cfg(test)]
mod tests {
    use envoy_types::pb::google::protobuf::{Struct, Value};

    use super::*;

    fn node(fields: &[(&str, &str)]) -> Node {
        let fields = fields.iter().map(|(name, text)| {
            let kind = Some(Kind::StringValue((*text).to_owned()));
            ((*name).to_owned(), Value { kind })
        });
        let metadata = Some(Struct { fields: fields.collect() });
        Node { id: "n1".to_owned(), metadata, ..Node::default() }
    }

    #[test]
    fn a_node_that_does_not_say_what_it_is_gets_nothing() {
        for (fields, named) in [
            (&[][..], "metadata.role"),
            (&[("role", "admin")][..], "found `admin`"),
            (&[("role", "gateway")][..], "metadata.listen"),
            (&[("role", "gateway"), ("listen", "here")][..], "metadata.listen"),
            (&[("role", "sidecar"), ("data_plane", "../x")][..], "metadata.data_plane"),
            (
                &[("role", "node"), ("data_plane", "a"), ("listen", "[::1]:1")][..],
                "metadata.sidecar",
            ),
        ] {
            let refusal = Role::of(&node(fields)).err().map(|status| status.message().to_owned());
            assert!(refusal.as_deref().is_some_and(|r| r.contains(named)), "{refusal:?}");
        }
    }

    #[test]
    fn proxies_at_different_places_are_different_groups() {
        let at = |port: &str| {
            Role::of(&node(&[("role", "gateway"), ("listen", &format!("127.0.0.1:{port}"))]))
                .map(|role| role.to_string())
                .ok()
        };
        assert_eq!(at("80").as_deref(), Some("gateway/127.0.0.1:80"));
        assert_ne!(at("80"), at("81"));
    }
}
