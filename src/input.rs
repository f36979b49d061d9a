//! A byte source to [`Block`]s: raw input, cut at line ends, in buffers that are used again.
//!
//! All blocks of a run come from one [`Pool`], which bounds their bytes: where too many are unconfirmed,
//! the reader waits and the tap is slowed down. Nothing here looks into a line.

use std::io::{self, Read};
use std::sync::{Arc, Condvar, Mutex, PoisonError};

use crate::error::{Error, Kind};

/// The size of an ordinary block. Smaller ones cost more hand-overs (128 KiB: a sixth more CPU), larger ones
/// gain nothing.
const BLOCK_BYTES: usize = 512 * 1024;

/// The longest line. NATS' largest payload is 64 MiB, whatever a server's settings.
pub(crate) const MAX_LINE_BYTES: usize = 256 * 1024 * 1024;

/// Whole lines of the input, or the rest of it.
#[derive(Debug)]
pub(crate) struct Block {
    buffer: Vec<u8>,
    used: usize,
    pool: Arc<Pool>,
}

impl Block {
    /// What was read: lines with their ends. Only the last one of an input may lack its end.
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.buffer[..self.used]
    }

    /// Puts bytes into an empty block.
    fn fill(&mut self, bytes: &[u8]) {
        while self.buffer.len() < bytes.len() {
            self.grow();
        }
        self.buffer[..bytes.len()].copy_from_slice(bytes);
        self.used = bytes.len();
    }

    fn grow(&mut self) {
        let more = self.buffer.len();
        self.pool.grow(more);
        self.buffer.resize(self.buffer.len() + more, 0);
    }
}

impl Drop for Block {
    fn drop(&mut self) {
        self.pool.take_back(std::mem::take(&mut self.buffer));
    }
}

/// The buffers of a run.
#[derive(Debug)]
pub(crate) struct Pool {
    state: Mutex<PoolState>,
    freed: Condvar,
    max_bytes: usize,
}

#[derive(Debug, Default)]
struct PoolState {
    bytes_out: usize,
    free: Vec<Vec<u8>>,
}

impl Pool {
    /// A pool that gives out about `max_bytes` at a time, and at least four blocks: one being filled, one
    /// on its way, one being parsed and one unconfirmed.
    pub(crate) fn new(max_bytes: usize) -> Arc<Self> {
        Arc::new(Self {
            state: Mutex::default(),
            freed: Condvar::new(),
            max_bytes: max_bytes.max(4 * BLOCK_BYTES),
        })
    }

    /// An empty block; waits for one where too many are out.
    fn take(self: &Arc<Self>) -> Block {
        let mut state = self.lock();
        while state.bytes_out + BLOCK_BYTES > self.max_bytes {
            state = self
                .freed
                .wait(state)
                .unwrap_or_else(PoisonError::into_inner);
        }
        state.bytes_out += BLOCK_BYTES;
        let free = state.free.pop();
        drop(state);
        Block {
            buffer: free.unwrap_or_else(|| vec![0; BLOCK_BYTES]),
            used: 0,
            pool: Arc::clone(self),
        }
    }

    /// Counts what a block with a long line grows by. It waits until that fits, or until every other block
    /// has come back: a line longer than the whole pool passes alone.
    fn grow(&self, more: usize) {
        let mut state = self.lock();
        // The block that grows has exactly as much as it asks for: it doubles.
        while state.bytes_out + more > self.max_bytes && state.bytes_out > more {
            state = self
                .freed
                .wait(state)
                .unwrap_or_else(PoisonError::into_inner);
        }
        state.bytes_out += more;
    }

