//! A persistent set of serials: copying it is cheap, and so is adding to a copy.

use std::sync::Arc;

use foldhash::fast::RandomState;
use roaring::RoaringBitmap;
use rpds::HashTrieMapSync;

use super::SnapshotError;
use crate::{id::Serial, v1};

/// A set of serials in blocks that copies share.
///
/// Serials are dense, so a Roaring bitmap holds one in about two bytes. The set is cut into blocks of 2^20 serials.
/// Adding a serial copies its block only, whatever the size of the set.
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
    /// Returns whether `serial` is in the set.
    #[must_use]
    pub fn contains(&self, serial: Serial) -> bool {
        // Most generations are empty, and then nothing has to be hashed.
        !self.is_empty()
            && self
                .blocks
                .get(&block_index(serial.0))
                .is_some_and(|block| block.contains(low_bits(serial.0)))
    }

    /// Adds all of `serials`.
    pub fn extend(&mut self, serials: &[Serial]) {
        for run in sorted(serials).chunk_by(in_one_block) {
            let index = block_index(run[0]);
            // A clone of a bitmap is exactly as large as its content: memory stays near the serialized size.
            let mut block = match self.blocks.get(&index) {
                Some(block) => RoaringBitmap::clone(block),
                None => RoaringBitmap::new(),
            };
            block.extend(run.iter().map(|serial| low_bits(*serial)));
            self.blocks.insert_mut(index, Arc::new(block));
        }
    }

    /// Adds all serials of `other`.
    pub(super) fn unite(&mut self, other: &Self) {
        for (index, added) in other.blocks.iter() {
            let block = match self.blocks.get(index) {
                Some(block) => Arc::new(&**block | &**added),
                // A block that only the other set has is shared and not copied.
                None => Arc::clone(added),
            };
            self.blocks.insert_mut(*index, block);
        }
    }

    /// Removes all of `serials`.
    pub fn remove(&mut self, serials: &[Serial]) {
        for run in sorted(serials).chunk_by(in_one_block) {
            let index = block_index(run[0]);
            let Some(block) = self.blocks.get(&index) else {
                continue;
            };
            let mut block = RoaringBitmap::clone(block);
            for serial in run {
                block.remove(low_bits(*serial));
            }
            // An empty block would be encoded, and the decoder takes it for damage.
            if block.is_empty() {
                self.blocks.remove_mut(&index);
            } else {
                self.blocks.insert_mut(index, Arc::new(block));
            }
        }
    }

    /// The number of serials.
    #[must_use]
    pub fn len(&self) -> u64 {
        self.blocks.values().map(|block| block.len()).sum()
    }

    /// The number of bytes of the blocks, encoded.
    pub(super) fn bytes(&self) -> u64 {
        let mut bytes = 0;
        for block in self.blocks.values() {
            bytes += block.serialized_size();
        }
        bytes as u64
    }

    /// Returns whether the set has no serial.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.blocks.is_empty()
    }

    pub(super) fn encode(&self) -> Vec<v1::SerialBlock> {
        let mut blocks = Vec::with_capacity(self.blocks.size());
        for (index, block) in &self.blocks {
            blocks.push(encode_block(*index, block));
        }
        blocks.sort_unstable_by_key(|block| block.index);
        blocks
    }

    pub(super) fn decode(blocks: &[v1::SerialBlock]) -> Result<Self, SnapshotError> {
        // The writer sorts blocks and writes each once: any other order was not written by it.
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

fn sorted(serials: &[Serial]) -> Vec<u64> {
    // Sorted, the serials of one block stand together, and each block is copied once.
    let mut sorted: Vec<u64> = serials.iter().map(|serial| serial.0).collect();
    sorted.sort_unstable();
    sorted
}

fn in_one_block(a: &u64, b: &u64) -> bool {
    block_index(*a) == block_index(*b)
}

fn block_index(serial: u64) -> u64 {
    serial >> BLOCK_BITS
}

fn low_bits(serial: u64) -> u32 {
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
    let Ok(bitmap) = RoaringBitmap::deserialize_from(&mut bytes) else {
        return Err(SnapshotError::Malformed);
    };
    // The decoder stops where the bitmap ends and ignores the bytes that follow; here they mean damage.
    let fits = bitmap.max().is_some_and(|max| u64::from(max) <= BLOCK_MASK);
    if !bytes.is_empty() || !fits || block.index > block_index(u64::MAX) {
        return Err(SnapshotError::Malformed);
    }
    Ok(bitmap)
}
