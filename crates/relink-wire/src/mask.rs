//! Masking (RFC 6455, section 5.3).

use rand::Rng as _;

/// Masks or unmasks in place, sixteen bytes at a time, which compilers make one step of.
pub(crate) fn apply(bytes: &mut [u8], [a, b, c, d]: [u8; 4]) {
    let keys = [a, b, c, d, a, b, c, d, a, b, c, d, a, b, c, d];
    let mut blocks = bytes.chunks_exact_mut(keys.len());
    for block in &mut blocks {
        for (byte, key) in block.iter_mut().zip(keys) {
            *byte ^= key;
        }
    }
    for (byte, key) in blocks.into_remainder().iter_mut().zip(keys) {
        *byte ^= key;
    }
}

/// The key for what comes after this many bytes.
#[inline]
pub(crate) fn shift(mut key: [u8; 4], bytes: usize) -> [u8; 4] {
    key.rotate_left(bytes % 4);
    key
}

/// Keys from a strong source of entropy, a few drawn at a time.
#[derive(Clone)]
pub(crate) struct Keys {
    keys: [[u8; 4]; 16],
    left: u8,
}

impl Keys {
    pub(crate) const fn new() -> Self {
        Self { keys: [[0; 4]; 16], left: 0 }
    }

    #[inline]
    pub(crate) fn next(&mut self) -> [u8; 4] {
        if self.left == 0 {
            rand::rng().fill_bytes(self.keys.as_flattened_mut());
            self.left = 16;
        }
        self.left -= 1;
        self.keys.get(usize::from(self.left)).copied().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_length_in_any_pieces_is_masked_byte_by_byte() {
        let key = [1, 20, 50, 130];
        let expected: Vec<u8> = (0..100).map(|at: u8| at ^ key[usize::from(at) % 4]).collect();
        for cut in 0..100 {
            let mut bytes: Vec<u8> = (0..100).collect();
            let (first, second) = bytes.split_at_mut(cut);
            apply(first, key);
            apply(second, shift(key, cut));
            assert_eq!(bytes, expected, "cut at {cut}");
        }
    }

    #[test]
    fn no_key_is_used_twice() {
        let mut keys = Keys::new();
        let drawn: std::collections::BTreeSet<_> = (0..64).map(|_| keys.next()).collect();
        assert!(drawn.len() > 60, "{drawn:?}");
    }
}
