//! A persistent set of serials: copying it is cheap, and so is adding to a copy.

use std::sync::Arc;

use foldhash::fast::RandomState;
use roaring::RoaringBitmap;
use rpds::HashTrieMapSync;

use super::SnapshotError;
use crate::{id::Serial, v1};

/// Serials are dense, so a Roaring bitmap holds one in about two bytes. The set is cut into blocks of 2^20 serials
/// that copies share; adding a serial copies its block only, whatever the size of the set.
#[derive(Clone, Debug)]
pub struct SerialSet {
    blocks: HashTrieMapSync<u64, Arc<RoaringBitmap>, RandomState>,
}

const BLOCK_BITS: u32 = 20;
const BLOCK_MASK: u64 = (1 << BLOCK_BITS) - 1;

impl Default for SerialSet {
    fn default() -> Self {
        Self {
            blocks: HashTrieMapSync::new_with_hasher_and_ptr_kind(RandomState::default()),
        }
    }
}

impl SerialSet {
    /// Whether `serial` is in the set.
    #[must_use]
    pub fn contains(&self, serial: Serial) -> bool {
        !self.is_empty()
            && self
                .blocks
                .get(&(serial.0 >> BLOCK_BITS))
                .is_some_and(|block| block.contains(low(serial.0)))
    }

    /// Adds all of `serials`.
    pub fn extend(&mut self, serials: &[Serial]) {
        let mut sorted: Vec<u64> = serials.iter().map(|serial| serial.0).collect();
        sorted.sort_unstable();
        for run in sorted.chunk_by(|a, b| a >> BLOCK_BITS == b >> BLOCK_BITS) {
            let index = run[0] >> BLOCK_BITS;
            // A clone of a bitmap is exactly as large as its content: memory stays near the serialized size.
            let mut block = self
                .blocks
                .get(&index)
                .map_or_else(RoaringBitmap::new, |block| (**block).clone());
            block.extend(run.iter().map(|&serial| low(serial)));
            self.blocks.insert_mut(index, Arc::new(block));
        }
    }

    /// Takes all of `serials` out.
    pub fn remove(&mut self, serials: &[Serial]) {
        let mut sorted: Vec<u64> = serials.iter().map(|serial| serial.0).collect();
        sorted.sort_unstable();
        for run in sorted.chunk_by(|a, b| a >> BLOCK_BITS == b >> BLOCK_BITS) {
            let index = run[0] >> BLOCK_BITS;
            let Some(block) = self.blocks.get(&index) else {
                continue;
            };
            let mut block = (**block).clone();
            for &serial in run {
                block.remove(low(serial));
            }
            if block.is_empty() {
                self.blocks.remove_mut(&index);
            } else {
                self.blocks.insert_mut(index, Arc::new(block));
            }
        }
    }

    /// How many serials there are.
    #[must_use]
    pub fn len(&self) -> u64 {
        self.blocks.values().map(|block| block.len()).sum()
    }

    /// How many bytes the blocks have, encoded.
    pub(super) fn bytes(&self) -> u64 {
        let sizes = self.blocks.values().map(|block| block.serialized_size());
        sizes.sum::<usize>() as u64
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.blocks.is_empty()
    }

    pub(super) fn encode(&self) -> Vec<v1::SerialBlock> {
        let mut blocks: Vec<_> = self.blocks.iter().collect();
        blocks.sort_unstable_by_key(|(index, _)| **index);
        blocks
            .into_iter()
            .map(|(&index, block)| encode_block(index, block))
            .collect()
    }

    pub(super) fn decode(blocks: &[v1::SerialBlock]) -> Result<Self, SnapshotError> {
        if !blocks.is_sorted_by(|a, b| a.index < b.index) {
            return Err(SnapshotError::Malformed);
        }
        let mut set = Self::default();
        for block in blocks {
            let bitmap = decode_block(block)?;
            set.blocks.insert_mut(block.index, Arc::new(bitmap));
        }
        Ok(set)
    }
}

fn low(serial: u64) -> u32 {
    u32::try_from(serial & BLOCK_MASK).expect("twenty bits fit")
}

fn encode_block(index: u64, block: &RoaringBitmap) -> v1::SerialBlock {
    let mut roaring = Vec::with_capacity(block.serialized_size());
    block
        .serialize_into(&mut roaring)
        .expect("writing to memory does not fail");
    v1::SerialBlock {
        index,
        roaring: roaring.into(),
    }
}

fn decode_block(block: &v1::SerialBlock) -> Result<RoaringBitmap, SnapshotError> {
    let mut bytes = &block.roaring[..];
    let bitmap =
        RoaringBitmap::deserialize_from(&mut bytes).map_err(|_| SnapshotError::Malformed)?;
    // The decoder stops where the bitmap ends and does not mind what follows; we do.
    let fits = bitmap.max().is_some_and(|max| u64::from(max) <= BLOCK_MASK);
    if !bytes.is_empty() || !fits || block.index > u64::MAX >> BLOCK_BITS {
        return Err(SnapshotError::Malformed);
    }
    Ok(bitmap)
}
