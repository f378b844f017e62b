//! The sidecar as a process: its doors, its operations, its end.

mod verify;
