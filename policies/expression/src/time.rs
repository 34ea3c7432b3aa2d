//! Timestamps and durations as text (RFC 3339, and Go's way of writing durations), and the calendar.
