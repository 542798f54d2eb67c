//! Byte-pair encoding of one word: merge the adjacent pair of lowest rank, leftmost first, until
//! none is left. Source: Sennrich et al. (arXiv 1508.07909); the order of ties is Hugging Face's.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};

#[derive(Clone, Copy)]
pub(super) struct Merge {
    pub rank: u32,
    pub into: u32,
}

/// (left id, right id) -> what they merge into.
pub(super) type Merges = HashMap<(u32, u32), Merge>;

const END: usize = usize::MAX;

/// A doubly linked list in a vector: merging unlinks the right symbol.
struct Symbol {
    id: u32,
    prev: usize,
    next: usize,
}

/// A pair waiting for its turn; stale once either id has changed.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Candidate {
    rank: u32,
    left: usize,
    pair: (u32, u32),
    into: u32,
}

/// O(n log n) in the length of the word, since a word may be a whole hostile text.
pub(super) fn merge(ids: &[u32], merges: &Merges, out: &mut Vec<u32>) {
    let mut symbols: Vec<Symbol> = ids
        .iter()
        .enumerate()
        .map(|(i, &id)| Symbol { id, prev: i.wrapping_sub(1), next: i + 1 })
        .collect();
    match symbols.last_mut() {
        None => return,
        Some(last) => last.next = END,
    }
    let candidate = |symbols: &[Symbol], left: usize| {
        let right = symbols.get(symbols.get(left)?.next)?;
        let pair = (symbols[left].id, right.id);
        let merge = merges.get(&pair)?;
        Some(Reverse(Candidate { rank: merge.rank, left, pair, into: merge.into }))
    };
    let mut heap: BinaryHeap<_> =
        (0..symbols.len()).filter_map(|i| candidate(&symbols, i)).collect();
    while let Some(Reverse(Candidate { left, pair, into, .. })) = heap.pop() {
        let right = symbols[left].next;
        // An unlinked symbol has no next, so a stale candidate cannot bring it back.
        if right == END || (symbols[left].id, symbols[right].id) != pair {
            continue;
        }
        let after = symbols[right].next;
        symbols[left].id = into;
        symbols[left].next = after;
        symbols[right].next = END;
        if after != END {
            symbols[after].prev = left;
        }
        heap.extend(candidate(&symbols, left));
        heap.extend(candidate(&symbols, symbols[left].prev));
    }
    let mut at = 0;
    while let Some(symbol) = symbols.get(at) {
        out.push(symbol.id);
        at = symbol.next;
    }
}
