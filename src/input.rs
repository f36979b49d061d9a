//! A byte source to [`Block`]s: raw input, cut at line ends, in buffers that are used again.
//!
//! All blocks of a run come from one [`Pool`], which bounds their bytes: where too many are unconfirmed,
//! the reader waits and the tap is slowed down. Nothing here looks into a line.

use std::io::{self, Read};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

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
    is_giant: bool,
    pool: Arc<Pool>,
}

impl Block {
    /// What was read: lines with their ends. Only the last one of an input may lack its end.
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.buffer[..self.used]
    }

    /// Puts bytes into an empty block. False if the run has ended.
    fn fill(&mut self, bytes: &[u8]) -> bool {
        while self.buffer.len() < bytes.len() {
            if !self.grow() {
                return false;
            }
        }
        self.buffer[..bytes.len()].copy_from_slice(bytes);
        self.used = bytes.len();
        true
    }

    /// Doubles the room. False if the run has ended.
    fn grow(&mut self) -> bool {
        let more = self.buffer.len();
        let goes_on = self.pool.grow(more, &mut self.is_giant);
        self.buffer.resize(self.buffer.len() + more, 0);
        goes_on
    }
}

impl Drop for Block {
    fn drop(&mut self) {
        self.pool
            .take_back(std::mem::take(&mut self.buffer), self.is_giant);
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
    /// One block is growing beyond the bound. Others wait for it, and it waits for nobody.
    has_giant: bool,
    /// The run has ended: nothing that is out comes back any more.
    is_closed: bool,
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

    /// An empty block; waits for one where too many are out. `None` if the run has ended.
    fn take(self: &Arc<Self>) -> Option<Block> {
        let mut state = self.lock();
        while state.bytes_out + BLOCK_BYTES > self.max_bytes && !state.is_closed {
            state = self.wait(state);
        }
        if state.is_closed {
            return None;
        }
        state.bytes_out += BLOCK_BYTES;
        let free = state.free.pop();
        drop(state);
        Some(Block {
            buffer: free.unwrap_or_else(|| vec![0; BLOCK_BYTES]),
            used: 0,
            is_giant: false,
            pool: Arc::clone(self),
        })
    }

    /// Counts what a block with a long line grows by, and whether it is the one that grows beyond the bound:
    /// there is one at a time, so that two do not wait for each other. False if the run has ended.
    fn grow(&self, more: usize, is_giant: &mut bool) -> bool {
        let mut state = self.lock();
        while !*is_giant && state.bytes_out + more > self.max_bytes && !state.is_closed {
            if state.has_giant {
                state = self.wait(state);
            } else {
                state.has_giant = true;
                *is_giant = true;
            }
        }
        state.bytes_out += more;
        !state.is_closed
    }

    /// Ends every wait for a block, now and later.
    pub(crate) fn close(&self) {
        self.lock().is_closed = true;
        self.freed.notify_all();
    }

    fn wait<'a>(&self, state: MutexGuard<'a, PoolState>) -> MutexGuard<'a, PoolState> {
        self.freed
            .wait(state)
            .unwrap_or_else(PoisonError::into_inner)
    }

    fn take_back(&self, buffer: Vec<u8>, is_giant: bool) {
        let mut state = self.lock();
        state.has_giant &= !is_giant;
        state.bytes_out -= buffer.len();
        if buffer.len() == BLOCK_BYTES {
            state.free.push(buffer);
        }
        drop(state);
        self.freed.notify_all();
    }

    fn lock(&self) -> MutexGuard<'_, PoolState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Reads a source to its end into blocks. A block is sent as soon as a read has brought a whole line: what
/// a slow tap has said does not wait for what it says next.
///
/// `send` says whether anybody still wants blocks; the reading ends when not, as it does when the pool is
/// closed. Returns whether all was read and sent. Fails with [`Kind::Input`].
pub(crate) fn read_blocks(
    mut source: impl Read,
    pool: &Arc<Pool>,
    mut send: impl FnMut(Block) -> bool,
) -> Result<bool, Error> {
    let mut rest = Vec::new();
    let Some(mut block) = pool.take() else {
        return Ok(false);
    };
    loop {
        if block.used == block.buffer.len() {
            if block.used >= MAX_LINE_BYTES {
                return Err(Error::new(
                    Kind::Input,
                    format!("a line is longer than {MAX_LINE_BYTES} bytes"),
                ));
            }
            if !block.grow() {
                return Ok(false);
            }
        }
        let count = match source.read(&mut block.buffer[block.used..]) {
            Ok(count) => count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => {
                return Err(Error::new(Kind::Input, "the input cannot be read").cause(error));
            }
        };
        if count == 0 {
            return Ok(block.used == 0 || send(block));
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
            return Ok(false);
        }
        match pool.take() {
            Some(next) => block = next,
            None => return Ok(false),
        }
        if !block.fill(&rest) {
            return Ok(false);
        }
        // Behind a very long line there may have been much.
        rest.shrink_to(BLOCK_BYTES);
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
    fn readers_with_long_lines_do_not_wait_for_each_other() {
        let pool = Pool::new(0);
        let line = vec![b'x'; 20 * BLOCK_BYTES];
        let (sender, blocks) = crossbeam_channel::bounded(0);
        std::thread::scope(|scope| {
            for _ in 0..3 {
                let (pool, line, sender) = (&pool, &line, sender.clone());
                scope.spawn(move || {
                    read_blocks(&line[..], pool, |block| sender.send(block).is_ok())
                });
            }
            drop(sender);
            assert_eq!(blocks.iter().count(), 3);
        });
        let state = pool.lock();
        assert_eq!((state.bytes_out, state.has_giant), (0, false));
    }

    #[test]
    fn a_closed_pool_ends_the_reading() {
        let pool = Pool::new(0);
        let input = vec![b'\n'; 20 * BLOCK_BYTES];
        let mut held = Vec::new();
        std::thread::scope(|scope| {
            let (closer, full) = crossbeam_channel::bounded(1);
            let pool = &pool;
            scope.spawn(move || {
                full.recv().unwrap();
                pool.close();
            });
            let read = read_blocks(&input[..], pool, |block| {
                held.push(block);
                if held.len() == 4 {
                    closer.send(()).unwrap();
                }
                true
            });
            assert_eq!(read, Ok(false));
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
