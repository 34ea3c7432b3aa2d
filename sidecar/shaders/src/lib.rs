//! What the steps of a plan are on a device, as values.
