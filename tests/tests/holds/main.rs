//! It holds: under attack, beside noisy neighbours, through failovers. One file a part.

mod edge;
mod gate;
mod heal;
mod life;
mod log;
mod pg;
mod reads;
mod refresh;
