//! Signatures and tokens by the eyes of others: the vectors of Project Wycheproof, and a second implementation that reads
//! what we read.

#![allow(clippy::unwrap_used, missing_docs, reason = "tests")]

mod second_reader;
mod vectors;
