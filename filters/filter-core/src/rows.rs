//! Rows of a table as checks see them.

use expression::Value;
use policy_model::table::{ArchivedDataPlaneRow, ArchivedTierRow};

use crate::request::borrowed;

/// The variable at `path`, without its `tier.`.
pub(crate) fn tier<'a>(row: Option<&'a ArchivedTierRow>, path: &str) -> Option<Value<'a>> {
    let row = row?;
    match path {
        "name" => Some(borrowed(row.tier()?.as_str())),
        "labels" => Some(Value::map(&row.labels)),
        "burst" => Some(Value::Int(row.rate.as_ref()?.burst.to_native().into())),
        "requests_per_second" => Some(Value::Double(row.rate.as_ref()?.requests_per_second())),
        _ => None,
    }
}

/// The variable at `path`, without its `data_plane.`.
pub(crate) fn data_plane<'a>(
    row: Option<&'a ArchivedDataPlaneRow>,
    path: &str,
) -> Option<Value<'a>> {
    let row = row?;
    match path {
        "id" => Some(borrowed(&row.id)),
        "region" => Some(borrowed(&row.region)),
        "exclusive_to" => Some(borrowed(row.exclusive_to.as_ref().map_or("", |id| id.as_str()))),
        "labels" => Some(Value::map(&row.labels)),
        _ => None,
    }
}
