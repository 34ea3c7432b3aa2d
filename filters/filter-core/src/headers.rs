//! The headers of a request, read where the proxy put them.

use crate::Header;

const WORD: usize = 4;

/// The headers of a request, pseudo headers first, repeated names repeated.
///
/// They stay in the one buffer that the proxy filled, in the form in which it hands over a map
/// (proxy-wasm ABI 0.2.1, "Serialized map": a count, the sizes of each name and value, then the
/// names and values, each with a zero byte behind it; all numbers are `u32` in little endian). To
/// take them apart into texts of their own would cost a filter more than it does with them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Headers {
    map: Vec<u8>,
}

impl Headers {
    /// The headers in `map`; `None` where it is no map, or where a name in it is not UTF-8.
    pub fn from_map(map: Vec<u8>) -> Option<Self> {
        let headers = Self { map };
        headers.is_whole().then_some(headers)
    }

    /// The map, in the form in which a proxy takes one.
    pub fn as_map(&self) -> &[u8] {
        &self.map
    }

    /// The name and value of each. The name is in small letters where the proxy is Envoy; the
    /// value need not be UTF-8.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &[u8])> {
        self.raw().map_while(|(name, value)| Some((std::str::from_utf8(name).ok()?, value)))
    }

    /// As [`Headers::iter`], with names as bytes.
    pub(crate) fn raw(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        self.pairs().map_while(|pair| pair)
    }

    /// The names that `choose` picks, each once.
    pub(crate) fn names(&self, choose: impl Fn(&[u8]) -> bool) -> Vec<&str> {
        let chosen = self.raw().map(|(name, _)| name).filter(|name| choose(name));
        let mut names: Vec<&str> = chosen.filter_map(|it| std::str::from_utf8(it).ok()).collect();
        names.sort_unstable();
        names.dedup();
        names
    }

    /// The values of `name`, whatever its case, in their order.
    pub(crate) fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a [u8]> {
        let fits = move |(found, _): &(&[u8], &[u8])| found.eq_ignore_ascii_case(name.as_bytes());
        self.raw().filter(fits).map(|(_, value)| value)
    }

    fn pairs(&self) -> Pairs<'_> {
        Pairs { map: &self.map, next: 0, at: self.start() }
    }

    fn count(&self) -> usize {
        word(&self.map, 0).unwrap_or(0)
    }

    /// Where the first name starts.
    fn start(&self) -> usize {
        self.count().saturating_mul(2 * WORD).saturating_add(WORD)
    }

    /// A map without a pair may be empty.
    fn is_whole(&self) -> bool {
        if self.map.is_empty() {
            return true;
        }
        let mut pairs = self.pairs();
        let named = |(name, _): (&[u8], &[u8])| std::str::from_utf8(name).is_ok();
        let all = pairs.by_ref().all(|pair| pair.is_some_and(named));
        all && pairs.at == self.map.len()
    }
}

impl FromIterator<Header> for Headers {
    fn from_iter<I: IntoIterator<Item = Header>>(headers: I) -> Self {
        let headers: Vec<Header> = headers.into_iter().collect();
        let texts = || headers.iter().flat_map(|(name, value)| [name.as_bytes(), value.as_slice()]);
        let number = |n: usize| u32::try_from(n).unwrap_or(u32::MAX).to_le_bytes();
        let mut map = number(headers.len()).to_vec();
        map.extend(texts().flat_map(|text| number(text.len())));
        for text in texts() {
            map.extend_from_slice(text);
            map.push(0);
        }
        Self { map }
    }
}

/// Name and value of each pair; `None` for one that does not lie within the map.
struct Pairs<'a> {
    map: &'a [u8],
    /// Which pair is next.
    next: usize,
    /// Where its name starts.
    at: usize,
}

impl<'a> Iterator for Pairs<'a> {
    type Item = Option<(&'a [u8], &'a [u8])>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.next >= word(self.map, 0)? {
            return None;
        }
        let sizes = self.next.saturating_mul(2 * WORD).saturating_add(WORD);
        self.next = self.next.saturating_add(1);
        Some(self.pair(sizes))
    }
}

impl<'a> Pairs<'a> {
    fn pair(&mut self, sizes: usize) -> Option<(&'a [u8], &'a [u8])> {
        let name = self.text(word(self.map, sizes)?)?;
        let value = self.text(word(self.map, sizes.checked_add(WORD)?)?)?;
        Some((name, value))
    }

    /// The text of `size` bytes at hand, and steps over the zero byte behind it.
    fn text(&mut self, size: usize) -> Option<&'a [u8]> {
        let end = self.at.checked_add(size)?;
        let text = self.map.get(self.at..end)?;
        if *self.map.get(end)? != 0 {
            return None;
        }
        self.at = end.checked_add(1)?;
        Some(text)
    }
}

fn word(map: &[u8], at: usize) -> Option<usize> {
    let bytes = map.get(at..at.checked_add(WORD)?)?;
    usize::try_from(u32::from_le_bytes(bytes.try_into().ok()?)).ok()
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn pairs(headers: &Headers) -> Vec<Header> {
        headers.iter().map(|(name, value)| (name.to_owned(), value.to_vec())).collect()
    }

    #[test]
    fn a_map_is_read_as_envoy_writes_it() {
        let mut map = vec![2, 0, 0, 0];
        for size in [5_u32, 1, 1, 0] {
            map.extend(size.to_le_bytes());
        }
        map.extend(b":path\0/\0a\0\0");
        let headers = Headers::from_map(map).unwrap();
        assert_eq!(pairs(&headers), [(":path".into(), b"/".into()), ("a".into(), Vec::new())]);
        assert_eq!(headers.all("A").collect::<Vec<_>>(), [b""]);
    }

    #[test]
    fn a_map_that_is_none_is_refused_and_not_read_in_part() {
        let good: Headers = [("a".to_owned(), b"1".to_vec())].into_iter().collect();
        let good = good.map;
        assert!(Headers::from_map(good.clone()).is_some());
        assert!(Headers::from_map(Vec::new()).is_some_and(|none| none.iter().next().is_none()));
        for length in 1..good.len() {
            assert!(Headers::from_map(good[..length].to_vec()).is_none(), "{length} bytes");
        }
        let mut longer = good.clone();
        longer.push(0);
        let mut without_zero = good.clone();
        *without_zero.last_mut().unwrap() = 1;
        let mut many = good.clone();
        many[0] = 200;
        let mut huge = good.clone();
        huge[4..8].copy_from_slice(&u32::MAX.to_le_bytes());
        let mut name = good;
        name[12] = 0xff;
        for map in [longer, without_zero, many, huge, name] {
            assert!(Headers::from_map(map.clone()).is_none(), "{map:?}");
        }
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(
            headers in prop::collection::vec((".{0,20}", prop::collection::vec(any::<u8>(), 0..30)), 0..20)
        ) {
            let written: Headers = headers.iter().cloned().collect();
            prop_assert_eq!(&pairs(&written), &headers);
            prop_assert_eq!(Headers::from_map(written.map.clone()), Some(written));
        }

        #[test]
        fn any_bytes_are_read_or_refused_without_a_panic(
            map in prop::collection::vec(any::<u8>(), 0..200),
            count in 0_u32..20,
        ) {
            let mut counted = count.to_le_bytes().to_vec();
            counted.extend(&map);
            for map in [map, counted] {
                let length = map.len();
                if let Some(headers) = Headers::from_map(map) {
                    prop_assert!(pairs(&headers).len() <= length);
                }
            }
        }
    }
}