    fn take_back(&self, buffer: Vec<u8>) {
        let mut state = self.lock();
        state.bytes_out -= buffer.len();
        if buffer.len() == BLOCK_BYTES {
            state.free.push(buffer);
        }
        drop(state);
        self.freed.notify_all();
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, PoolState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Reads a source to its end into blocks. A block is sent as soon as a read has brought a whole line: what
/// a slow tap has said does not wait for what it says next.
///
/// `send` says whether anybody still wants blocks; the reading ends when not. Fails with [`Kind::Input`].
pub(crate) fn read_blocks(
    mut source: impl Read,
    pool: &Arc<Pool>,
    mut send: impl FnMut(Block) -> bool,
) -> Result<(), Error> {
    let mut rest = Vec::new();
    let mut block = pool.take();
    loop {
        if block.used == block.buffer.len() {
            if block.used >= MAX_LINE_BYTES {
                return Err(Error::new(
                    Kind::Input,
                    format!("a line is longer than {MAX_LINE_BYTES} bytes"),
                ));
            }
            block.grow();
        }
        let count = match source.read(&mut block.buffer[block.used..]) {
            Ok(count) => count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => {
                return Err(Error::new(Kind::Input, "the input cannot be read").cause(error));
            }
        };
        if count == 0 {
            if block.used > 0 {
                send(block);
            }
            return Ok(());
        }
        let read = &block.buffer[block.used..block.used + count];
        let Some(line_end) = memchr::memrchr(b'\n', read) else {
            block.used += count;
            continue;
        };
        // The rest waits outside: to hold a full block back while waiting for an empty one would be a stall.
        rest.clear();
        rest.extend_from_slice(&read[line_end + 1..]);
        block.used += line_end + 1;
        if !send(block) {
            return Ok(());
        }
        block = pool.take();
        block.fill(&rest);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Random;

    /// Gives its bytes in the pieces that it was told, as a pipe does.
    struct Pieces(Vec<Vec<u8>>);

    impl Read for Pieces {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            let Some(piece) = self.0.first_mut() else {
                return Ok(0);
            };
            let count = piece.len().min(buffer.len());
            buffer[..count].copy_from_slice(&piece[..count]);
            piece.drain(..count);
            if piece.is_empty() {
                self.0.remove(0);
            }
            Ok(count)
        }
    }

    fn read_all(pieces: Vec<Vec<u8>>, pool: &Arc<Pool>) -> Vec<Vec<u8>> {
        let (sender, receiver) = crossbeam_channel::unbounded();
        std::thread::scope(|scope| {
            scope.spawn(move || {
                read_blocks(Pieces(pieces), pool, |block| sender.send(block).is_ok()).unwrap();
            });
            receiver
                .iter()
                .map(|block| block.bytes().to_vec())
                .collect()
        })
    }

    #[test]
    fn blocks_are_whole_lines_and_nothing_is_lost() {
        let mut random = Random::new("input blocks");
        for _ in 0..300 {
            let mut pieces = Vec::new();
            for _ in 0..random.below(12) {
                let bound = *random.pick(&[&5, &100, &BLOCK_BYTES, &(3 * BLOCK_BYTES)]);
                let mut piece = vec![b'x'; 1 + random.below(bound)];
                for _ in 0..random.below(4) {
                    let at = random.below(piece.len());
                    piece[at] = b'\n';
                }
                pieces.push(piece);
            }
            let whole: Vec<u8> = pieces.concat();
            let pool = Pool::new(0);
            let blocks = read_all(pieces, &pool);
            assert_eq!(blocks.concat(), whole);
            for block in blocks.iter().rev().skip(1) {
                assert_eq!(block.last(), Some(&b'\n'));
            }
            assert_eq!(pool.lock().bytes_out, 0);
        }
    }

    #[test]
    fn a_reader_waits_while_too_many_blocks_are_out() {
        let pool = Pool::new(0);
        let line = vec![b'x'; BLOCK_BYTES - 1];
        let pieces = (0..20).map(|_| [&line[..], b"\n"].concat()).collect();
        let (sender, receiver) = crossbeam_channel::unbounded();
        std::thread::scope(|scope| {
            let pool = &pool;
            scope.spawn(move || {
                read_blocks(Pieces(pieces), pool, |block| sender.send(block).is_ok()).unwrap();
            });
            let mut held = std::collections::VecDeque::new();
            for _ in 0..20 {
                held.push_back(receiver.recv().unwrap());
                assert!(pool.lock().bytes_out <= 4 * BLOCK_BYTES);
                if held.len() == 3 {
                    held.pop_front();
                }
            }
        });
    }

    #[test]
    fn a_line_longer_than_the_pool_passes_alone() {
        let pool = Pool::new(0);
        let long = vec![b'x'; 20 * BLOCK_BYTES];
        let blocks = read_all(vec![b"a\n".to_vec(), long.clone(), b"\nb".to_vec()], &pool);
        assert_eq!(blocks.concat().len(), long.len() + 4);
        assert!(
            pool.lock()
                .free
                .iter()
                .all(|buffer| buffer.len() == BLOCK_BYTES)
        );
    }
}
