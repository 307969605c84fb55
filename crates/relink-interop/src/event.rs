//! Events as programs print them: JSON, one object a line.

use serde_json::Value;

use crate::Result;

/// The field must have this value.
pub(crate) fn field(event: &Value, name: &str, value: &Value) -> Result<()> {
    if event[name] == *value {
        Ok(())
    } else {
        Err(format!("expected {name} = {value} in {event}").into())
    }
}
